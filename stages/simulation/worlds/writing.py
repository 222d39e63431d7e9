"""Write the demo world: planned recordings to mp4 files and the tables beside them."""

import csv
import io
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avkd.stages.simulation.files import write_movie, write_text
from avkd.stages.simulation.obstacles import OBSTACLES
from avkd.stages.simulation.rendering import PAN_PIXELS, Actor, Light, render_frames
from avkd.stages.simulation.scenery import draw_scenery
from avkd.stages.simulation.soundtrack import MixPlan, Soundtrack, build_soundtrack
from avkd.stages.simulation.things.catalog import KINDS
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
        _draw_light(rng),
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
    on_progress: Callable[[int, int], None] | None = None,
) -> WorldFiles:
    """Make a world's files in a folder, or take up what an equal world left there.

    ``on_progress`` is told the recordings there are and the recordings planned. A folder that
    holds another world's recordings keeps them; the tables name this world's alone.
    """
    specs = plan_world(world)
    for group in ("unlabelled", "labelled"):
        (folder / group).mkdir(parents=True, exist_ok=True)
    fresh = _described(folder) != _description(world)
    if fresh:
        # An interrupted run must not leave the old description beside the new files.
        (folder / "world.json").unlink(missing_ok=True)
    todo = [
        (spec, folder / recording_path(spec))
        for spec in specs
        if fresh or not (folder / recording_path(spec)).is_file()
    ]
    num_there = len(specs) - len(todo)
    for num_done, _ in enumerate(_write_all(todo, num_workers), start=num_there + 1):
        if on_progress is not None:
            on_progress(num_done, len(specs))
    files = _write_tables(specs, folder, len(todo))
    write_text(folder / "world.json", _description(world))
    return files


def _write_all(todo: Sequence[tuple[ThingSpec, Path]], num_workers: int) -> Iterator[None]:
    if num_workers <= 1 or len(todo) < 2:
        for spec, path in todo:
            write_recording(spec, path)
            yield
        return
    # Spawned, not forked: the caller may hold threads of torch.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(todo)), mp_context=context) as pool:
        yield from pool.map(write_recording, *zip(*todo, strict=True), chunksize=4)


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
    write_text(files.corpus, _table(("path", "recording_id", "split"), corpus))
    write_text(files.labelled, _table(("path", "recording_id", "label", "split"), labelled))
    write_text(files.truth, _table(("recording_id", "label"), truth))
    return files


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()


def _description(world: ThingsWorld) -> str:
    content = {"world": "things", "version": WORLD_VERSION, "spec": asdict(world)}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _described(folder: Path) -> str:
    path = folder / "world.json"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _cast(rng: np.random.Generator, appearance: Appearance) -> Actor:
    kind = appearance.kind
    draw = OBSTACLES[kind] if kind in OBSTACLES else KINDS[kind].draw
    return Actor(
        sprite=draw(rng),
        start=appearance.start,
        stop=appearance.stop,
        mirrored=appearance.mirrored,
    )


def _draw_light(rng: np.random.Generator) -> Light:
    red, green, blue = (float(gain) for gain in rng.uniform(0.5, 1.2) * rng.uniform(0.85, 1.15, 3))
    return Light(
        gains=(red, green, blue),
        gamma=float(rng.uniform(0.7, 1.5)),
        blur_pixels=float(rng.uniform(0, 3)),
        noise_levels=float(rng.uniform(1, 10)),
    )
