import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from avkd.cli.training_options import Choices


@pytest.fixture(scope="module")
def example(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("stereo_road")


def report(**metrics: float | None) -> dict[str, Any]:
    groups = [{"group": group, "metrics": metrics} for group in ("all", "light=night")]
    return {"scores": [{"name": "student", "groups": groups}], "seconds": 1.0, "notes": []}


def test_every_row_is_a_recipe_that_there_is_and_they_all_differ(example: ModuleType) -> None:
    rows = (*example.ROWS, *example.PAPERS_EAR)
    recipes = [
        Choices(
            recipe="stereosoundnet",
            variant=row.variant,
            split="train",
            where=(row.where,),
            label_column="",
            overrides=[change.removeprefix("--set=") for change in row.changes],
        ).resolve()
        for row in rows
    ]
    assert all(one != other for n, one in enumerate(recipes) for other in recipes[:n])
    assert len({row.name for row in rows}) == len(rows)
    lights = [recipe.data.where["light"] for recipe in recipes]
    assert [("night" in each) for each in lights].count(True) == 1


def test_the_page_has_a_line_of_each_row_in_each_table_and_those_of_the_papers(
    example: ModuleType, tmp_path: Path
) -> None:
    found = {row.title: [report(**{"AP@0.5": 0.625})] for row in example.ROWS}
    asked = argparse.Namespace(world=400, seeds=[0], papers_ear=False)
    example.write_page(tmp_path, asked, found, report(**{"AP@0.5": 0.9}))
    page = (tmp_path / "README.md").read_text()
    for title in (*found, "the detector, which sees"):
        assert page.count(f"\n| {title}") == 4
    assert page.count("62.5") == len(found) * 2
    assert "| 44.1 | 62.4 | 41.5 | 3.00 | 2.24 | 16.9 | 1327 |" in page
    assert "python examples/stereo_road.py road docs/results/stereosoundnet --seeds 0\n" in page
