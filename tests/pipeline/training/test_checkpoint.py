from pathlib import Path

import pytest
import torch
from torch import nn

from avkd.errors import CorruptStoreError, StoreUnwritableError
from avkd.pipeline.training.checkpoint import (
    TrainingState,
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)


def build_state(seed: int, *, num_steps: int = 3, amsgrad: bool = False) -> TrainingState:
    torch.manual_seed(seed)
    student = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimiser = torch.optim.AdamW(student.parameters(), lr=0.1 / (seed + 1), amsgrad=amsgrad)
    for _ in range(num_steps):
        student(torch.randn(4, 3)).square().sum().backward()
        optimiser.step()
    return TrainingState(student=student, optimiser=optimiser)


def next_weights(state: TrainingState) -> torch.Tensor:
    """The weights after one more step on the same data."""
    torch.manual_seed(99)
    state.optimiser.zero_grad()
    state.student(torch.randn(4, 3)).square().sum().backward()
    state.optimiser.step()
    return torch.cat([value.flatten().double() for value in state.student.state_dict().values()])


@pytest.mark.parametrize("amsgrad", [False, True])
def test_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path, amsgrad: bool) -> None:
    state = build_state(0, amsgrad=amsgrad)
    save_checkpoint(tmp_path, 12, state)
    other = build_state(1, num_steps=0, amsgrad=amsgrad)
    assert load_checkpoint(tmp_path, other) == 12
    assert torch.equal(next_weights(other), next_weights(state))


def test_there_is_nothing_to_load_at_first(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none", build_state(0)) == 0


def test_a_checkpoint_replaces_the_ones_before_it(tmp_path: Path) -> None:
    state = build_state(0)
    for update in (5, 10, 10):
        save_checkpoint(tmp_path, update, state)
    assert [place.name for place in tmp_path.iterdir()] == ["update-000000010"]
    remove_checkpoints(tmp_path)
    assert load_checkpoint(tmp_path, state) == 0


def test_a_checkpoint_cut_off_while_writing_does_not_count(tmp_path: Path) -> None:
    state = build_state(0)
    place = save_checkpoint(tmp_path, 5, state)
    place.rename(tmp_path / ".update-000000009.tmp")
    assert load_checkpoint(tmp_path, state) == 0
    save_checkpoint(tmp_path, 9, state)
    assert load_checkpoint(tmp_path, state) == 9


class Scaler:
    """What accelerate's loss scaler looks like from here."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def state_dict(self) -> dict[str, float]:
        return {"scale": self.scale}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.scale = state["scale"]


def test_the_loss_scale_is_kept(tmp_path: Path) -> None:
    one, other = build_state(0), build_state(0)
    scaler = Scaler(1.0)
    save_checkpoint(
        tmp_path,
        1,
        TrainingState(student=one.student, optimiser=one.optimiser, scaler=Scaler(64.0)),
    )
    load_checkpoint(
        tmp_path, TrainingState(student=other.student, optimiser=other.optimiser, scaler=scaler)
    )
    assert scaler.scale == 64.0


@pytest.mark.parametrize("file", ["training.json", "student.safetensors", "optimiser.safetensors"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, file: str) -> None:
    place = save_checkpoint(tmp_path, 7, build_state(0))
    (place / file).write_bytes(b"{")
    with pytest.raises(CorruptStoreError, match="update-000000007"):
        load_checkpoint(tmp_path, build_state(0))


def test_a_checkpoint_of_another_student_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 7, build_state(0))
    student = nn.Linear(3, 2)
    other = TrainingState(student=student, optimiser=torch.optim.Adam(student.parameters()))
    with pytest.raises(CorruptStoreError, match="damaged"):
        load_checkpoint(tmp_path, other)


def test_a_place_that_takes_no_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritableError, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "checkpoints", 1, build_state(0))
