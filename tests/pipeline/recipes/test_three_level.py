import pytest

from avkd.pipeline.recipe import differing_fields
from avkd.pipeline.recipes.registry import get_recipe, recipe_variants

ROWS = ("default", "alone", "label", "embedding", "distribution")


def test_there_is_a_variant_for_each_row_and_each_teacher() -> None:
    assert recipe_variants("three_level") == (*ROWS, "face_alone", "face", "vox", "tiny")
    assert recipe_variants("three_level_teacher") == ("default", "voice", "face", "tiny")


@pytest.mark.parametrize("variant", ROWS)
def test_the_rows_of_a_table_differ_in_what_they_learn_only(variant: str) -> None:
    differing = differing_fields(get_recipe("three_level"), get_recipe("three_level", variant))
    assert all(name == "variant" or name.startswith("method.") for name in differing)


@pytest.mark.parametrize("level", ["label", "embedding", "distribution"])
def test_a_level_alone_has_its_weight_of_all_levels(level: str) -> None:
    together, alone = (get_recipe("three_level", v).method.options for v in ("default", level))
    weights = {name: alone[f"{name}_weight"] for name in ("label", "embedding", "distribution")}
    assert weights == dict.fromkeys(weights, 0.0) | {level: together[f"{level}_weight"]}


@pytest.mark.parametrize(("student", "teacher"), [("alone", "voice"), ("face_alone", "face")])
def test_a_student_alone_is_trained_as_a_teacher_of_its_modality(
    student: str, teacher: str
) -> None:
    one, other = get_recipe("three_level", student), get_recipe("three_level_teacher", teacher)
    assert set(differing_fields(one, other)) == {"name", "variant"}


def test_all_learn_from_speakers_who_are_in_no_other_split() -> None:
    for name in ("three_level", "three_level_teacher"):
        for variant in recipe_variants(name):
            data = get_recipe(name, variant).data
            assert (data.split, data.label_column, data.group_column) == (
                "train",
                "speaker",
                "speaker",
            )
            assert data.min_rows_per_class == 2
