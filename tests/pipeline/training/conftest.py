"""A small street: boxes and maps of a detector, two microphones, and what is known of the camera.

A vehicle is the louder in the second microphone the further right it is, and its map says the same.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from avkd.pipeline.extraction.box_tables import tabulate_boxes
from avkd.stages.types import ClipPolicy
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

POLICY = ClipPolicy(clip_seconds=1.0, step_seconds=0.25)
RATE, NUM_CLIPS, ROWS_PER_SHARD = 4_000, 24, 8
NUM_STEPS, STEP_SAMPLES = 4, RATE // 4
MAP = (3, 5, 7)
CAMERA = ("camera_height_metres", "camera_pitch_degrees", "camera_distance_metres")
Array = npt.NDArray[Any]
Sound: TypeAlias = npt.NDArray[np.int16]
BROKEN = ("decode_error", "broken")
ONE_TEACHER: Mapping[str, Collection[int]] = {"rgb": (3,)}


@dataclass(frozen=True, kw_only=True)
class Street:
    """A store and what its detector saw."""

    store: Store
    num_steps: Array
    """(clips,): 4, every sixth 2."""
    places: Array
    """(clips, steps): the middle of the vehicle across the picture; nan where there is none."""


def draw_places() -> tuple[Array, Array]:
    """Vehicles that drive to the right; in every fifth clip none."""
    num_steps = np.where(np.arange(NUM_CLIPS) % 6 == 5, 2, NUM_STEPS)
    starts = np.random.default_rng(0).uniform(0.15, 0.7, NUM_CLIPS)
    places = starts[:, None] + 0.05 * np.arange(NUM_STEPS)
    places[np.arange(NUM_CLIPS) % 5 == 4] = np.nan
    places[np.arange(NUM_STEPS) >= num_steps[:, None]] = np.nan
    return num_steps, places


def plan(num_steps: Array) -> list[ClipRow]:
    return [
        ClipRow(
            row=row,
            clip_id=clip_id(f"drive{row // 2}", row % 2, steps / 4),
            recording_id=f"drive{row // 2}",
            streams={"rgb": f"drive{row // 2}.mp4"},
            start_seconds=float(row % 2),
            duration_seconds=steps / 4,
            num_steps=int(steps),
            metadata={"split": "train" if row < NUM_CLIPS - 4 else "test"},
        )
        for row, steps in enumerate(num_steps)
    ]


def detector_spec(name: str, class_names: tuple[str, ...]) -> ProducerSpec:
    boxes = OutputSpec(
        name="boxes",
        shape=(NUM_STEPS,),
        dtype="float32",
        axes=("step",),
        layout="boxes",
        class_names=class_names,
        attributes={
            "box": ["x_min", "y_min", "x_max", "y_max"],
            "unit": "fraction of the picture",
        },
    )
    axes = ("step", "channel", "height", "width")
    return ProducerSpec(
        kind="teacher",
        name=name,
        outputs=(
            boxes,
            OutputSpec(name="features_0", shape=(NUM_STEPS, *MAP), dtype="float16", axes=axes),
            OutputSpec(
                name="attention_0",
                shape=(NUM_STEPS, 2, 3),
                dtype="float16",
                axes=axes[:1] + axes[2:],
            ),
            OutputSpec(
                name="attention_0_scale", shape=(NUM_STEPS,), dtype="float32", axes=("step",)
            ),
        ),
        fingerprint={"weights": name},
    )


def detections(places: Array) -> Array:
    """(clips, steps, 3, 6): a vehicle, an unsure one, and a sign that is always there."""
    found = np.zeros((NUM_CLIPS, NUM_STEPS, 3, 6), np.float32)
    width, height = 0.2 + 0.1 * (places > 0.5), 0.3
    found[..., 0, :] = np.stack(
        [
            places - width / 2,
            np.full_like(places, 0.5),
            places + width / 2,
            np.full_like(places, 0.5 + height),
            np.full_like(places, 0.9),
            np.ones_like(places),
        ],
        axis=-1,
    )
    found[..., 1, :] = [0.0, 0.0, 0.9, 0.9, 0.125, 1]
    found[..., 2, :] = [0.8, 0.1, 0.9, 0.2, 0.8, 0]
    found[np.isnan(places)] = 0
    return found


def feature_maps(places: Array) -> Array:
    """(clips, steps, *MAP): bright in the vehicle's column, in the first channel."""
    maps = np.zeros((NUM_CLIPS, NUM_STEPS, *MAP), np.float32)
    columns = (np.arange(MAP[2]) + 0.5) / MAP[2]
    near = np.exp(-(((columns - np.nan_to_num(places, nan=9.0)[..., None]) / 0.15) ** 2))
    maps[:, :, 0] = near[:, :, None]
    maps[:, :, 1] = 0.5
    return maps


def waveforms(places: Array) -> npt.NDArray[np.int16]:
    """(clips, 2, samples): noise whose share in the second channel is the place."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((NUM_CLIPS, NUM_STEPS, STEP_SAMPLES))
    share = np.stack([1 - places, places], axis=1) ** 3
    heard = 4_000 * np.nan_to_num(share)[..., None] * noise[:, None]
    heard += 20 * rng.standard_normal(heard.shape)
    return heard.reshape(NUM_CLIPS, 2, -1).astype(np.int16)


def fill(
    store: Store, spec: ProducerSpec, content: dict[str, Array], failed: Collection[int] = ()
) -> None:
    """Commit rows of every shard, of which some failed."""
    store.declare(spec)
    for shard in store.missing_shards(spec.name):
        rows = slice(shard * ROWS_PER_SHARD, (shard + 1) * ROWS_PER_SHARD)
        arrays: dict[str, Array | pa.Table] = {n: each[rows] for n, each in content.items()}
        if "boxes" in arrays:
            arrays["boxes"] = tabulate_boxes(content["boxes"][rows], rows.start)
        failures = {row: BROKEN for row in failed if row // ROWS_PER_SHARD == shard}
        store.write_shard(spec.name, shard, arrays, failures=failures, timings={})


def fill_detector(
    store: Store,
    name: str,
    class_names: tuple[str, ...],
    failed: Collection[int],
    surest: float | Array = 1.0,
) -> None:
    """Scores are lowered by the factor ``surest``, one or (clips,)."""
    _, places = draw_places()
    found = detections(places)
    found[..., 4] *= np.reshape(surest, (-1, 1, 1))
    content = {
        "boxes": found,
        "features_0": feature_maps(places),
        "attention_0": feature_maps(places)[:, :, 0, :2, :3],
        "attention_0_scale": np.full((NUM_CLIPS, NUM_STEPS), 2.0, np.float32),
    }
    fill(store, detector_spec(name, class_names), content, failed)


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """Twenty-four clips of twelve drives, the last two for tests; one lacks its boxes."""
    return build_street(tmp_path_factory.mktemp("street"))


def build_street(
    folder: Path,
    change: Callable[[Sound], Sound] = lambda sound: sound,
    teachers: Mapping[str, Collection[int]] = ONE_TEACHER,
    surest: Mapping[str, float | Array] = MappingProxyType({}),
) -> Street:
    """A street whose sound (clips, channels, samples) was changed.

    ``teachers`` have failed in those rows, and are ``surest`` by that factor.
    """
    num_steps, places = draw_places()
    store = Store.create(str(folder), clip_policy=asdict(POLICY), rows_per_shard=ROWS_PER_SHARD)
    store.plan_clips(plan(num_steps))
    for name, failed in teachers.items():
        fill_detector(store, name, ("sign", "vehicle"), failed, surest.get(name, 1.0))
    heard = change(waveforms(places))
    sound = OutputSpec(
        name="waveform",
        shape=(heard.shape[1], RATE),
        dtype="int16",
        axes=("channel", "sample"),
        attributes={"sample_rate": RATE, "channels": "all"},
    )
    spec = ProducerSpec(kind="input", name="waveform", outputs=(sound,), fingerprint={"rate": RATE})
    fill(store, spec, {"waveform": heard})
    for number, name in enumerate(CAMERA):
        output = OutputSpec(name=name, shape=(1,), dtype="float32", axes=("feature",))
        spec = ProducerSpec(
            kind="input", name=name, outputs=(output,), fingerprint={"column": name}
        )
        fill(store, spec, {name: np.full((NUM_CLIPS, 1), 2.0 + number, np.float32)})
    return Street(store=store, num_steps=num_steps, places=places)


@pytest.fixture(scope="session")
def mono_street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """The street as the first microphone hears it."""
    return build_street(tmp_path_factory.mktemp("mono"), lambda sound: sound[:, :1])


@pytest.fixture(scope="session")
def half_deaf_street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """The street with a second microphone that is dead."""
    mute = np.array([[1], [0]], np.int16)
    return build_street(tmp_path_factory.mktemp("half_deaf"), lambda sound: sound * mute)


@pytest.fixture(scope="session")
def street_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Street]:
    """Builds a street of several ``teachers``, by the rows in which each has failed."""

    def build(
        teachers: Mapping[str, Collection[int]],
        surest: Mapping[str, float | Array] = MappingProxyType({}),
    ) -> Street:
        folder = tmp_path_factory.mktemp("street")
        return build_street(folder, teachers=teachers, surest=surest)

    return build
