"""What is left of a process that dies at any point: a store that opens, verifies and goes on."""

import dataclasses
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from avkd.storage import objects
from avkd.storage.store import Store
from avkd.storage.verify import verify_store


class Killed(BaseException):
    """Like a signal, no handler of errors catches it."""


def run_all(url, teacher, waveform, make_clips, fill):
    try:
        store = Store.open(url)
    except FileNotFoundError:
        store = Store.create(url, clip_policy={}, rows_per_shard=8)
    if store.next_row() == 0:
        store.plan_clips(make_clips(0, 12))
    fill(store, teacher)
    if store.next_row() == 16:
        store.plan_clips(make_clips(16, 4))
    fill(fill(store, teacher), waveform)
    return store


def die_at(step, monkeypatch, *, after):
    """Make the process die at its n-th write, before or after the bytes are in place."""
    steps = iter(range(10_000))
    for name in ("put_durable", "create_exclusive"):
        write = getattr(objects, name)

        def dying(url, data, write=write):
            dies = next(steps) == step
            if dies and not after:
                path = Path(url)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp").write_bytes(data[:9])
                raise Killed
            write(url, data)
            if dies:
                raise Killed

        monkeypatch.setattr(objects, name, dying)
    return steps


@pytest.mark.parametrize("after", [False, True])
def test_dying_at_any_write_leaves_a_store_that_goes_on_to_the_same_digest(
    tmp_path, monkeypatch, teacher, waveform, make_clips, fill, after
):
    arguments = (teacher, waveform, make_clips, fill)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a killed process loses no cache
    with monkeypatch.context() as patch:
        steps = die_at(-1, patch, after=after)
        undisturbed = run_all(str(tmp_path / "undisturbed"), *arguments)
        num_writes = next(steps)
    assert num_writes > 30
    for step in range(0, num_writes, 4 if after else 3):
        url = str(tmp_path / f"killed{step}")
        with monkeypatch.context() as patch:
            die_at(step, patch, after=after)
            with pytest.raises(Killed):
                run_all(url, *arguments)
        if Path(url, "store.json").exists():
            assert verify_store(url) == (), step
        resumed = run_all(url, *arguments)
        assert verify_store(url) == (), step
        assert resumed.content_digest() == undisturbed.content_digest()
        for name in ("seer", "sound"):
            digests = [commit.digest for commit in resumed.commits(name)]
            assert digests == [commit.digest for commit in undisturbed.commits(name)]


WRITE_FOREVER = """
import sys
import numpy as np
from avkd.storage.store import Store

store = Store.open(sys.argv[1])
print("ready", flush=True)
for shard in store.missing_shards("sound"):
    values = np.random.default_rng(shard).integers(-9, 9, (8, 1, 60_000)).astype(np.int16)
    store.write_shard("sound", shard, {"waveform": values}, failures={}, timings={})
"""


def test_sigkill_in_the_middle_of_writing_leaves_a_store_that_verifies(
    tmp_path, make_clips, waveform
):
    output = dataclasses.replace(waveform.outputs[0], shape=(1, 60_000))
    store = Store.create(str(tmp_path / "store"), clip_policy={}, rows_per_shard=8)
    store.plan_clips(make_clips(0, 800))
    store.declare(dataclasses.replace(waveform, outputs=(output,)))
    for wait_seconds in (0.3, 0.45):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, store.url], stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout.readline() == b"ready\n"
            before = len(store.missing_shards("sound"))
            deadline = time.monotonic() + 60
            while len(store.missing_shards("sound")) > before - 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(wait_seconds % 0.1)
            process.kill()
        assert verify_store(store.url) == ()
        assert 0 < len(store.missing_shards("sound")) < before
    reopened = Store.open(store.url)
    for commit in reopened.commits("sound"):
        read = reopened.read_rows("sound", "waveform", commit.shard * 8, commit.shard * 8 + 8)
        expected = np.random.default_rng(commit.shard).integers(-9, 9, (8, 1, 60_000))
        np.testing.assert_array_equal(read, expected)
