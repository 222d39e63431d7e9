"""Frames of a store's recordings beside what its teachers said of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd.errors import MediaError
from avkd.pipeline.extraction.policy import read_policy
from avkd.pipeline.report.content import GalleryItem, Judgement
from avkd.stages.media.frames import open_frames
from avkd.stages.media.local_files import local_file
from avkd.stages.media.sampling import step_instants
from avkd.stages.types import ClipPolicy, ClipSpan
from avkd.storage.schema import ClipRow, OutputSpec
from avkd.storage.sparse import SparseLogits
from avkd.storage.store import Store

Probabilities = npt.NDArray[np.float32]


def gather_gallery(
    store: Store, *, num_items: int = 12, num_classes: int = 3
) -> tuple[GalleryItem, ...]:
    """Take frames from all over a store, of as many recordings as it has, and read the targets.

    Rows that no teacher holds, and recordings without pictures or that moved away since, are passed
    over.
    """
    teachers, policy = _classifiers(store), read_policy(store)
    if not teachers or policy is None:
        return ()
    items = []
    for clip in _spread(store, tuple(teachers), num_items):
        step = clip.num_steps // 2
        picture, at_seconds = _read_frame(policy, clip, step)
        if picture is not None:
            judgements = tuple(
                _judge(store, name, output, clip, step, num_classes)
                for name, output in teachers.items()
            )
            items.append(
                GalleryItem(
                    picture=picture,
                    recording_id=clip.recording_id,
                    at_seconds=at_seconds,
                    judgements=judgements,
                )
            )
    return tuple(items)


def _classifiers(store: Store) -> dict[str, OutputSpec]:
    """Give every teacher that stored class logits, with the first such output."""
    return {
        name: output
        for name, spec in store.producers().items()
        if spec.kind == "teacher"
        for output in reversed(spec.outputs)
        if output.attributes.get("activation") in ("softmax", "sigmoid")
    }


def _spread(store: Store, teachers: Sequence[str], num_items: int) -> Iterator[ClipRow]:
    """Pick clips evenly over some evenly spread shards, one of each recording first."""
    ok_rows = set.intersection(*(set(store.ok_rows(name).tolist()) for name in teachers))
    shards = sorted({row // store.rows_per_shard for row in ok_rows})
    chosen = _evenly(shards, num_items)
    for number, shard in enumerate(chosen):
        share = num_items // len(chosen) + (number < num_items % len(chosen))
        clips = [clip for clip in store.read_clips(shard) if clip.row in ok_rows]
        firsts = {clip.recording_id: clip for clip in reversed(clips)}
        yield from _evenly(sorted(firsts.values(), key=lambda clip: clip.row), share)


def _evenly(things: Sequence[Any], num_kept: int) -> list[Any]:
    """Keep at most so many, at equal distances."""
    if len(things) <= num_kept:
        return list(things)
    places = (np.arange(num_kept) * len(things)) // max(num_kept, 1)
    return [things[place] for place in places.tolist()]


def _read_frame(
    policy: ClipPolicy, clip: ClipRow, step: int
) -> tuple[npt.NDArray[np.uint8] | None, float]:
    """Decode the native picture in the middle of a step."""
    span = ClipSpan(
        start_seconds=clip.start_seconds,
        duration_seconds=clip.duration_seconds,
        num_steps=clip.num_steps,
    )
    instants = step_instants(span, policy)
    instant = float(instants[step * policy.frames_per_step + policy.frames_per_step // 2])
    if "rgb" not in clip.streams:
        return None, instant
    try:
        with local_file(clip.streams["rgb"]) as path, open_frames(path) as reader:
            return next(iter(reader.read([instant]))), instant
    except MediaError:
        return None, instant


def _judge(
    store: Store, name: str, output: OutputSpec, clip: ClipRow, step: int, num_classes: int
) -> Judgement:
    stored = store.read_rows(name, output.name, clip.row, clip.row + 1)
    place = (0, step) if output.axes[0] == "step" else (0,)  # a trained teacher judges a clip
    ids, probabilities = _likeliest(stored, output, place, num_classes)
    names = output.class_names
    classes = tuple(
        (names[number] if names else f"class {number}", probability)
        for number, probability in zip(ids.tolist(), probabilities.tolist(), strict=True)
    )
    return Judgement(teacher=name, classes=classes)


def _likeliest(
    stored: npt.NDArray[np.float16] | SparseLogits,
    output: OutputSpec,
    place: tuple[int, ...],
    num_classes: int,
) -> tuple[npt.NDArray[np.int64], Probabilities]:
    """Give class ids and probabilities of the likeliest classes, best first."""
    if isinstance(stored, SparseLogits):
        kept = np.exp(stored.values[place][:num_classes].astype(np.float32))
        return stored.ids[place][:num_classes].astype(np.int64), kept
    logits = stored[place].astype(np.float32)
    if output.attributes["activation"] == "sigmoid":
        probabilities = 1 / (1 + np.exp(-logits))
    else:
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
    ids = np.argsort(-probabilities, kind="stable")[:num_classes]
    return ids, probabilities[ids]
