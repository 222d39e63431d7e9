import argparse
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest


@pytest.fixture(scope="module")
def example(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("three_level_people")


def write_take(path: Path, samples: npt.NDArray[np.int16]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=8_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.sample_rate = 8_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Four speakers with nine takes of 1.25 s, whose samples tell the speaker."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for number, speaker in enumerate(("ann", "bob", "cal", "dee")):
        for take in range(9):
            level = 100 * (number + 1) + take
            write_take(folder / f"{take}_{speaker}_0.flac", np.full(10_000, level, np.int16))
    return folder


def test_takes_are_joined_whole_and_cut_at_three_seconds(example: ModuleType, digits: Path) -> None:
    paths = sorted(digits.glob("*_bob_*.flac"))
    joined = example.join_takes(paths)
    assert [len(each) for each in joined] == [24_000] * 3
    assert all((each // 100 == 2).all() for each in joined)
    used = [level for each in joined for level in dict.fromkeys(each.tolist())]
    assert sorted(used) == list(range(200, 209))
    again = example.join_takes(reversed(paths))
    assert all(np.array_equal(one, other) for one, other in zip(joined, again, strict=True))


def test_half_of_the_voices_are_learned_from_and_the_others_told_apart(
    example: ModuleType, digits: Path, tmp_path: Path
) -> None:
    voices = example.make_voices(digits, tmp_path / "voices")
    lines = Path(voices.corpus).read_text().splitlines()
    splits = {tuple(line.split(",")[2:]) for line in lines[1:]}
    assert splits == {("ann", "train"), ("bob", "train"), ("cal", "test"), ("dee", "test")}
    trials = [line.split() for line in Path(voices.trials).read_text().splitlines()]
    assert len(trials) == 15
    assert all((one[:3] == other[:3]) == (answer == "1") for answer, one, other in trials)
    assert not any("ann" in line or "bob" in line for line in map(" ".join, trials))
    with wave.open(str(tmp_path / "voices" / trials[0][1])) as file:
        assert (file.getframerate(), file.getnframes()) == (8_000, 24_000)


def test_a_row_of_the_table_is_the_mean_and_sd_over_seeds(example: ModuleType) -> None:
    def report(eer: float, costs: Sequence[float]) -> dict[str, Any]:
        pairs = zip(example.PRIORS, costs, strict=True)
        return {str(p): {"scores": [{"metrics": {"eer": eer, "min_dcf": c}}]} for p, c in pairs}

    found = {"voice alone": [report(0.1, (0.5, 0.4)), report(0.2, (0.7, 0.4))]}
    last = example.format_rows(found).splitlines()[-1]
    assert last == "| voice alone | 15.0 (7.1) | 60.0 (14.1) | 40.0 (0.0) |"


def test_the_page_has_every_row_the_trials_and_the_command(
    example: ModuleType, tmp_path: Path
) -> None:
    details = {"num_target": 7, "num_nontarget": 9}
    one = {"scores": [{"metrics": {"eer": 0.25, "min_dcf": 0.5}, "details": details}]}
    reports = [{str(prior): one for prior in example.PRIORS}]
    asked = argparse.Namespace(seeds=[4], world=300, fsdd=Path("digits"))
    people = {example.TEACHER.title: reports, "voice alone": reports}
    example.write_page(tmp_path, asked, people, {"voice alone": reports})
    page = (tmp_path / "README.md").read_text()
    line = "25.0 (0.0) | 50.0 (0.0) | 50.0 (0.0) |"
    assert page.count(f"| voice alone | {line}") == 2
    assert page.count(f"| teacher, voice and face | {line}") == 1
    assert "7 of one person, 9 of two" in page
    assert "--seeds 4 --fsdd FOLDER" in page
    assert "{" not in page
    assert str(tmp_path) not in page


def test_every_row_trains_another_variant_of_a_recipe(example: ModuleType) -> None:
    from avkd.pipeline.recipes.registry import get_recipe

    rows = (example.TEACHER, *example.ROWS)
    recipes = [get_recipe(row.recipe, row.variant) for row in rows]
    assert len({(each.name, each.variant) for each in recipes}) == len(rows)
    assert len({row.name for row in (*rows, example.REAL_ALONE)}) == len(rows) + 1
    for row, recipe in zip(rows, recipes, strict=True):
        assert row.hears == (recipe.encoder.name == "voice_resnet")
