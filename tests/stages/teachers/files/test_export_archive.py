import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.files.export_archive import check_archive, pack_archive

PATH = Path("net.pt2")
GRAPH = "models/model.json"


class Net(nn.Module):
    """Numbers to a mapping, with dropout and a part without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))

    def forward(self, numbers: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            doubled = numbers * 2
        return {"scores": self.head(doubled), "numbers": doubled}


def save(network: nn.Module) -> bytes:
    axes = ({0: torch.export.Dim("n")},)
    file = io.BytesIO()
    program = torch.export.export(network, (torch.zeros(2, 4),), dynamic_shapes=axes)
    torch.export.save(program, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def content() -> bytes:
    torch.manual_seed(0)
    return save(Net().eval())


def change_graph(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    entries = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            entries[name.partition("/")[2]] = archive.read(name)
    program = json.loads(entries[GRAPH])
    change(program)
    return pack_archive({**entries, GRAPH: json.dumps(program).encode()}).getvalue()


def say(content: bytes) -> dict[str, Tensor]:
    """What the network in an archive says, as it was looked through."""
    program = torch.export.load(pack_archive(check_archive(PATH, content)))
    said: dict[str, Tensor] = program.module()(torch.ones(2, 4))
    return said


def test_a_plain_archive_says_what_its_network_says(content: bytes) -> None:
    torch.manual_seed(0)
    expected = Net().eval()(torch.ones(2, 4))
    said = say(content)
    assert list(said) == ["scores", "numbers"]
    torch.testing.assert_close(said["scores"], expected["scores"])


def test_what_is_loaded_is_what_was_looked_through_and_not_the_file(content: bytes) -> None:
    # Python's reader passes over what lies before an archive, torch's does not.
    torch.testing.assert_close(say(b"in front" + content), say(content))


def test_guards_are_not_run(content: bytes, tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    guard = f"__import__('os').mkdir({str(harm)!r}) is None"

    def add(program: dict[str, Any]) -> None:
        program["guards_code"] = [guard]

    hostile = change_graph(content, add)
    torch.export.load(io.BytesIO(hostile)).module()(torch.ones(2, 4))
    assert harm.exists()  # what torch does
    harm.rmdir()
    say(hostile)
    assert not harm.exists()


ENUM = json.dumps([{"__enum__": True, "fqn": "harm:Harm", "name": "A"}])
FACTORY = {"default_factory_module": "harm", "default_factory_name": "f", "dict_context": ["s"]}


@pytest.mark.parametrize(
    ("kind", "context"),
    [
        ("builtins.dict", ENUM),
        ("builtins.dict", ENUM.replace("__enum__", "\\u005f_enum__")),
        ("collections.defaultdict", FACTORY),
        ("collections.namedtuple", '"harm"'),
    ],
)
def test_outputs_that_name_modules_are_refused_and_nothing_is_imported(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, context: object
) -> None:
    (tmp_path / "harm.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def name_module(program: dict[str, Any]) -> None:
        leaf = {"type": None, "context": None, "children_spec": []}
        tree = {"type": kind, "context": context, "children_spec": [leaf, leaf]}
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        signature["out_spec"] = json.dumps([1, tree])

    with pytest.raises(InvalidValueError, match=f"inputs or outputs of the kind '{kind}'"):
        check_archive(PATH, change_graph(content, name_module))
    assert "harm" not in sys.modules


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        ("torch.ops.aten.from_file.default", "none of torch's own"),
        ("torch.ops.higher_order.print", "none of torch's own"),
        ("torch.ops.aten.rand_like.default", "which is random"),
        ("torch.ops.aten.bernoulli_.float", "which is random"),
    ],
)
def test_operators_that_write_files_or_throw_dice_are_refused(
    content: bytes, operator: str, message: str
) -> None:
    def replace_first(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"]["nodes"][0]["target"] = operator

    with pytest.raises(InvalidValueError, match=message):
        check_archive(PATH, change_graph(content, replace_first))


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"call eval\(\) before the export"):
        check_archive(PATH, save(Net().train()))


def test_flipped_bytes_are_refused_in_words_or_change_nothing_of_the_graph(content: bytes) -> None:
    rng = np.random.default_rng(0)
    graph = check_archive(PATH, content)[GRAPH]
    refusals = []
    for place in rng.integers(0, len(content), 400).tolist():
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        try:
            entries = check_archive(PATH, bytes(flipped))
        except InvalidValueError as error:
            refusals.append(str(error))
        else:
            assert entries.get(GRAPH) == graph
    assert len(refusals) > 200
    assert not any("\n" in refusal for refusal in refusals)


@pytest.mark.parametrize("config", [[], {"config": []}, {"config": {"a": 3}}, {"config": None}])
def test_settings_of_another_shape_are_refused_in_words(content: bytes, config: object) -> None:
    entries = dict(check_archive(PATH, content))
    entries["data/weights/model_weights_config.json"] = json.dumps(config).encode()
    with pytest.raises(InvalidValueError, match="is no whole archive"):
        check_archive(PATH, pack_archive(entries).getvalue())


def test_an_entry_under_a_password_is_refused_in_words(content: bytes) -> None:
    # Bit 0 of the flags, in the directory at the end.
    flags = content.rindex(b"PK\x01\x02") + 8
    locked = content[:flags] + b"\x01" + content[flags + 1 :]
    with pytest.raises(InvalidValueError, match="is no whole archive"):
        check_archive(PATH, locked)


@pytest.mark.parametrize(
    "name",
    [
        "data/weights/model.pt",
        "data/constants/custom_obj_0",
        "data/aotinductor/model/x.so",
        "models/model2.json",
        "../x",
    ],
)
def test_entries_that_may_be_code_are_refused(content: bytes, name: str) -> None:
    entries = {**check_archive(PATH, content), name: b""}
    with pytest.raises(InvalidValueError, match="which may be code"):
        check_archive(PATH, pack_archive(entries).getvalue())


def test_packed_entries_are_refused(content: bytes) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, entry in check_archive(PATH, content).items():
            archive.writestr(f"net/{name}", entry)
    with pytest.raises(InvalidValueError, match="the packed entry"):
        check_archive(PATH, packed.getvalue())


@pytest.mark.parametrize(
    ("entry", "old", "new", "message"),
    [
        ("model_weights_config.json", '"use_pickle": false', '"use_pickle": true', "pickled entry"),
        ("model_weights_config.json", '"weight_0"', '"../x"', "pickled entry"),
        ("model.json", "torch.ops.aten.linear.default", "torch.os.system", "none of torch's own"),
        ("model.json", "torch.ops.aten.linear.default", "torch.ops.mine.x", "none of torch's own"),
        (
            "model.json",
            "torch.ops.aten.linear.default",
            "_operator.methodcaller",
            "none of torch's own",
        ),
        ("model.json", '"expr_str": "', '"expr_str": "().__class__', "more than arithmetic"),
        ("model.json", '"expr_str": "', '"expr_str": "9**9**9', "more than arithmetic"),
        ("model.json", '"expr_str": "', '"expr_str": "1<<99999999999', "more than arithmetic"),
        ("model.json", '"expr_str": "', f'"expr_str": "{"1" * 60}!', "more than arithmetic"),
    ],
)
def test_what_would_be_unpickled_run_or_evaluated_is_refused(
    content: bytes, entry: str, old: str, new: str, message: str
) -> None:
    entries = dict(check_archive(PATH, content))
    (name,) = (each for each in entries if each.endswith(entry))
    assert old.encode() in entries[name]
    entries[name] = entries[name].replace(old.encode(), new.encode())
    with pytest.raises(InvalidValueError, match=message):
        check_archive(PATH, pack_archive(entries).getvalue())


def test_two_entries_for_one_place_are_refused(content: bytes) -> None:
    twice = io.BytesIO(content)
    with (
        zipfile.ZipFile(twice, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr(archive.namelist()[0], b"")
    with pytest.raises(InvalidValueError, match="two entries for one place"):
        check_archive(PATH, twice.getvalue())
