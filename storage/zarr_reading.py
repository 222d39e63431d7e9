"""A Zarr store that takes the array's length from the plans and knows no missing objects."""

from typing import Any

import zarr
from zarr.abc.buffer import BufferPrototype
from zarr.abc.store import ByteRequest, Store
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from avkd.errors import CorruptStoreError
from avkd.storage import layout, objects


class PlannedStore(WrapperStore[Store]):
    """An array's folder, read-only."""

    def __init__(self, store: Store, array_file: bytes = b"") -> None:
        super().__init__(store)
        self._array_file = array_file

    def _with_store(self, store: Store) -> "PlannedStore":
        return type(self)(store, self._array_file)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Any:
        """Return bytes of the array's file or of an object.

        Raises:
            CorruptStoreError: the object is missing, which Zarr would read as zeros.
        """
        if key == layout.ARRAY_FILE:
            return prototype.buffer.from_bytes(self._array_file)
        found = await super().get(key, prototype, byte_range)
        if found is None and key.startswith("c."):
            raise CorruptStoreError(f"{self._store}: {key} is missing; restore the file")
        return found


def open_planned(url: str, array_file: bytes) -> "zarr.Array[Any]":
    """Open an array for reading whose ``zarr.json`` should say what is given."""
    path = objects.local_path(url)
    store: Store
    if path is not None:
        store = LocalStore(path, read_only=True)
    else:
        store = FsspecStore.from_url(url, read_only=True)
    return zarr.open_array(PlannedStore(store, array_file), mode="r", zarr_format=3)
