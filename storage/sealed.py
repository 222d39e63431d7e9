"""JSON files that notice a flipped byte: sorted keys, two spaces of indent, and a seal.

The seal is the sha256 of the canonical (compact, sorted, ASCII) JSON of everything else in the
file. Together with the check that the bytes are exactly what the writer would write, no byte of
such a file can change unseen.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from avkd.errors import CorruptStoreError


def canonical_json(value: object) -> bytes:
    """Return the one JSON rendering of a value that digests are made of."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain
    ).encode("ascii")


def json_digest(value: object) -> str:
    """Return the sha256 of the canonical JSON of a value, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def render_json(value: object) -> bytes:
    """Return the JSON rendering that people read; equal values give equal bytes."""
    text = json.dumps(value, sort_keys=True, indent=2, allow_nan=False, default=_plain)
    return f"{text}\n".encode("ascii")


def seal(document: Mapping[str, object]) -> bytes:
    """Return the file of a document, with its seal."""
    return render_json({**document, "seal": json_digest(document)})


def unseal(data: bytes, name: str) -> dict[str, Any]:
    """Return the document of a sealed file.

    Raises:
        CorruptStoreError: the bytes are not JSON, or the seal does not match.
    """
    document = parse_object(data, name)
    stated = document.pop("seal", None)
    try:
        matches = stated == json_digest(document)
    except ValueError:  # a flip can make a float infinite, which has no canonical form
        matches = False
    if not matches:
        raise CorruptStoreError(f"{name}: the seal does not match its content; restore the file")
    return document


def unseal_exactly(data: bytes, name: str) -> dict[str, Any]:
    """Return the document of a sealed file whose every byte is as it was written.

    Raises:
        CorruptStoreError: also if only white space or an escape differs.
    """
    document = unseal(data, name)
    if seal(document) != data:
        raise CorruptStoreError(f"{name}: bytes differ from what was written; restore the file")
    return document


def parse_object(data: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object in a file, whatever its seal says.

    Raises:
        CorruptStoreError: the bytes are not a JSON object.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise CorruptStoreError(f"{name}: not JSON ({error}); restore the file") from error
    if not isinstance(document, dict):
        raise CorruptStoreError(f"{name}: not a JSON object; restore the file")
    return document


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")
