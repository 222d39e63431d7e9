import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers import registry
from avkd.stages.teachers.declaration import Teacher, TeacherDeclaration
from avkd.stages.teachers.registry import (
    declare_teacher,
    find_family,
    load_teacher,
    register_teacher,
    teacher_families,
)
from avkd.stages.teachers.request import TeacherRequest, parse_teacher


class Echo:
    """A family that remembers what it was asked."""

    summary = "says what it was asked"

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        raise LookupError(request)

    def load(self, request: TeacherRequest) -> Teacher:
        raise LookupError(request)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers goes with it; the folder's families are there before it starts."""
    monkeypatch.setattr(registry, "_families", dict(teacher_families()))


def plug_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    entry = EntryPoint(name=name, value=value, group="avkd.teachers")
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [entry])


def test_every_file_of_the_folder_is_found() -> None:
    families = teacher_families()
    assert list(families) == sorted(families)
    assert {"efficientnet_lite0", "efficientnet_lite1", "timm", "torchvision"} <= set(families)
    assert all(family.summary and "\n" not in family.summary for family in families.values())


def test_registered_family_is_found_by_the_first_part_of_its_names() -> None:
    register_teacher("echo")(Echo)
    assert isinstance(find_family("echo/anything"), Echo)
    assert isinstance(find_family("echo"), Echo)


def test_second_family_of_one_key_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="registered twice"):
        register_teacher("timm")(Echo)


@pytest.mark.parametrize("key", ["", "a/b"])
def test_key_that_could_not_be_found_again_is_refused(key: str) -> None:
    with pytest.raises(InvalidValueError, match="without '/'"):
        register_teacher(key)(Echo)


def test_unknown_teacher_offers_close_matches() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean .*efficientnet_lite0"):
        find_family("efficientnet_light0")


def test_requests_reach_the_family_resolved() -> None:
    register_teacher("echo")(Echo)
    for use in (declare_teacher, load_teacher):
        with pytest.raises(LookupError) as caught:
            use(parse_teacher("echo/x", device="cpu"))
        assert caught.value.args[0].runtime == "onnxruntime"


def test_plug_in_is_loaded_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # Any importable object will do: a family is whatever its builder gives.
    plug_in(monkeypatch, "plugged", "types:SimpleNamespace")
    assert find_family("plugged/x") is teacher_families()["plugged"]


def test_plug_in_shows_in_the_list_and_among_close_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "plugged", "types:SimpleNamespace")
    with pytest.raises(UnknownNameError, match="did you mean plugged"):
        find_family("pluged")
    assert "plugged" in teacher_families()


def test_broken_plug_in_is_named_and_disturbs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "broken", "no_such_package_at_all:Family")
    assert find_family("timm/resnet18").summary
    with pytest.raises(InvalidValueError, match=r"'broken'.*uninstall"):
        find_family("broken")


def test_listing_and_declaring_import_no_torch() -> None:
    code = (
        "import sys, time\n"
        "from avkd.stages.teachers.registry import declare_teacher, teacher_families\n"
        "from avkd.stages.teachers.request import parse_teacher\n"
        "teacher_families()\n"
        "for name in ('efficientnet_lite0', 'efficientnet_lite1'):\n"
        "    before = time.process_time()\n"
        "    declare_teacher(parse_teacher(name))\n"
        "    assert time.process_time() - before < 0.5\n"
        "assert not {'torch', 'timm', 'torchvision', 'onnxruntime'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
