import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from avkd.cli.training_options import Choices, read_where


@pytest.fixture(scope="module")
def example(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("dense_mke")


def report(**metrics: float | None) -> dict[str, Any]:
    groups = [{"group": group, "metrics": metrics} for group in ("all", "light=night")]
    return {"scores": [{"name": "student", "groups": groups}], "seconds": 1.0, "notes": []}


def test_every_row_is_a_recipe_that_there_is_and_they_all_differ(example: ModuleType) -> None:
    recipes = [
        Choices(
            recipe="mke-dense",
            variant=row.variant,
            split="",
            where=[word.removeprefix("--where=") for word in row.where],
            label_column="",
            overrides=(),
        ).resolve()
        for row in example.ROWS
    ]
    assert all(one != other for place, one in enumerate(recipes) for other in recipes[:place])
    assert all(recipe.data.split == "train" for recipe in recipes)
    assert len({row.name for row in example.ROWS}) == len(example.ROWS)
    assert "night" not in read_where([example.BY_LIGHT])["light"]


def test_the_page_has_a_line_of_each_row_in_both_tables(
    example: ModuleType, tmp_path: Path
) -> None:
    found = {
        row.title: [report(mIoU=0.5, IoU_vehicle=None), report(mIoU=0.7, IoU_vehicle=0.5)]
        for row in example.ROWS
    }
    asked = argparse.Namespace(world=500, seeds=[0, 1], labelled_frames=1, jobs=2)
    example.write_page(tmp_path, asked, found, report(mIoU=0.25, IoU_vehicle=0.125))
    page = (tmp_path / "README.md").read_text()
    for title in (*found, "the teacher, RGB"):
        assert page.count(f"\n| {title} |") == 2
    assert page.count("60.0 (14.1)") == 2 * len(found)
    assert "| the teacher, RGB | 12.5 | - | - | - | 12.5 |" in page
    assert "74 labelled ones, 6 of them by night" in page
    assert "dense_mke.py dense docs/results/mke-dense --seeds 0 1\n" in page
