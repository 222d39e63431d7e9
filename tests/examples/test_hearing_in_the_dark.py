import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from avkd.cli.training_options import Choices


@pytest.fixture(scope="module")
def example(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("hearing_in_the_dark")


def report(**metrics: float | None) -> dict[str, Any]:
    groups = [{"group": group, "metrics": metrics} for group in ("all", "light=night")]
    return {"scores": [{"name": "student", "groups": groups}], "seconds": 1.0, "notes": []}


def test_every_row_is_a_recipe_that_there_is_and_they_all_differ(example: ModuleType) -> None:
    recipes = [
        Choices(
            recipe=row.recipe,
            variant=row.variant,
            split="train",
            where=(),
            label_column="",
            overrides=[change.removeprefix("--set=") for change in row.changes],
        ).resolve()
        for row in example.ROWS
    ]
    told = [(row.counts_first, recipe) for row, recipe in zip(example.ROWS, recipes, strict=True)]
    assert all(one != other for place, one in enumerate(told) for other in told[:place])
    assert len({row.name for row in example.ROWS}) == len(example.ROWS)
    assert [row.counts_first for row in example.ROWS].count(True) == 1


def test_the_world_is_that_of_the_other_road_with_a_ring_of_microphones(
    example: ModuleType,
) -> None:
    from avkd.stages.simulation.worlds.road import full_road_world

    ring, pair = example.official_world(500), full_road_world(500)
    assert ring.recorder.array == "ring"
    assert (ring.train, ring.test, ring.unseen_test) == (pair.train, pair.test, pair.unseen_test)


def test_the_page_has_a_line_of_each_row_in_each_table_and_those_of_the_paper(
    example: ModuleType, tmp_path: Path
) -> None:
    found = {row.title: [report(**{"AP@0.5": 0.625})] for row in example.ROWS}
    asked = argparse.Namespace(world=500, seeds=[0], jobs=2)
    seen = {name: report(**{"AP@0.5": 0.9}) for name in example.TEACHERS}
    example.write_page(tmp_path, asked, found, seen)
    page = (tmp_path / "README.md").read_text()
    for title in (*found, "the rgb detector, which sees", "the thermal detector, which sees"):
        assert page.count(f"\n| {title} ") == 5
    assert page.count("62.5") == len(found) * 2
    assert "| 61.6 | 84.3 | 59.7 | 1.27 | 0.69 | 27.0 | 1078 |" in page
    assert (
        "python examples/hearing_in_the_dark.py ring docs/results/mm-distillnet --seeds 0" in page
    )
