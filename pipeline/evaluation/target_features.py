"""What the teachers said of whole recordings, as features of a probe.

The teacher's own row beside a student's: if a probe on the stored targets is weak, the pictures
hold too little, and no student of these targets can be blamed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.storage import objects
from avkd.storage.schema import ClipRow
from avkd.storage.store import Store

Features = npt.NDArray[np.float32]


def read_target_features(store: Store, uris: Sequence[str], teachers: Sequence[str]) -> Features:
    """Return (recordings, classes of all teachers): logits averaged over the real steps.

    Args:
        store: where the recordings were extracted.
        uris: of the recordings; each must have been seen by every teacher.
        teachers: whose dense logits are put side by side.

    Raises:
        InvalidValueError: a recording has no stored targets.
    """
    clips = _clips_by_uri(store)
    columns = [_recordings_logits(store, teacher, clips, uris) for teacher in teachers]
    return np.concatenate(columns, axis=1)


def _clips_by_uri(store: Store) -> Mapping[str, list[ClipRow]]:
    clips: dict[str, list[ClipRow]] = {}
    for shard in store.shards():
        for clip in store.read_clips(shard):
            for uri in set(clip.streams.values()):
                clips.setdefault(_place(uri), []).append(clip)
    return clips


def _recordings_logits(
    store: Store, teacher: str, clips: Mapping[str, list[ClipRow]], uris: Sequence[str]
) -> Features:
    seen = frozenset(store.ok_rows(teacher).tolist())
    outputs = store.producers()[teacher].outputs
    has_steps = next(o for o in outputs if o.name == "logits").axes[0] == "step"
    means = []
    for uri in uris:
        rows = [clip for clip in clips.get(_place(uri), []) if clip.row in seen]
        if not rows:
            raise InvalidValueError(
                f"{store.url} holds no targets of {teacher} for {uri}; "
                "extract these recordings into the run's store, or leave out the teacher control"
            )
        steps = [_real_steps(store, teacher, clip, has_steps) for clip in rows]
        means.append(np.concatenate(steps).astype(np.float32).mean(axis=0))
    return np.stack(means)


def _real_steps(store: Store, teacher: str, clip: ClipRow, has_steps: bool) -> Features:
    """(steps, K): of a teacher that speaks of clips as a whole, the one thing it said."""
    row = store.read_rows(teacher, "logits", clip.row, clip.row + 1)[0]
    return np.asarray(row[: clip.num_steps] if has_steps else row[None])


def _place(uri: str) -> str:
    local = objects.local_path(uri)
    return uri if local is None else str(local.resolve())
