"""``store.json``: made once, and replaced only by itself with a higher schema version."""

from collections.abc import Mapping
from typing import Any

from avkd import __version__
from avkd.errors import (
    InvalidValueError,
    SchemaVersionError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from avkd.storage import layout, objects
from avkd.storage.fault_points import pass_point
from avkd.storage.plans import RaceLostError
from avkd.storage.schema import FIRST_SCHEMA_VERSION, SCHEMA_VERSION
from avkd.storage.sealed import parse_object, seal, unseal


def create_store_file(url: str, clip_policy: Mapping[str, object], rows_per_shard: int) -> None:
    """Make an empty store, as ``Store.create`` does."""
    if rows_per_shard < 1:
        raise InvalidValueError(f"rows_per_shard {rows_per_shard} must be 1 or more")
    document = {
        "schema_version": FIRST_SCHEMA_VERSION,
        "clip_policy": clip_policy,
        "rows_per_shard": rows_per_shard,
        "created_by": f"avkd {__version__}",
    }
    place, data = objects.join(url, layout.STORE_FILE), seal(document)
    try:
        pass_point("before-store-file")
        objects.create_exclusive(place, data)
        pass_point("after-store-file")
    except FileExistsError:
        raise RaceLostError(f"{url} is a store already; open it") from None
    if objects.is_careless(place, data):
        objects.remove(place)
        raise StoreUnwritableError(
            f"{url}: its file system overwrites what must be created once, so that two runs could "
            "lose each other's work; choose a folder, or a bucket of S3, GCS or Azure"
        )


def read_store_file(url: str) -> dict[str, Any]:
    """Read what ``Store.open`` needs to know.

    Raises:
        StoreNotFoundError: there is none.
        SchemaVersionError: a newer avkd made it.
        CorruptStoreError: it is damaged.
    """
    try:
        data = objects.read_bytes(objects.join(url, layout.STORE_FILE))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreNotFoundError(f"no store at {url}; make one with avkd extract-teacher") from None
    version = parse_object(data, layout.STORE_FILE).get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{url} has schema version {version}, this avkd knows {SCHEMA_VERSION}; upgrade avkd"
        )
    return unseal(data, layout.STORE_FILE)


def raise_schema_version(url: str) -> None:
    """Keep an older avkd, which knows nothing of removals, from reading the store."""
    document = read_store_file(url)
    if document["schema_version"] < SCHEMA_VERSION:
        place = objects.join(url, layout.STORE_FILE)
        objects.put_durable(place, seal({**document, "schema_version": SCHEMA_VERSION}))
