"""Write the demo world: planned recordings to mp4 files and the tables beside them."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avkd.stages.simulation.files import write_movie, write_text
from avkd.stages.simulation.obstacles import OBSTACLES
from avkd.stages.simulation.rendering import PAN_PIXELS, Actor, draw_light, render_frames
from avkd.stages.simulation.scenery import draw_scenery
from avkd.stages.simulation.soundtrack import MixPlan, Soundtrack, build_soundtrack
from avkd.stages.simulation.things.catalog import KINDS
from avkd.stages.simulation.worlds.folders import (
    DESCRIPTION,
    OnProgress,
    describe,
    format_table,
    write_missing,
)
from avkd.stages.simulation.worlds.things import Appearance, ThingSpec, ThingsWorld, plan_world

WORLD_VERSION = 1
"""Raised whenever the same spec would give other files."""


@dataclass(frozen=True, kw_only=True)
class WorldFiles:
    """Where the files of a world are."""

    folder: Path
    corpus: Path
    """corpus.csv: path, recording_id, split of every recording; no labels."""
    labelled: Path
    """labelled.csv: path, recording_id, label, split (train, validation, test)."""
    truth: Path
    """truth.csv: recording_id, label of the unlabelled recordings; for the report only."""
    num_written: int
    """Recordings made by this call; 0 when all were there."""


def recording_path(spec: ThingSpec) -> str:
    """Path of a recording in the world's folder."""
    group = "unlabelled" if spec.split == "unlabelled" else "labelled"
    return f"{group}/{spec.recording_id}.mp4"


def build_frames(spec: ThingSpec) -> Iterator[np.ndarray]:
    """Render the pictures of a recording."""
    rng = np.random.default_rng([spec.seed, 1])
    width, height = spec.frame_size
    scenery = draw_scenery(rng, (width + PAN_PIXELS, height + PAN_PIXELS))
    actors = [_cast(rng, spec.thing)]
    if spec.distractor is not None:
        actors.append(_cast(rng, spec.distractor))
    if spec.obstacle is not None:
        actors.append(_cast(rng, spec.obstacle))
    return render_frames(
        scenery,
        actors,
        draw_light(rng, brightness=(0.5, 1.2), tint=(0.85, 1.15), gamma=(0.7, 1.5)),
        num_frames=round(spec.clip_seconds * spec.frame_rate),
        frame_size=spec.frame_size,
        rng=rng,
    )


def build_sound(spec: ThingSpec) -> Soundtrack:
    """Make the parts of a recording's soundtrack."""
    rng = np.random.default_rng([spec.seed, 2])
    num_samples = round(spec.clip_seconds * spec.sample_rate)
    thing = KINDS[spec.kind].sound(rng, num_samples, spec.sample_rate)
    offscreen = None
    if spec.offscreen_kind:
        offscreen = KINDS[spec.offscreen_kind].sound(rng, num_samples, spec.sample_rate)
    plan = MixPlan(
        sample_rate=spec.sample_rate,
        active_seconds=spec.active_seconds,
        signal_to_noise_db=spec.signal_to_noise_db,
        offscreen_db=spec.offscreen_db,
    )
    return build_soundtrack(rng, thing, offscreen, plan)


def write_recording(spec: ThingSpec, path: Path) -> None:
    """Make one recording; the file appears whole or not at all."""
    peak = float(np.random.default_rng([spec.seed, 3]).uniform(0.3, 0.9))
    write_movie(
        path,
        build_frames(spec),
        build_sound(spec).mix(peak),
        frame_size=spec.frame_size,
        frame_rate=spec.frame_rate,
        sample_rate=spec.sample_rate,
    )


def write_world(
    world: ThingsWorld,
    folder: Path,
    *,
    num_workers: int = 2,
    on_progress: OnProgress | None = None,
) -> WorldFiles:
    """Make a world's files in a folder, or take up what an equal world left there.

    ``on_progress`` is told the recordings there are and the recordings planned. A folder that
    holds another world's recordings keeps them; the tables name this world's alone.
    """
    specs = plan_world(world)
    for group in ("unlabelled", "labelled"):
        (folder / group).mkdir(parents=True, exist_ok=True)
    description = describe("things", WORLD_VERSION, asdict(world))
    num_written = write_missing(
        [(spec, folder / recording_path(spec)) for spec in specs],
        write_recording,
        folder / DESCRIPTION,
        description,
        num_workers=num_workers,
        on_progress=on_progress,
    )
    files = _write_tables(specs, folder, num_written)
    write_text(folder / DESCRIPTION, description)
    return files


def _write_tables(specs: Iterable[ThingSpec], folder: Path, num_written: int) -> WorldFiles:
    corpus, labelled, truth = [], [], []
    for spec in specs:
        corpus.append((recording_path(spec), spec.recording_id, spec.split))
        if spec.split == "unlabelled":
            truth.append((spec.recording_id, spec.kind))
        else:
            labelled.append((recording_path(spec), spec.recording_id, spec.kind, spec.split))
    files = WorldFiles(
        folder=folder,
        corpus=folder / "corpus.csv",
        labelled=folder / "labelled.csv",
        truth=folder / "truth.csv",
        num_written=num_written,
    )
    write_text(files.corpus, format_table(("path", "recording_id", "split"), corpus))
    write_text(files.labelled, format_table(("path", "recording_id", "label", "split"), labelled))
    write_text(files.truth, format_table(("recording_id", "label"), truth))
    return files


def _cast(rng: np.random.Generator, appearance: Appearance) -> Actor:
    kind = appearance.kind
    draw = OBSTACLES[kind] if kind in OBSTACLES else KINDS[kind].draw
    return Actor(
        sprite=draw(rng),
        start=appearance.start,
        stop=appearance.stop,
        mirrored=appearance.mirrored,
    )
