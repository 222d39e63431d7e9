import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.encoders.real_steps import (
    StepPool,
    real_columns,
    real_mask,
    real_samples,
    samples_per_step,
)
from avkd.stages.encoders.streams import InputShape

SOUND = InputShape(shape=(1, 300), sample_rate=100)


def test_stored_inputs_with_steps_tell_how_long_a_step_is() -> None:
    frames = InputShape(shape=(3, 8, 8, 3))
    assert samples_per_step({"waveform": SOUND, "frames": frames}, "waveform") == 100
    twice = InputShape(shape=(6, 8, 8, 3), frames_per_step=2)
    assert samples_per_step({"waveform": SOUND, "frames": twice}, "waveform") == 100
    lite = InputShape(shape=(4, 24))
    assert samples_per_step({"waveform": SOUND, "lite": lite}, "waveform") == 75
    vector = InputShape(shape=(5,))
    assert samples_per_step({"waveform": SOUND, "alpha": vector}, "waveform") == 0
    assert samples_per_step({"waveform": SOUND, "lite": lite, "frames": frames}, "waveform") == 0


def test_samples_are_real_up_to_the_end_of_the_last_real_step() -> None:
    num_steps = torch.tensor([1, 2, 3])
    assert real_samples(num_steps, 300, 100.0).tolist() == [100, 200, 300]
    # A waveform that was cut is real as far as it goes.
    assert real_samples(num_steps, 150, 100.0).tolist() == [100, 150, 150]
    # Nothing tells the length of a step: the longest clip fills its waveform.
    assert real_samples(num_steps, 300, 0.0).tolist() == [100, 200, 300]
    assert real_samples(torch.tensor([2, 1]), 301, 0.0).tolist() == [301, 151]


def test_the_middle_of_a_column_decides() -> None:
    assert real_columns(torch.tensor([100, 149, 151, 10]), 300, 3).tolist() == [1, 1, 2, 1]


def test_every_clip_has_a_real_step() -> None:
    assert real_mask(torch.tensor([0, 2]), 3).tolist() == [
        [True, False, False],
        [True, True, False],
    ]


def test_the_mean_is_over_real_places_alone() -> None:
    values = torch.tensor([[[1.0], [3.0], [torch.nan]], [[2.0], [4.0], [9.0]]])
    pooled = StepPool("mean", 1)(values, real_mask(torch.tensor([2, 3]), 3))
    assert pooled.flatten().tolist() == [2.0, 5.0]


def test_attention_that_scores_all_alike_is_the_mean_and_a_high_score_takes_all() -> None:
    values, mask = torch.randn(4, 5, 3), real_mask(torch.tensor([5, 1, 3, 2]), 5)
    pool = StepPool("attention", 3)
    assert pool.score is not None
    with torch.no_grad():
        pool.score.weight.zero_()
        torch.testing.assert_close(pool(values, mask), StepPool("mean", 3)(values, mask))
        pool.score.weight.copy_(torch.tensor([[1e4, 0.0, 0.0]]))
        first = values[..., 0].masked_fill(~mask, -9).argmax(dim=1)
        torch.testing.assert_close(pool(values, mask), values[torch.arange(4), first])


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.sampled_from(["mean", "attention"]))
def test_a_pool_of_equal_vectors_is_that_vector(num_real: list[int], kind: str) -> None:
    vector = torch.tensor([1.0, -2.0])
    pooled = StepPool(kind, 2)(
        vector.expand(len(num_real), 6, 2), real_mask(torch.tensor(num_real), 6)
    )
    torch.testing.assert_close(pooled, vector.expand(len(num_real), 2))


def test_unknown_pools_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="pool 'max' is not known; use mean or attention"):
        StepPool("max", 2)
