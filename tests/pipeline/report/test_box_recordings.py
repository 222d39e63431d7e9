from pathlib import Path

import pytest

from avkd.pipeline.recipe import to_json
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.report.box_recordings import find_learned_score
from avkd.pipeline.run_dir import RunDir


@pytest.mark.parametrize(
    ("variant", "evaluated_from", "shown_from"),
    [("phase", 0.3, 0.5), ("phase", 0.7, 0.7), ("default", 0.3, 0.3)],
)
def test_teachers_are_shown_from_the_score_on_that_was_learned_from(
    tmp_path: Path, variant: str, evaluated_from: float, shown_from: float
) -> None:
    recipe = get_recipe("stereosoundnet", variant)
    RunDir(path=tmp_path).recipe_file.write_text(to_json(recipe))
    assert find_learned_score(tmp_path, evaluated_from) == shown_from
