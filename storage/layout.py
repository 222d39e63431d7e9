"""Paths of everything inside a store, relative to its root and with forward slashes.

store.json                              schema version, clip policy, rows_per_shard
plans/00000.json                        one planning: its clip parts with their hashes
clips/00000.parquet                     the clips of shard 0
targets/<teacher>/producer.json         outputs, fingerprint and array metadata of a teacher
targets/<teacher>/<output>/             Zarr v3 array over the rows
inputs/<name>/...                       the same for a student input
boxes/<producer>/<output>/00000.parquet an output of variable length
commits/<producer>/00000.json           written last: the shard counts from here on
removals/00000.json                     recordings taken down, or let in again
rewrite.lock                            who is writing removed rows out of the store

A plan or a commit that replaces an earlier one is its next generation, ``00000.1.json``: it is
created exclusively as well, and the newest counts.
Names of temporary files start with a dot and end in ``.tmp``; everyone ignores them.
"""

import re
from collections.abc import Iterable

from avkd.errors import InvalidValueError
from avkd.storage.schema import ProducerKind

STORE_FILE = "store.json"
PLANS_FOLDER = "plans"
CLIPS_FOLDER = "clips"
COMMITS_FOLDER = "commits"
REMOVALS_FOLDER = "removals"
LOCK_FILE = "rewrite.lock"
BOXES_FOLDER = "boxes"
PRODUCER_FILE = "producer.json"
ARRAY_FILE = "zarr.json"
KIND_FOLDERS: dict[ProducerKind, str] = {"teacher": "targets", "input": "inputs"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NUMBERED = re.compile(r"(\d{5,})(?:\.([1-9]\d*))?\.json")


def check_name(what: str, name: str) -> str:
    """Return the name if it can be a folder on every file system.

    Raises:
        InvalidValueError: it holds other characters than letters, digits, ``.``, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValueError(
            f"{what} name {name!r} cannot be a folder; use letters, digits, '.', '_' and '-'"
        )
    return name


def plan_file(number: int, generation: int = 0) -> str:
    """Return the path of a plan."""
    return f"{PLANS_FOLDER}/{_numbered_file(number, generation)}"


def removal_file(number: int) -> str:
    """Return the path of a removal."""
    return f"{REMOVALS_FOLDER}/{_numbered_file(number)}"


def clip_part(shard: int, copy: int = 0) -> str:
    """Return the path of a shard's clip table; ``copy`` evades leftovers of another planning."""
    return f"{CLIPS_FOLDER}/{shard:05d}{f'.{copy}' if copy else ''}.parquet"


def producer_folder(kind: ProducerKind, name: str) -> str:
    """Return the folder of a teacher or a student input."""
    return f"{KIND_FOLDERS[kind]}/{name}"


def producer_file(kind: ProducerKind, name: str) -> str:
    """Return the path of a producer's declaration."""
    return f"{producer_folder(kind, name)}/{PRODUCER_FILE}"


def array_path(kind: ProducerKind, name: str, output: str) -> str:
    """Return the folder of an array; ``output`` may be ``logits`` or, if sparse, ``logits/ids``."""
    return f"{producer_folder(kind, name)}/{output}"


def boxes_part(name: str, output: str, shard: int) -> str:
    """Return the path of one shard of an output of variable length."""
    return f"{BOXES_FOLDER}/{name}/{output}/{shard:05d}.parquet"


def commit_path(name: str, shard: int, generation: int = 0) -> str:
    """Return the path of a commit."""
    return f"{COMMITS_FOLDER}/{name}/{_numbered_file(shard, generation)}"


def number_of(file_name: str) -> int | None:
    """Return the number of a plan or a commit from its file name, None for any other file."""
    match = _NUMBERED.fullmatch(file_name)
    return int(match[1]) if match else None


def find_generations(file_names: Iterable[str]) -> dict[int, tuple[int, ...]]:
    """Return the generations there are of every plan or commit, ascending, by its number."""
    found: dict[int, list[int]] = {}
    for match in map(_NUMBERED.fullmatch, file_names):
        if match:
            found.setdefault(int(match[1]), []).append(int(match[2] or 0))
    return {number: tuple(sorted(found[number])) for number in sorted(found)}


def _numbered_file(number: int, generation: int = 0) -> str:
    return f"{number:05d}{f'.{generation}' if generation else ''}.json"
