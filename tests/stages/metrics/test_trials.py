import numpy as np
import numpy.typing as npt
import pytest

from avkd.errors import CorpusError, InvalidValueError
from avkd.stages.metrics import trials as trials_module
from avkd.stages.metrics.trials import Trials, as_norm_scores, cosine_scores, parse_trials

LIST = """\
1 id10270/5r0dWxy17C8/00001.wav id10270/8jEAjG6SegY/00008.wav
0 id10270/5r0dWxy17C8/00001.wav id10300/ize_eiCFEg0/00003.wav
"""

EMBEDDINGS = {
    "a": np.array([3.0, 4.0]),
    "b": np.array([1.0, 0.0]),
    "c": np.array([0.0, 2.0]),
}


def make_trials(*pairs: str) -> Trials:
    return parse_trials("\n".join(f"{pair[0]} {pair[1]} {pair[2]}" for pair in pairs), "toy.txt")


def random_embeddings(num_ids: int, size: int = 8) -> dict[str, npt.NDArray[np.float64]]:
    generator = np.random.default_rng(0)
    return {f"u{place}": generator.standard_normal(size) for place in range(num_ids)}


def test_a_list_in_the_format_of_voxceleb_is_read_column_by_column() -> None:
    trials = parse_trials(LIST, "veri_test2.txt")
    assert len(trials) == 2
    assert trials.is_target.tolist() == [True, False]
    assert trials.enrol_ids == ("id10270/5r0dWxy17C8/00001.wav",) * 2
    assert trials.test_ids[1] == "id10300/ize_eiCFEg0/00003.wav"


def test_line_ends_tabs_and_empty_lines_do_not_matter() -> None:
    trials = parse_trials("\r\n1\ta  b\r\n\r\n0 a c", "toy.txt")
    assert (trials.enrol_ids, trials.test_ids) == (("a", "a"), ("b", "c"))


@pytest.mark.parametrize("line", ["1 a", "1 a b c", "2 a b", "target a b", "a b 1"])
def test_a_line_of_another_form_is_named_by_its_number(line: str) -> None:
    with pytest.raises(CorpusError, match=r"toy\.txt, line 3: .* is not a trial; write '1 ENROL"):
        parse_trials(f"1 a b\n\n{line}\n", "toy.txt")


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_list_without_trials_is_refused(text: str) -> None:
    with pytest.raises(CorpusError, match=r"toy\.txt holds no trials"):
        parse_trials(text, "toy.txt")


def test_columns_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"\(1, 2, 1\) enrol ids, test ids and labels"):
        Trials(enrol_ids=("a",), test_ids=("b", "c"), is_target=np.array([True]))
    with pytest.raises(InvalidValueError, match="is_target is int64; give bools"):
        Trials(enrol_ids=("a",), test_ids=("b",), is_target=np.array([1], dtype=np.int64))


def test_scores_are_cosines() -> None:
    scores = cosine_scores(make_trials("1ab", "1ac", "0bc", "1aa"), EMBEDDINGS)
    np.testing.assert_allclose(scores, [0.6, 0.8, 0.0, 1.0])


def test_stored_float16_embeddings_do_not_overflow() -> None:
    embeddings = {name: (value * 1e4).astype(np.float16) for name, value in EMBEDDINGS.items()}
    scores = cosine_scores(make_trials("1ab", "0bc"), embeddings)
    np.testing.assert_allclose(scores, [0.6, 0.0], atol=1e-3)


def test_long_lists_are_scored_in_pieces_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embeddings = random_embeddings(7)
    trials = parse_trials("\n".join(f"1 u{k % 7} u{k % 5}" for k in range(23)), "toy.txt")
    cohort = np.random.default_rng(1).standard_normal((6, 8))
    whole = cosine_scores(trials, embeddings), as_norm_scores(trials, embeddings, cohort, top_n=3)
    monkeypatch.setattr(trials_module, "ROWS_AT_ONCE", 4)
    pieces = cosine_scores(trials, embeddings), as_norm_scores(trials, embeddings, cohort, top_n=3)
    np.testing.assert_allclose(pieces, whole)


def test_unknown_utterances_are_counted_with_an_example() -> None:
    trials = make_trials("1ab", "0ax", "0ay", "0xy")
    expected = r"2 of the 4 utterances of toy\.txt have no embedding, such as 'x'"
    with pytest.raises(CorpusError, match=expected):
        cosine_scores(trials, EMBEDDINGS)
    with pytest.raises(CorpusError, match=expected):
        as_norm_scores(trials, EMBEDDINGS, np.eye(2), top_n=2)


@pytest.mark.parametrize("bad", [np.zeros(2), np.array([np.nan, 1.0]), np.array([np.inf, 1.0])])
def test_an_embedding_without_a_direction_is_named(bad: npt.NDArray[np.float64]) -> None:
    with pytest.raises(InvalidValueError, match="embedding of 'b' is zero or not finite"):
        cosine_scores(make_trials("1ab"), EMBEDDINGS | {"b": bad})


@pytest.mark.parametrize("bad", [np.ones(3), np.ones((1, 2))])
def test_embeddings_of_other_shapes_are_refused(bad: npt.NDArray[np.float64]) -> None:
    with pytest.raises(InvalidValueError, match="give vectors of one size"):
        cosine_scores(make_trials("1ab"), EMBEDDINGS | {"b": bad})


def test_as_norm_is_that_of_a_hand_computation() -> None:
    cohort = np.array([[1.0, 0.0], [0.0, 1.0], [-5.0, 0.0], [0.0, -0.1]])
    scores = as_norm_scores(make_trials("1ab"), EMBEDDINGS, cohort, top_n=2)
    # a = (0.6, 0.8): its two largest cohort scores are 0.8 and 0.6, mean 0.7, deviation 0.1.
    # b = (1, 0): they are 1 and 0, mean 0.5, deviation 0.5. The cosine of both is 0.6.
    np.testing.assert_allclose(scores, [((0.6 - 0.7) / 0.1 + (0.6 - 0.5) / 0.5) / 2])


def test_as_norm_is_symmetric_and_ignores_lengths() -> None:
    embeddings = random_embeddings(6)
    cohort = np.random.default_rng(1).standard_normal((20, 8))
    trials = parse_trials("1 u0 u1\n0 u2 u3\n0 u4 u5", "toy.txt")
    swapped = parse_trials("1 u1 u0\n0 u3 u2\n0 u5 u4", "toy.txt")
    scores = as_norm_scores(trials, embeddings, cohort, top_n=5)
    np.testing.assert_allclose(as_norm_scores(swapped, embeddings, 3 * cohort, top_n=5), scores)


def test_as_norm_undoes_an_offset_that_a_group_of_speakers_shares() -> None:
    generator = np.random.default_rng(2)
    offsets = np.zeros((2, 1, 16))
    offsets[0, 0, 0] = 6.0
    # Two groups of 100 speakers; the embeddings of the first are alike, whoever speaks.
    utterances = (generator.standard_normal((2, 100, 16)) + offsets).reshape(200, 16)
    cohort = (generator.standard_normal((2, 100, 16)) + offsets).reshape(200, 16)
    embeddings = {f"u{place}": row for place, row in enumerate(utterances)}
    lines = [f"0 u{place} u{place // 100 * 100 + (place + 1) % 100}" for place in range(200)]
    trials = parse_trials("\n".join(lines), "toy.txt")

    def gap(scores: npt.NDArray[np.float64]) -> float:
        first, second = scores.reshape(2, 100)
        return float((first.mean() - second.mean()) / second.std())

    plain = gap(cosine_scores(trials, embeddings))
    normed = gap(as_norm_scores(trials, embeddings, cohort, top_n=50))
    assert plain > 1.5
    assert abs(normed) < plain / 4


@pytest.mark.parametrize("top_n", [0, 1, 5])
def test_a_cohort_smaller_than_top_n_is_refused(top_n: int) -> None:
    with pytest.raises(InvalidValueError, match=f"top_n {top_n} must be from 2 to the cohort's 4"):
        as_norm_scores(make_trials("1ab"), EMBEDDINGS, np.ones((4, 2)), top_n=top_n)


def test_a_cohort_that_cannot_normalise_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="2 largest cohort scores of 'a' are all equal"):
        as_norm_scores(make_trials("1ab"), EMBEDDINGS, np.ones((4, 2)), top_n=2)
    with pytest.raises(InvalidValueError, match=r"shape \(4, 3\) does not fit embeddings of 2"):
        as_norm_scores(make_trials("1ab"), EMBEDDINGS, np.ones((4, 3)), top_n=2)
    with pytest.raises(InvalidValueError, match="embedding of 'cohort row 1' is zero"):
        as_norm_scores(make_trials("1ab"), EMBEDDINGS, np.array([[1, 0], [0, 0.0]]), top_n=2)
