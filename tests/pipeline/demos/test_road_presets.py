from pathlib import Path

import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.demos.road_commands import RoadCommands
from avkd.pipeline.demos.road_presets import ROAD_RECIPES, choose_road_preset
from avkd.pipeline.demos.stages import DemoStages
from avkd.pipeline.recipes.registry import recipe_variants
from avkd.stages.simulation.worlds.road import plan_road

PRESETS = [choose_road_preset(name, fast=fast) for name in ROAD_RECIPES for fast in (False, True)]


def test_every_recipe_has_a_folder_of_its_own_for_each_size():
    assert [preset.name for preset in PRESETS] == [
        "road-full",
        "road-fast",
        "ring-full",
        "ring-fast",
    ]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_presets_name_variants_that_are_there_and_worlds_with_every_group(preset):
    assert set(preset.variants) <= set(recipe_variants(preset.recipe))
    tests = [one for one in plan_road(preset.world) if one.split == "test"]
    assert {one.view_split for one in tests} == {"seen", "unseen"}
    assert {"day", "night"} <= {one.drive.light for one in tests}
    assert (preset.clip_seconds, preset.world.recorder.frame_rate) == (5.0, 4.0)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_students_hear_all_microphones_of_the_road(preset):
    drives = [one.drive for one in plan_road(preset.world)]
    assert {drive.microphones.num_channels for drive in drives} == {preset.num_microphones}
    assert preset.num_microphones == (8 if preset.recipe == "mm_distillnet" else 2)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_no_student_lies_where_a_teacher_does(preset):
    """One variant of mm-distillnet is called as the camera's detector is."""
    demo = RoadCommands(preset=preset, folder=Path(), stages=DemoStages(on_progress=print))
    teachers = {demo.detector_folder(each) for each in preset.teachers}
    students = {folder for each in demo.students for folder in demo.run_folder(each).parents}
    assert len(teachers) == len(preset.teachers)
    assert not teachers & students


def test_the_road_of_two_microphones_lies_where_it_did():
    demo = RoadCommands(preset=PRESETS[0], folder=Path("d"), stages=DemoStages(on_progress=print))
    assert demo.detector_folder(PRESETS[0].teachers[0]) == Path("d/runs/rgb")
    assert demo.run_folder(("phase", 0)) == Path("d/runs/phase/seed-0")
    assert demo.detectors_stage == "detector"
    assert PRESETS[0].streams == ("rgb", "audio")


def test_students_of_three_teachers_learn_by_night_and_those_of_the_camera_do_not():
    for preset in PRESETS:
        is_ring = preset.recipe == "mm_distillnet"
        assert preset.where == (() if is_ring else ("light=day,dusk,rain",))
        assert not is_ring or preset.world.train.night > 0


def test_a_recipe_may_be_written_as_the_catalogue_or_as_the_paper_has_it():
    for name in ("mm_distillnet", "mm-distillnet"):
        assert choose_road_preset(name, fast=True).name == "ring-fast"


def test_a_recipe_without_a_demo_is_refused():
    with pytest.raises(InvalidValueError, match="give stereosoundnet or mm_distillnet"):
        choose_road_preset("soundnet", fast=False)
