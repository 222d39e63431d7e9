from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def tables(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("road_tables")


def report(**metrics: float | None) -> dict[str, Any]:
    groups = [{"group": group, "metrics": metrics} for group in ("all", "light=night")]
    return {"scores": [{"name": "student", "groups": groups}], "seconds": 1.0, "notes": []}


def test_cells_are_means_over_seeds_and_dashes_where_a_seed_has_no_number(
    tables: ModuleType,
) -> None:
    scores = tables.gather([report(MOTA=0.1, IDF1=0.5), report(MOTA=0.3, IDF1=None)])
    assert tables.say(scores, "all", "MOTA") == "20.0 (14.1)"
    assert tables.say(scores, "all", "IDF1") == "-"
    assert tables.say(scores, "light=dusk", "MOTA") == "-"
    assert tables.say(scores[:1], "light=night", "MOTA") == "10.0"
    assert tables.say(scores[:1], "all", "MOTA", 1.0, digits=2) == "0.10"
    assert tables.say(scores, "all", "MOTA", 1.0, digits=2) == "0.20 (0.14)"


def test_our_rows_stand_above_those_of_the_papers(tables: ModuleType) -> None:
    found = {"ours": tables.gather([report(MOTA=0.5, **{"as_released_AP@0.5": 0.25})])}
    told = tables.as_released(found, [("theirs", "1", "2", "3", "4", "5", "6", "7")])
    assert told.splitlines() == [
        "| ours (simulated) | - | 25.0 | - | - | - | 50.0 | - |",
        "| theirs | 1 | 2 | 3 | 4 | 5 | 6 | 7 |",
    ]
