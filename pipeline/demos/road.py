"""The road, whole: drives, detectors, a store, students that hear where vehicles are, a report.

Every stage but the first runs as the command that a user would type, in a process of its own: no
detector is where a student learns. What a stopped demo left is used again; evaluations are made
anew.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avkd.pipeline.demos.box_scores import BoxMeans, gather_box_scores
from avkd.pipeline.demos.road_commands import RoadCommands, Student
from avkd.pipeline.demos.road_presets import STEREO, RoadPreset, choose_road_preset
from avkd.pipeline.demos.road_report import RoadStory, write_road_report
from avkd.pipeline.demos.stages import DemoStages, OnDemoProgress


@dataclass(frozen=True, kw_only=True)
class RoadDemoReport:
    """What a demo measured, on simulated drives that nothing was learned from."""

    report: str
    """Path of report.html."""
    preset: str
    recipe: str
    scores: Mapping[str, BoxMeans]
    """By variant, group and metric, held to the truth."""
    teachers: Mapping[str, BoxMeans]
    """The same of the detectors, which see the pictures; the camera's first."""
    content_digest: str
    seconds: Mapping[str, float]
    """Wall time by stage."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``teacher`` is the camera's detector."""
        plain = asdict(self)
        return {"simulated": True, **plain, "teacher": next(iter(plain["teachers"].values()))}


def run_road_demo(
    out: str,
    *,
    recipe: str = STEREO,
    fast: bool = False,
    on_progress: OnDemoProgress = lambda event: None,
) -> RoadDemoReport:
    """Make the road, teach, train, measure and tell, in a folder of its own below ``out``.

    Raises:
        InvalidValueError: there is no demo of the recipe.
        AvkdError: a stage failed; the message is the stage's.
    """
    preset = choose_road_preset(recipe, fast=fast)
    stages = DemoStages(on_progress=on_progress)
    demo = RoadCommands(preset=preset, folder=Path(out) / preset.name, stages=stages)
    with stages.timed("world"):
        world = demo.make_world()
    with stages.timed(demo.detectors_stage):
        demo.train_detectors(world)
    with stages.timed("extraction"):
        extraction = demo.extract(world)
    with stages.timed("students"):
        demo.train_students()
    with stages.timed("evaluation"):
        told = demo.evaluate(world)
    scores, teachers = _gather_students(preset, told), _gather_teachers(preset, told)
    with stages.timed("report"):
        story = RoadStory(
            recipe=preset.recipe,
            store=demo.store,
            truth=world.truth,
            num_microphones=preset.num_microphones,
            runs={
                variant: [demo.run_folder((variant, seed)) for seed in preset.seeds]
                for variant in preset.variants
            },
            scores=scores,
            teachers=teachers,
            seconds=stages.seconds,
        )
        report = write_road_report(demo.folder / "report.html", story)
    return RoadDemoReport(
        report=report,
        preset=preset.name,
        recipe=preset.recipe,
        scores=scores,
        teachers=teachers,
        content_digest=extraction["content_digest"],
        seconds=stages.rounded_seconds,
    )


def _gather_students(
    preset: RoadPreset, told: Mapping[Student, Mapping[str, Any]]
) -> dict[str, BoxMeans]:
    """What each variant scored, over its seeds."""
    return {
        variant: gather_box_scores([told[variant, seed] for seed in preset.seeds])
        for variant in preset.variants
    }


def _gather_teachers(
    preset: RoadPreset, told: Mapping[Student, Mapping[str, Any]]
) -> dict[str, BoxMeans]:
    """Each said what it said: its row is the same beside every student."""
    first = next(iter(told.values()))
    return {each.name: gather_box_scores([first], each.name) for each in preset.teachers}
