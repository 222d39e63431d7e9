"""Extractions that are started in great number, killed at any moment, and looked at afterwards."""

import json
import random
import shutil
import tempfile
import time
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from crash_processes import LIMIT_SECONDS, Run, Starter
from crash_processes import wait_until as wait_until

SAMPLE_RATE = 8_000
SHARDS_OF_A_WORKER = 2
"""In flight: one is written while the next is decoded, also where there is one process."""
DECODE_CHILD = "avkd.stages.media.child"
WORKER = "spawn_main"
"""Words in the command lines of decode children and of workers."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a store holds after a kill."""

    num_commits: int
    whole_shards: frozenset[int]
    """Committed by every producer that there is."""
    num_temporary: int
    """Temporary files that were left."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill of a whole tree, and what was lost by it."""

    seconds: float
    """After the start of the run."""
    num_commits: int
    num_clips_lost: int
    """Of shards that were begun and are not committed: they are computed again."""
    num_shards_lost: int
    num_temporary: int


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What random kills came to."""

    kills: tuple[Kill, ...]
    num_stores: int
    num_clips: int
    """Of all stores together."""
    num_clips_computed: int
    whole_seconds: float
    """What a run takes undisturbed."""


def write_points(path: Path, num_points: int) -> Path:
    """Write a corpus of points without files, with the vectors ``alpha`` and ``beta``."""
    random_numbers = np.random.default_rng(7)
    rows = [
        {"recording_id": f"p{n:03d}", "alpha": values[:2].tolist(), "beta": values.tolist()}
        for n, values in enumerate(random_numbers.normal(size=(num_points, 5)))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_sounds(
    folder: Path, num_sounds: int, *, seconds: float = 2.0, num_silent: int = 0
) -> Path:
    """Write a folder of noises, which no codec makes smaller; the first ones may be silent."""
    folder.mkdir()
    for number in range(num_sounds):
        noise = np.random.default_rng(number).integers(-9_000, 9_000, round(seconds * SAMPLE_RATE))
        noise *= number >= num_silent
        with wave.open(str(folder / f"{number:03d}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(noise.astype(np.int16).tobytes())
    return folder


def points_command(corpus: Path, store: Path, *more: str) -> list[str]:
    """Extract both vectors of points, two rows a shard."""
    vectors = () if "--vector" in more else ("--vector", "alpha", "--vector", "beta")
    return ["extract-teacher", str(corpus), str(store), "--rows-per-shard", "2", *vectors, *more]


def sounds_command(corpus: Path, store: Path, *more: str, clip_seconds: int = 1) -> list[str]:
    """Extract sound, two rows a shard."""
    cut = ["--clip-seconds", str(clip_seconds), "--step-seconds", "1", "--rows-per-shard", "2"]
    sound = ["--inputs", "waveform", "--sample-rate", str(SAMPLE_RATE)]
    return ["extract-teacher", str(corpus), str(store), *cut, *sound, *more]


def examine_store(store: Path) -> Standing:
    """Hold a store to what must be true at any moment.

    Raises:
        AssertionError: a committed shard does not verify, or a clip is there twice.
    """
    from avkd.storage.store import Store
    from avkd.storage.verify import verify_store

    files = [path for path in store.rglob("*") if path.is_file()]
    num_temporary = sum(path.name.endswith(".tmp") for path in files)
    if not (store / "store.json").exists():
        assert len(files) == num_temporary, "a store without store.json holds files"
        return Standing(num_commits=0, whole_shards=frozenset(), num_temporary=num_temporary)
    # A copy: verifying mends the lengths of arrays, and the next run is to find what the kill left.
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(store, Path(folder) / "copy")
        problems = verify_store(str(copy))
        assert problems == (), "; ".join(map(str, problems))
        opened = Store.open(str(copy))
        clips = [clip for shard in opened.shards() for clip in opened.read_clips(shard)]
        committed = [opened.committed_shards(name) for name in opened.producers()]
    assert len({(clip.clip_id, clip.attempt) for clip in clips}) == len(clips), "a clip is twice"
    assert len({clip.row for clip in clips}) == len(clips), "a row is twice"
    return Standing(
        num_commits=sum(map(len, committed)),
        whole_shards=frozenset.intersection(*committed) if committed else frozenset(),
        num_temporary=num_temporary,
    )


def content_digest(store: Path) -> str:
    """Return the content digest of a store."""
    from avkd.storage.store import Store

    return Store.open(str(store)).content_digest()


def content_files(store: Path) -> dict[str, bytes]:
    """Return all files of a store but temporary ones, of commits what is independent of the run."""
    files = {}
    for path in sorted(store.rglob("*")):
        if path.is_file() and not path.name.endswith(".tmp"):
            name, data = path.relative_to(store).as_posix(), path.read_bytes()
            if name.startswith("commits/"):
                data = json.dumps(json.loads(data)["commit"], sort_keys=True).encode()
            files[name] = data
    return files


def kill_at_random(
    starter: Starter,
    make_command: Callable[[Path], Sequence[str]],
    folder: Path,
    *,
    num_kills: int,
    max_in_flight: int,
    seed: int,
) -> Campaign:
    """Kill whole trees at random moments and go on until done, in as many stores as it takes.

    Args:
        starter: of the runs.
        make_command: gives the command for a store.
        folder: for the stores.
        num_kills: at least one.
        max_in_flight: shards that a run computes at a time.
        seed: of the moments.

    Raises:
        AssertionError: an invariant is broken, a store ends otherwise than undisturbed, or more is
            done again than was in flight.
    """
    whole = folder / "undisturbed"
    began = time.monotonic()
    undisturbed = starter.start(make_command(whole))
    assert undisturbed.finish() == 0, undisturbed.output
    whole_seconds = time.monotonic() - began
    examine_store(whole)
    clips_of = _count_clips(whole)
    moments = random.Random(seed)
    kills: list[Kill] = []
    num_stores = num_computed = 0
    while len(kills) < num_kills:
        store = folder / f"store{num_stores:03d}"
        num_stores += 1
        num_before = len(kills)
        computed: list[int] = []
        while True:
            run = starter.start(make_command(store))
            # Longer than the whole, so that the last moments have their share as well.
            delay = moments.uniform(0, 1.1 * whole_seconds)
            code = run.wait(LIMIT_SECONDS if len(kills) == num_kills else delay)
            if code is None:
                run.kill()
            computed += run.started_shards
            if code is not None:
                assert code == 0, run.output
                break
            kills.append(_tell_kill(store, run, delay, clips_of))
            assert kills[-1].num_shards_lost <= max_in_flight
        num_redone = len(computed) - len(set(computed))
        assert num_redone <= max_in_flight * (len(kills) - num_before), computed
        examine_store(store)
        assert content_digest(store) == content_digest(whole)
        assert content_files(store) == content_files(whole)
        num_computed += sum(clips_of[shard] for shard in computed)
        shutil.rmtree(store)
    return Campaign(
        kills=tuple(kills),
        num_stores=num_stores,
        num_clips=num_stores * sum(clips_of.values()),
        num_clips_computed=num_computed,
        whole_seconds=whole_seconds,
    )


def _count_clips(store: Path) -> dict[int, int]:
    from avkd.storage.store import Store

    parts = Store.open(str(store)).planned_parts()
    return {shard: part.num_clips for shard, part in parts.items()}


def _tell_kill(store: Path, run: Run, seconds: float, clips_of: Mapping[int, int]) -> Kill:
    standing = examine_store(store)
    lost = set(run.started_shards) - standing.whole_shards
    return Kill(
        seconds=seconds,
        num_commits=standing.num_commits,
        num_clips_lost=sum(clips_of[shard] for shard in lost),
        num_shards_lost=len(lost),
        num_temporary=standing.num_temporary,
    )
