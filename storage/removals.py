"""Removals: which recordings were taken down.

``removals/<n>.json`` gives, by recording, the first row of it that counts: ``NEVER`` where it was
removed, and where it was let in again the first row that did not exist at that moment. Later
removals add to earlier ones and win. A row that was removed never counts again, so whoever saw an
older removal only misses the newest: what is hidden is hidden for good.

Removed rows keep their numbers, and their bytes until they are written out (``rewriting.py``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from avkd.errors import CorruptStoreError
from avkd.storage import layout, objects
from avkd.storage.sealed import seal, unseal
from avkd.storage.store_file import raise_schema_version

NEVER = 2**53 - 1
"""As a first row: none counts. The largest number that every JSON reader keeps exactly."""
ERASED = ""
"""The recording id of a removed row that was written out of the clip table."""


@dataclass(frozen=True, kw_only=True)
class Removals:
    """What was taken down so far."""

    num_documents: int = 0
    first_rows: Mapping[str, int] = field(default_factory=dict)
    """Recording to the first row of it that counts; of all others every row does."""

    def __bool__(self) -> bool:
        return self.num_documents > 0

    @property
    def recordings(self) -> frozenset[str]:
        """Recordings that are not to be planned again."""
        return frozenset(name for name, first in self.first_rows.items() if first == NEVER)

    def hide(self, recording_ids: Iterable[str], rows: Iterable[int]) -> frozenset[int]:
        """Return those of some rows that do not count.

        Args:
            recording_ids: of each row.
            rows: their numbers.
        """
        first_rows = self.first_rows if not self else {ERASED: NEVER, **self.first_rows}
        pairs = zip(recording_ids, rows, strict=True)
        return frozenset(row for name, row in pairs if row < first_rows.get(name, 0))


NOTHING_REMOVED = Removals()


def read_removals(url: str, known: Removals = NOTHING_REMOVED) -> Removals:
    """Return what was taken down, reading only what is not known yet.

    Raises:
        CorruptStoreError: a document is missing or damaged.
    """
    num_documents = count_removals(url)
    if num_documents == known.num_documents:
        return known
    first_rows = dict(known.first_rows)
    for number in range(known.num_documents, num_documents):
        path = layout.removal_file(number)
        first_rows |= parse_removal(objects.read_bytes(objects.join(url, path)), path)
    return Removals(num_documents=num_documents, first_rows=first_rows)


def count_removals(url: str) -> int:
    """Return how many documents there are.

    Raises:
        CorruptStoreError: a number is missing.
    """
    names = objects.list_names(objects.join(url, layout.REMOVALS_FOLDER))
    numbers = {layout.number_of(name) for name in names} - {None}
    missing = set(range(len(numbers))) - numbers
    if missing:
        raise CorruptStoreError(f"{layout.removal_file(min(missing))} is missing; restore the file")
    return len(numbers)


def parse_removal(data: bytes, path: str) -> dict[str, int]:
    """Return the first rows that a document's bytes give.

    Raises:
        CorruptStoreError: the bytes are not those of a whole document of that place.
    """
    document = unseal(data, path)
    if path != layout.removal_file(document["removal"]):
        raise CorruptStoreError(f"{path}: this is removal {document['removal']}; restore the file")
    first_rows: dict[str, int] = document["first_rows"]
    return first_rows


def write_removal(url: str, first_rows: Mapping[str, int]) -> None:
    """Add a document; from here on it is obeyed.

    Raises:
        StoreUnwritableError: the place does not take it.
    """
    raise_schema_version(url)
    while True:
        number = count_removals(url)
        document = {
            "removal": number,
            "first_rows": dict(first_rows),
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            objects.create_exclusive(objects.join(url, layout.removal_file(number)), seal(document))
        except FileExistsError:  # of another process, whose removals count as well
            continue
        return
