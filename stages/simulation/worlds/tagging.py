"""The things world as a tagging corpus: all that is heard is a label, in the picture or not."""

from collections.abc import Iterable
from pathlib import Path

from avkd.stages.simulation.files import write_text
from avkd.stages.simulation.worlds.folders import OnProgress, format_table
from avkd.stages.simulation.worlds.things import ThingSpec, ThingsWorld, plan_world
from avkd.stages.simulation.worlds.writing import recording_path, write_world

SEPARATOR = ";"


def tagging_world(seed: int = 100) -> ThingsWorld:
    """480 recordings to learn from, 48 to choose by, 192 to test: two in five have two labels."""
    return ThingsWorld(
        seed=seed,
        num_unlabelled=0,
        num_train_per_kind=40,
        num_validation_per_kind=4,
        num_test_per_kind=16,
        frame_rate=2,
    )


def tiny_tagging_world(seed: int = 100) -> ThingsWorld:
    """A few seconds' work, for tests."""
    return ThingsWorld(
        seed=seed,
        num_unlabelled=0,
        num_train_per_kind=2,
        num_validation_per_kind=1,
        num_test_per_kind=1,
        # Shorter ones may end before a clock has struck: a label that is not heard.
        clip_seconds=2.0,
        frame_size=(64, 64),
        frame_rate=1,
    )


def audible_kinds(spec: ThingSpec) -> tuple[str, ...]:
    """The kinds of things heard, sorted: the one in the picture, and one that is not."""
    return tuple(sorted(kind for kind in (spec.kind, spec.offscreen_kind) if kind))


def write_tagging_world(
    world: ThingsWorld,
    folder: Path,
    *,
    num_workers: int = 2,
    on_progress: OnProgress | None = None,
) -> Path:
    """Make a world's files in a folder, as ``write_world`` does, and ``tagging.csv`` beside them.

    The table has path, recording_id, labels (joined by ``;``) and split of the recordings that
    are not unlabelled; what distracts in the picture is silent and no label. Returns its path.
    """
    write_world(world, folder, num_workers=num_workers, on_progress=on_progress)
    path = folder / "tagging.csv"
    write_text(path, format_tagging(plan_world(world)))
    return path


def format_tagging(specs: Iterable[ThingSpec]) -> str:
    """The text of ``tagging.csv``."""
    rows = [
        (recording_path(spec), spec.recording_id, SEPARATOR.join(audible_kinds(spec)), spec.split)
        for spec in specs
        if spec.split != "unlabelled"
    ]
    return format_table(("path", "recording_id", "labels", "split"), rows)
