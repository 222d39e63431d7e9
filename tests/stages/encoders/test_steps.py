import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.encoders.steps import columns_to_steps


def test_as_many_columns_as_steps_pass_unchanged() -> None:
    columns = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(columns_to_steps(columns, 4), columns.transpose(1, 2))


def test_more_columns_are_averaged_within_their_step() -> None:
    columns = torch.tensor([[[1.0, 3.0, 10.0, 20.0]]])
    assert columns_to_steps(columns, 2).flatten().tolist() == [2.0, 15.0]


def test_a_column_across_the_border_counts_in_both_steps() -> None:
    columns = torch.tensor([[[0.0, 6.0, 12.0]]])
    assert columns_to_steps(columns, 2).flatten().tolist() == [3.0, 9.0]


def test_fewer_columns_than_steps_are_shared() -> None:
    columns = torch.tensor([[[5.0, 7.0]]])
    assert columns_to_steps(columns, 4).flatten().tolist() == [5.0, 5.0, 7.0, 7.0]


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12))
def test_steps_stay_within_the_columns_and_keep_constants(columns: int, steps: int) -> None:
    values = torch.rand(2, 3, columns)
    result = columns_to_steps(values, steps)
    assert result.shape == (2, steps, 3)
    assert result.min() >= values.min() - 1e-6
    assert result.max() <= values.max() + 1e-6
    assert torch.allclose(
        columns_to_steps(torch.full((1, 1, columns), 2.5), steps), torch.tensor(2.5)
    )
