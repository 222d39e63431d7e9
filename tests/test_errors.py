"""What errors tell a user."""

import pytest

from avkd.errors import UnknownNameError


@pytest.mark.parametrize(
    ("known", "hint"),
    [
        (["lion", "zebra"], "did you mean lion?"),
        (["zebra", "ant"], "known: ant, zebra"),
        (
            [f"animal-{number:02}-of-the-zoo" for number in range(22)],
            "animal-19-of-the-zoo and 2 more",
        ),
        ([], "there is none"),
    ],
)
def test_an_unknown_name_is_told_with_the_close_ones_or_with_all(
    known: list[str], hint: str
) -> None:
    message = str(UnknownNameError("cat", "lyon", known))
    assert message.startswith("unknown cat 'lyon'; ")
    assert message.endswith(hint)
