import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.pipeline.recipe import OptimiserConfig, ScheduleConfig
from avkd.pipeline.training.schedule import count_updates, learning_rate

OPTIMISER = OptimiserConfig(learning_rate=0.1)


def test_a_run_is_as_long_as_its_epochs_or_its_updates() -> None:
    assert count_updates(ScheduleConfig(num_epochs=3), 7) == 21
    assert count_updates(ScheduleConfig(num_updates=5), 7) == 5


def test_warm_up_rises_in_a_line_to_the_rate() -> None:
    schedule = ScheduleConfig(num_updates=10, warmup_updates=3)
    rates = [learning_rate(update, 10, schedule, OPTIMISER) for update in range(5)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_a_cosine_starts_at_the_rate_and_is_half_of_it_in_the_middle() -> None:
    schedule = ScheduleConfig(num_updates=100, shape="cosine")
    assert learning_rate(0, 100, schedule, OPTIMISER) == pytest.approx(0.1)
    assert learning_rate(50, 100, schedule, OPTIMISER) == pytest.approx(0.05)
    assert learning_rate(100, 100, schedule, OPTIMISER) == pytest.approx(0)


@given(st.integers(1, 200), st.integers(0, 250), st.data())
def test_the_rate_stays_between_zero_and_the_given_one(
    num_updates: int, warmup: int, data: st.DataObject
) -> None:
    schedule = ScheduleConfig(num_updates=num_updates, warmup_updates=warmup, shape="cosine")
    update = data.draw(st.integers(0, num_updates - 1))
    assert 0 < learning_rate(update, num_updates, schedule, OPTIMISER) <= 0.1 + 1e-12
