"""A disk that is too small, one that fills up, and space again."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CLIP_SECONDS = 4
SHARD_BYTES = 2 * CLIP_SECONDS * 8_000 * 2
NUM_SHARDS = 6


class SmallDisk:
    """A file system in memory, of a size that can change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def mount(self, num_bytes: int) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(self.folder)],
            check=True,
            capture_output=True,
        )

    def resize(self, num_bytes: int) -> None:
        words = ["mount", "-o", f"remount,size={num_bytes}", str(self.folder)]
        subprocess.run(words, check=True, capture_output=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    try:
        disk.mount(100_000)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting a file system needs root and leave to do it ({error})")
    try:
        yield disk
    finally:
        disk.unmount()


def extract_sounds(crash_runs: ModuleType, sounds: Path, store: Path, *more: str) -> list[str]:
    command: list[str] = crash_runs.sounds_command(sounds, store, *more, clip_seconds=CLIP_SECONDS)
    return command


def test_a_disk_that_is_too_small_is_refused_and_one_that_fills_keeps_what_is_whole(
    crash_runs: ModuleType, starter: Any, small_disk: SmallDisk, tmp_path: Path
) -> None:
    sounds = crash_runs.write_sounds(tmp_path / "sounds", 2 * NUM_SHARDS, seconds=CLIP_SECONDS)
    whole, store = tmp_path / "whole", small_disk.folder / "store"
    assert starter.start(extract_sounds(crash_runs, sounds, whole)).finish() == 0
    command = extract_sounds(crash_runs, sounds, store)

    refused = starter.start(command)
    assert refused.finish() == 6
    (line,) = refused.output.splitlines()
    assert "kB are free for" in line
    assert "waveform: 768.0 kB" in line
    assert "--no-space-check" in line
    assert not store.exists()

    small_disk.resize(512_000)
    filled = starter.start(command)
    assert filled.finish() == 6
    note, line = filled.output.splitlines()
    assert note.startswith("note: ")
    assert "No space left on device" in line
    standing = crash_runs.examine_store(store)
    assert standing.num_temporary == 0
    assert 0 < standing.num_commits < NUM_SHARDS

    small_disk.resize(8_000_000)
    resumed = starter.start(command)
    assert resumed.finish() == 0, resumed.output
    assert len(resumed.started_shards) == NUM_SHARDS - standing.num_commits
    assert crash_runs.content_files(store) == crash_runs.content_files(whole)


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_file_that_cannot_be_written_whole_ends_the_run_and_leaves_whole_commits(
    crash_runs: ModuleType, starter: Any, tmp_path: Path, executor: str
) -> None:
    """Silence takes little room, so that the first two shards fit."""
    sounds = crash_runs.write_sounds(
        tmp_path / "sounds", 2 * NUM_SHARDS, seconds=CLIP_SECONDS, num_silent=4
    )
    whole, store = tmp_path / "whole", tmp_path / "store"
    assert starter.start(extract_sounds(crash_runs, sounds, whole)).finish() == 0
    command = extract_sounds(crash_runs, sounds, store, "--executor", executor, "--workers", "2")
    limited = starter.start(command, file_bytes=SHARD_BYTES // 2)
    assert limited.finish() == 6
    (line,) = limited.output.splitlines()
    assert "File too large" in line
    standing = crash_runs.examine_store(store)
    assert (standing.num_commits, standing.num_temporary) == (2, 0)
    assert starter.start(command).finish() == 0
    assert crash_runs.content_files(store) == crash_runs.content_files(whole)


def test_the_error_number_that_is_looked_for_is_that_of_a_full_disk() -> None:
    from avkd.storage.objects import _NO_PLACE_ERRORS

    assert {errno.ENOSPC, errno.EDQUOT} <= _NO_PLACE_ERRORS
