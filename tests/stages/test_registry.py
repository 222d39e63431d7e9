import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages import registry as registry_module
from avkd.stages.registry import Registry

ENTRY = EntryPoint(name="whale", value="whale_pack:whale", group="zoo.animals")


def make_registry(package: str = "zoo") -> Registry[str]:
    return Registry(kind="animal", package=package, entry_point_group="zoo.animals")


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    """A registry over a package of one module, beside a plug-in package."""
    name = f"zoo_{abs(hash(tmp_path))}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "cats.py").write_text(
        "from whale_pack import REGISTRIES\n\n\n"
        "def lion(size: int = 1) -> str:\n    return f'lion of {size}'\n\n\n"
        f"REGISTRIES['{name}'].register(lion)\n"
    )
    (tmp_path / "whale_pack.py").write_text(
        "REGISTRIES = {}\n\n\ndef whale() -> str:\n    return 'whale'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "whale_pack", raising=False)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [ENTRY])
    zoo = make_registry(name)
    import whale_pack

    whale_pack.REGISTRIES[name] = zoo
    return zoo


def test_names_come_from_the_folder_and_from_entry_points(zoo: Registry[str]) -> None:
    assert zoo.names() == ("lion", "whale")
    assert zoo.names() == ("lion", "whale")


def test_build_calls_the_builder_with_the_options(zoo: Registry[str]) -> None:
    assert zoo.build("lion", size=3) == "lion of 3"
    assert zoo.build("whale") == "whale"
    assert zoo.get("whale") is zoo.get("whale")


def test_unknown_name_offers_the_close_one(zoo: Registry[str]) -> None:
    with pytest.raises(UnknownNameError, match="unknown animal 'lyon'; did you mean lion"):
        zoo.get("lyon")


def test_unknown_option_is_refused_with_the_options_there_are(zoo: Registry[str]) -> None:
    with pytest.raises(InvalidValueError, match=r"options of animal 'lion': .*'mane'.*: size"):
        zoo.build("lion", mane=True)
    with pytest.raises(InvalidValueError, match="it takes: none"):
        zoo.build("whale", size=2)


def test_two_builders_of_one_name_are_refused() -> None:
    animals = make_registry()

    def lion() -> str:
        return "lion"

    assert animals.register(lion) is lion
    with pytest.raises(InvalidValueError, match="two animal builders are called 'lion'"):
        animals.register(lion)


def test_entry_point_may_not_take_a_name_of_the_folder(
    zoo: Registry[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = EntryPoint(name="lion", value="whale_pack:whale", group="zoo.animals")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [thief])
    with pytest.raises(InvalidValueError, match=r"'lion' .*whale_pack:whale"):
        zoo.names()


def test_two_entry_points_of_one_name_are_refused(
    zoo: Registry[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [ENTRY, ENTRY])
    with pytest.raises(InvalidValueError, match="two animal builders are called 'whale'"):
        zoo.names()
