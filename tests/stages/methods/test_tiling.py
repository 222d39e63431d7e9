import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import Batch
from avkd.stages.methods.tiling import repeat_to, tile_batch, tile_indices


def make_batch(num_steps: list[int], total: int = 4, samples_per_step: int = 5) -> Batch:
    """Sound and targets both say which step they belong to; zeros and -1 after the real ones."""
    steps = torch.arange(1, total + 1)
    real = steps <= torch.tensor(num_steps)[:, None]
    marks = torch.where(real, steps, 0)
    sound = marks.repeat_interleave(samples_per_step, dim=1)[:, None].float()
    ids = torch.where(real, steps, -1)[..., None]
    return Batch(
        clip_ids=tuple(str(place) for place in range(len(num_steps))),
        inputs={"waveform": sound},
        num_steps=torch.tensor(num_steps),
        targets={
            "dense": ids.float(),
            "sparse": SparseTargets(
                values=ids.float(), ids=ids, log_sum_exp=ids.float(), temperatures=(1.0,)
            ),
        },
        embeddings={"dense": ids.float()},
    )


def test_three_of_four_steps_are_filled_with_the_first() -> None:
    tiled = tile_batch(make_batch([3, 1, 4]))
    assert tiled.waveform[0, 0, ::5].tolist() == [1, 2, 3, 1]
    assert tiled.waveform[1].unique().tolist() == [1]
    assert tiled.waveform[2, 0, ::5].tolist() == [1, 2, 3, 4]
    assert tiled.num_steps.tolist() == [4, 4, 4]


@settings(deadline=None)
@given(st.integers(1, 6), st.data())
def test_sound_and_every_target_stay_in_step(total: int, data: st.DataObject) -> None:
    num_steps = data.draw(st.lists(st.integers(1, total), min_size=1, max_size=4))
    tiled = tile_batch(make_batch(num_steps, total))
    heard = tiled.waveform[:, 0, ::5]
    dense, sparse = tiled.targets["dense"], tiled.targets["sparse"]
    assert isinstance(dense, torch.Tensor)
    assert isinstance(sparse, SparseTargets)
    for stored in (dense, tiled.embeddings["dense"], sparse.values, sparse.ids, sparse.log_sum_exp):
        assert torch.equal(stored[..., 0].float(), heard)
    assert heard.min() >= 1


def test_zeros_inside_real_steps_are_kept_and_repeated() -> None:
    batch = make_batch([2])
    batch.waveform[0, 0, 8:] = 0
    tiled = tile_batch(batch).waveform[0, 0]
    assert torch.equal(tiled[:10], tiled[10:])
    assert not tiled[8:10].any()


def test_full_clips_are_the_same_object() -> None:
    batch = make_batch([4, 4])
    assert tile_batch(batch) is batch


@pytest.mark.parametrize("num_steps", [[0, 4], [5]])
def test_clips_without_or_with_too_many_steps_are_refused(num_steps: list[int]) -> None:
    with pytest.raises(InvalidValueError, match="must be from 1 to 4"):
        tile_batch(make_batch(num_steps))


def test_tile_indices_count_round_and_round() -> None:
    assert tile_indices(torch.tensor([3, 5]), 5).tolist() == [[0, 1, 2, 0, 1], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(("num_samples", "expected"), [(2, [1, 2]), (7, [1, 2, 3, 1, 2, 3, 1])])
def test_repeat_to_goes_round_or_cuts(num_samples: int, expected: list[int]) -> None:
    waveform = torch.tensor([[1, 2, 3]])
    assert repeat_to(waveform, num_samples).tolist() == [expected]


def test_repeat_to_refuses_an_empty_sound() -> None:
    with pytest.raises(InvalidValueError, match="empty waveform"):
        repeat_to(torch.zeros(1, 0), 5)
