import os
import pickle
import re
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import save_file
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.checkpoint import digest_state_dict, load_strictly, read_state_dict

ROOT = Path(__file__).resolve().parents[3]


class Attack:
    """What a hostile checkpoint does when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def tensors() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, -1.0])}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    ],
)
def test_state_dict_is_found_in_its_wrappings(tmp_path: Path, wrap: object) -> None:
    path = tmp_path / "weights.pth"
    torch.save(wrap(tensors()), path)  # type: ignore[operator]
    assert digest_state_dict(read_state_dict(path)) == digest_state_dict(tensors())


def test_safetensors_and_checkpoint_give_the_same(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "weights.safetensors")
    state = read_state_dict(tmp_path / "weights.safetensors")
    assert digest_state_dict(state) == digest_state_dict(tensors())


def test_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path) -> None:
    for number, save in enumerate(
        (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content)))
    ):
        path, harm = tmp_path / f"evil{number}.pth", tmp_path / f"harm{number}"
        save({"state_dict": tensors(), "extra": Attack(harm)}, path)
        with pytest.raises(InvalidValueError, match="could run code") as caught:
            read_state_dict(path)
        assert not harm.exists()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_damaged_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidValueError, match=name) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


def test_cut_off_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(tensors(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InvalidValueError, match="damaged"):
        read_state_dict(path)


def test_torch_is_new_enough_for_weights_only_to_hold() -> None:
    """Before 2.6 it could be got round (CVE-2025-32434), before 2.10 memory was damaged."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch_range,) = (
        each.specifier for each in map(Requirement, project["dependencies"]) if each.name == "torch"
    )
    assert not any(torch_range.contains(version) for version in ("2.5.1", "2.6.0", "2.9.1"))


def test_nothing_is_unpickled_or_opened_without_weights_only() -> None:
    calls = re.compile(r"\b(torch\.load|pickle\.loads?|joblib\.load|np\.load)\(([^\n]*)")
    for path in (ROOT / "stages").rglob("*.py"):
        for call, arguments in calls.findall(path.read_text()):
            is_safe = (
                "weights_only=True" in arguments if call == "torch.load" else call == "np.load"
            )
            assert is_safe, f"{path}: {call}"
            assert "allow_pickle=True" not in arguments, path


def test_missing_file_offers_the_option(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="--weights"):
        read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_checkpoint_without_tensors_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(InvalidValueError, match="no state dict"):
        read_state_dict(path)


def test_digest_sees_names_types_shapes_and_values() -> None:
    state = tensors()
    others = [
        {"weight": state["weight"], "offset": state["bias"]},
        {**state, "bias": state["bias"].to(torch.bfloat16)},
        {**state, "weight": state["weight"].reshape(3, 2)},
        {**state, "bias": -state["bias"]},
    ]
    assert len({digest_state_dict(each) for each in [state, *others]}) == 5


def test_digest_is_blind_to_order_and_strides() -> None:
    state = tensors()
    turned = {"bias": state["bias"], "weight": state["weight"].t().contiguous().t()}
    assert digest_state_dict(turned) == digest_state_dict(state)


def test_scalar_tensors_have_a_digest() -> None:
    assert digest_state_dict({"n": torch.tensor(1)}) != digest_state_dict({"n": torch.tensor(2)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bias"), r"1 missing \(first bias\)"),
        (lambda state: state.update(extra=torch.ones(1)), r"1 left over \(first extra\)"),
        (lambda state: state.update(bias=torch.ones(3)), r"of another shape \(first bias\)"),
    ],
)
def test_tensor_without_its_place_is_named(change: object, message: str) -> None:
    state = tensors()
    change(state)  # type: ignore[operator]
    with pytest.raises(InvalidValueError, match=message):
        load_strictly(nn.Linear(3, 2), state, source="weights.pth")


def test_strict_load_fills_the_network() -> None:
    network = nn.Linear(3, 2)
    load_strictly(network, tensors(), source="weights.pth")
    assert torch.equal(network.weight, tensors()["weight"])
