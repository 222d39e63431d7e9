"""What every contestant has to do: the settings, and which pictures of which files are wanted.

The list spares loops that are not ours the probing, the cutting and the search for timestamps that
avkd does within its measured time; what is compared is reading, looking and writing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from avkd.stages.media.probe import probe
from avkd.stages.media.sampling import cut_recording, pick_frames, step_instants
from avkd.stages.teachers.request import Device, TeacherRequest
from avkd.stages.types import ClipPolicy

TABLE_NAME = "corpus.jsonl"
"""The corpus as avkd reads it."""
WORK_NAME = "work.json"


LITE0 = TeacherRequest(name="lite0", family="efficientnet_lite0")
LITE1 = TeacherRequest(name="lite1", family="efficientnet_lite1")
RESNET18 = TeacherRequest(name="resnet18", family="timm/resnet18", weights="random")
VIT = TeacherRequest(
    name="vit", family="timm/vit_small_patch16_224", weights="random", batch_size=8
)
"""Weights drawn from a seed cost as much as learned ones, and need no download."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting."""

    name: str
    why: str
    """What it is good for, in a line of the page."""
    requests: tuple[TeacherRequest, ...]
    sizes: tuple[tuple[int, int], ...] = ((1280, 720),)
    codecs: tuple[str, ...] = ("h264", "hevc", "vp9")
    gops: tuple[int, ...] = (12, 60, 250)
    seconds: tuple[float, float] = (8.0, 17.0)
    clip_seconds: float = 10.0
    step_seconds: float = 1.0
    rows_per_shard: int = 16
    has_peers: bool = False
    """Whether the loops of others run beside ours."""

    def on_device(self, device: Device) -> "Setting":
        """The same with the teachers on that device."""
        if device == "cpu":
            return self
        requests = tuple(replace(request, device=device) for request in self.requests)
        return replace(self, name=f"{self.name}-{device}", requests=requests)

    def describe(self) -> Mapping[str, Any]:
        """For the raw rows."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One file and the pictures that are wanted of it."""

    recording_id: str
    path: str
    instants: tuple[float, ...]
    """When the teacher looks, in recording seconds, ascending."""
    frame_seconds: tuple[float, ...]
    """When the picture that is on screen at each instant appeared."""
    frame_indices: tuple[int, ...]
    """Its number in the order of presentation."""
    key_seconds: tuple[float, ...]
    """When key pictures appear, ascending."""
    num_frames: int
    """In the whole file."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """All files, cut by one policy."""

    clip_seconds: float
    step_seconds: float
    table: str
    """Path of the corpus's table."""
    recordings: tuple[Recording, ...]

    @property
    def num_instants(self) -> int:
        """Pictures that every contestant shows to the teacher."""
        return sum(len(each.instants) for each in self.recordings)

    def describe(self) -> Mapping[str, object]:
        """Sizes for the raw rows."""
        return {
            "num_recordings": len(self.recordings),
            "num_source_frames": sum(each.num_frames for each in self.recordings),
            "num_instants": self.num_instants,
            "clip_seconds": self.clip_seconds,
            "step_seconds": self.step_seconds,
        }


def plan_work(
    paths: Sequence[Path],
    folder: Path,
    *,
    clip_seconds: float,
    step_seconds: float,
    num_copies: int = 1,
) -> Work:
    """List the wanted pictures of files, and write the list and the corpus's table.

    Args:
        paths: of the files.
        folder: for the two lists.
        clip_seconds: of avkd's clips.
        step_seconds: one picture is taken of each step, in its middle.
        num_copies: how often each file is a recording, under another id.
    """
    policy = ClipPolicy(clip_seconds=clip_seconds, step_seconds=step_seconds)
    planned = [_plan_recording(path, policy) for path in sorted(paths)]
    recordings = [
        replace(each, recording_id=f"{each.recording_id}-{copy:03d}")
        for copy in range(num_copies)
        for each in planned
    ]
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / TABLE_NAME
    rows = ({"recording_id": each.recording_id, "path": each.path} for each in recordings)
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    work = Work(
        clip_seconds=clip_seconds,
        step_seconds=step_seconds,
        table=str(table),
        recordings=tuple(recordings),
    )
    (folder / WORK_NAME).write_text(json.dumps(asdict(work)))
    return work


def read_work(path: Path) -> Work:
    """Read what ``plan_work`` wrote."""
    document = json.loads(path.read_text())
    recordings = tuple(_read_recording(each) for each in document.pop("recordings"))
    return Work(**document, recordings=recordings)


def _read_recording(fields: Mapping[str, Any]) -> Recording:
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Recording(**{**fields, **lists})


def _plan_recording(path: Path, policy: ClipPolicy) -> Recording:
    spans = cut_recording(probe(str(path)).duration_seconds, policy)
    instants = np.concatenate([step_instants(span, policy) for span in spans])
    shown, keys = _read_timeline(path)
    indices = pick_frames(shown, instants)
    return Recording(
        recording_id=path.stem,
        path=str(path.absolute()),
        instants=tuple(instants.tolist()),
        frame_seconds=tuple(shown[index] for index in indices),
        frame_indices=tuple(indices.tolist()),
        key_seconds=keys,
        num_frames=len(shown),
    )


def _read_timeline(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """When pictures and key pictures appear; of files that ``media`` made, which start at 0."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        unit = float(stream.time_base)
        packets = [
            (packet.pts * unit, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.pts is not None and packet.size
        ]
    shown = tuple(sorted(seconds for seconds, _ in packets))
    if not shown or any(one == other for one, other in pairwise(shown)):
        raise ValueError(f"{path} has no timestamps to go by; benchmarks take files of media.py")
    return shown, tuple(sorted(seconds for seconds, is_key in packets if is_key))


_ALL = (
    Setting(
        name="decode-heavy",
        why="One picture a second of 720p for a light teacher: nearly all is decoding",
        requests=(LITE0,),
        has_peers=True,
    ),
    Setting(
        name="balanced",
        why="Five pictures a second of 720p: decoding and the teacher cost about the same",
        requests=(LITE0,),
        step_seconds=0.2,
    ),
    Setting(
        name="model-heavy",
        why="A heavy teacher, one picture a second of 240p: nearly all is the teacher",
        requests=(VIT,),
        sizes=((320, 240),),
        gops=(12, 60),
        has_peers=True,
    ),
    Setting(
        name="three-teachers",
        why="Three light teachers that look at the same pictures, one a second of 720p",
        requests=(LITE0, LITE1, RESNET18),
        gops=(12, 60),
    ),
    Setting(
        name="memory",
        why="Several shards even of the smallest corpus",
        requests=(LITE0,),
        sizes=((640, 360),),
        codecs=("h264",),
        gops=(60,),
        seconds=(20.0, 20.0),
        rows_per_shard=4,
        clip_seconds=5.0,
    ),
    Setting(
        name="smoke",
        why="Too small to say anything: whether the benchmark itself works",
        requests=(replace(LITE0, batch_size=8), replace(LITE1, batch_size=8)),
        sizes=((320, 240),),
        gops=(12,),
        seconds=(2.0, 3.0),
        clip_seconds=1.0,
        step_seconds=0.5,
        rows_per_shard=4,
        has_peers=True,
    ),
)
SETTINGS = {setting.name: setting for setting in _ALL}
