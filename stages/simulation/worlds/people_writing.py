"""Write the people world: planned recordings to mp4 files, their table and a list of trials."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avkd.stages.simulation.files import write_movie, write_text
from avkd.stages.simulation.obstacles import OBSTACLES
from avkd.stages.simulation.people.microphone import record_voice
from avkd.stages.simulation.people.portrait import draw_portrait
from avkd.stages.simulation.people.speech import speak
from avkd.stages.simulation.rendering import PAN_PIXELS, Actor, draw_light, render_frames
from avkd.stages.simulation.scenery import draw_scenery
from avkd.stages.simulation.soundtrack import MixPlan, Soundtrack
from avkd.stages.simulation.worlds.folders import (
    DESCRIPTION,
    OnProgress,
    describe,
    format_table,
    write_missing,
)
from avkd.stages.simulation.worlds.people import PeopleWorld, UtteranceSpec, plan_people_world
from avkd.stages.simulation.worlds.people_trials import format_trials, plan_trials

PEOPLE_WORLD_VERSION = 1
"""Raised whenever the same spec would give other files."""


@dataclass(frozen=True, kw_only=True)
class PeopleFiles:
    """Where the files of a people world are."""

    folder: Path
    corpus: Path
    """corpus.csv: path, recording_id (the path again: trials name it), speaker, split."""
    trials: Path
    """trials.txt: pairs of test recordings, in VoxCeleb's format."""
    num_written: int
    """Recordings made by this call; 0 when all were there."""


def build_person_frames(spec: UtteranceSpec) -> Iterator[np.ndarray]:
    """Render the pictures of a recording."""
    rng = np.random.default_rng([spec.seed, 1])
    width, height = spec.frame_size
    scenery = draw_scenery(rng, (width + PAN_PIXELS, height + PAN_PIXELS))
    portrait = draw_portrait(spec.person.face, spec.look)
    actors = [Actor(sprite=portrait, start=spec.start, stop=spec.stop)]
    if spec.obstacle:
        obstacle = OBSTACLES[spec.obstacle](rng)
        actors.append(Actor(sprite=obstacle, start=spec.obstacle_pose, stop=spec.obstacle_pose))
    return render_frames(
        scenery,
        actors,
        draw_light(rng, brightness=(0.75, 1.15), tint=(0.94, 1.06), gamma=(0.85, 1.25)),
        num_frames=max(1, round(spec.clip_seconds * spec.frame_rate)),
        frame_size=spec.frame_size,
        rng=rng,
    )


def build_person_sound(spec: UtteranceSpec) -> Soundtrack:
    """Make the parts of a recording's soundtrack; the voice is its ``thing``."""
    rng = np.random.default_rng([spec.seed, 2])
    num_samples = round(spec.clip_seconds * spec.sample_rate)
    voice = speak(rng, spec.person.voice, spec.delivery, num_samples, spec.sample_rate)
    plan = MixPlan(
        sample_rate=spec.sample_rate,
        active_seconds=spec.active_seconds,
        signal_to_noise_db=spec.signal_to_noise_db,
        offscreen_db=0.0,
    )
    return record_voice(rng, voice, plan)


def write_utterance(spec: UtteranceSpec, path: Path) -> None:
    """Make one recording; the file appears whole or not at all."""
    write_movie(
        path,
        build_person_frames(spec),
        build_person_sound(spec).mix(spec.peak),
        frame_size=spec.frame_size,
        frame_rate=spec.frame_rate,
        sample_rate=spec.sample_rate,
    )


def write_people_world(
    world: PeopleWorld,
    folder: Path,
    *,
    num_workers: int = 2,
    on_progress: OnProgress | None = None,
) -> PeopleFiles:
    """Make a world's files in a folder, or take up what an equal world left there.

    A folder that holds another world's recordings keeps them; the tables name this world's alone.
    """
    specs = plan_people_world(world)
    description = describe("people", PEOPLE_WORLD_VERSION, asdict(world))
    num_written = write_missing(
        [(spec, folder / spec.path) for spec in specs],
        write_utterance,
        folder / DESCRIPTION,
        description,
        num_workers=num_workers,
        on_progress=on_progress,
    )
    files = PeopleFiles(
        folder=folder,
        corpus=folder / "corpus.csv",
        trials=folder / "trials.txt",
        num_written=num_written,
    )
    write_text(files.corpus, _format_corpus(specs))
    write_text(files.trials, format_trials(plan_trials(specs, world.seed)))
    write_text(folder / DESCRIPTION, description)
    return files


def _format_corpus(specs: Sequence[UtteranceSpec]) -> str:
    rows = [(spec.path, spec.path, spec.speaker, spec.split) for spec in specs]
    return format_table(("path", "recording_id", "speaker", "split"), rows)
