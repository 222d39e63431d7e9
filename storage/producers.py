"""Declarations of teachers and student inputs, and the lengths of their arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from avkd.errors import CorruptStoreError, FingerprintMismatchError, InvalidValueError
from avkd.storage import layout, objects
from avkd.storage.arrays import (
    array_metadata,
    put_array_file,
    rows_per_object,
    stored_arrays,
)
from avkd.storage.digest import fingerprint_digest
from avkd.storage.fault_points import pass_point
from avkd.storage.schema import MAX_MAPPED_CLASSES, OutputSpec, ProducerKind, ProducerSpec
from avkd.storage.sealed import canonical_json, seal, unseal

_DTYPES = ("float16", "float32", "int16", "uint8")


@dataclass(frozen=True, kw_only=True)
class Producer:
    """A declared producer: what it is, and the metadata of each of its arrays."""

    spec: ProducerSpec
    arrays: Mapping[str, Mapping[str, Any]]
    """Path below the producer's folder to the content of ``zarr.json`` for no rows."""

    @property
    def folder(self) -> str:
        """Relative to the store."""
        return layout.producer_folder(self.spec.kind, self.spec.name)

    @property
    def digest(self) -> str:
        """Of the fingerprint."""
        return fingerprint_digest(self.spec.fingerprint)

    def output(self, name: str) -> OutputSpec:
        """Return an output by name.

        Raises:
            InvalidValueError: there is none.
        """
        for output in self.spec.outputs:
            if output.name == name:
                return output
        known = ", ".join(output.name for output in self.spec.outputs)
        raise InvalidValueError(f"{self.spec.name} stores no {name!r}; its outputs are {known}")


def declare_producer(url: str, spec: ProducerSpec, rows_per_shard: int) -> Producer:
    """Write a declaration, or find the same one there.

    Raises:
        FingerprintMismatchError: the name stands for something else; says the fields that differ.
    """
    _check_spec(spec)
    for kind in layout.KIND_FOLDERS:
        place = objects.join(url, layout.producer_file(kind, spec.name))
        if objects.exists(place):
            return _same_producer(url, kind, spec)
    producer = Producer(spec=spec, arrays=_arrays_of(spec, rows_per_shard))
    path = layout.producer_file(spec.kind, spec.name)
    try:
        pass_point("before-declaration")
        objects.create_exclusive(objects.join(url, path), seal(_document(producer)))
        pass_point("after-declaration")
    except FileExistsError:
        return _same_producer(url, spec.kind, spec)
    return producer


def read_producer(url: str, kind: ProducerKind, name: str) -> Producer:
    """Read one declaration.

    Raises:
        FileNotFoundError: there is none.
        CorruptStoreError: the file is damaged.
    """
    path = layout.producer_file(kind, name)
    return parse_producer(objects.read_bytes(objects.join(url, path)), path)


def parse_producer(data: bytes, path: str) -> Producer:
    """Return the producer in a declaration's bytes.

    Raises:
        CorruptStoreError: the bytes are not those of a whole declaration of that place.
    """
    document = unseal(data, path)
    outputs = tuple(
        OutputSpec(
            **{**output, **{key: tuple(output[key]) for key in ("shape", "axes", "class_names")}}
        )
        for output in document["outputs"]
    )
    spec = ProducerSpec(
        kind=document["kind"],
        name=document["name"],
        outputs=outputs,
        fingerprint=document["fingerprint"],
        about=document.get("about", {}),
    )
    if path != layout.producer_file(spec.kind, spec.name):
        raise CorruptStoreError(f"{path}: this declares {spec.name!r}; restore the file")
    return Producer(spec=spec, arrays=document["arrays"])


def list_producers(url: str) -> list[tuple[ProducerKind, str]]:
    """Return the kind and name of every declared producer, in name order."""
    found = [
        (kind, name)
        for kind, folder in layout.KIND_FOLDERS.items()
        for name in objects.list_names(objects.join(url, folder))
        if objects.exists(objects.join(url, layout.producer_file(kind, name)))
    ]
    return sorted(found, key=lambda each: each[1])


def grow_arrays(url: str, producer: Producer, num_rows: int) -> None:
    """Give every array the planned length; none shrinks."""
    for name, metadata in producer.arrays.items():
        put_array_file(url, f"{producer.folder}/{name}", metadata, num_rows)


def _arrays_of(spec: ProducerSpec, rows_per_shard: int) -> dict[str, dict[str, Any]]:
    metadata = {}
    for output in spec.outputs:
        arrays = stored_arrays(output)
        # The three arrays of a sparse output are cut alike, so that they can be read side by side.
        widest = max((array.row_bytes for array in arrays), default=0)
        for array in arrays:
            metadata[array.name] = array_metadata(array, rows_per_object(widest, rows_per_shard))
    return metadata


def _document(producer: Producer) -> dict[str, object]:
    spec = producer.spec
    return {
        "kind": spec.kind,
        "name": spec.name,
        "outputs": [_output_document(output) for output in spec.outputs],
        "fingerprint": spec.fingerprint,
        "fingerprint_digest": producer.digest,
        "arrays": producer.arrays,
        **({"about": spec.about} if spec.about else {}),
    }


def _output_document(output: OutputSpec) -> dict[str, object]:
    return {each.name: getattr(output, each.name) for each in fields(output)}


def _same_producer(url: str, kind: ProducerKind, spec: ProducerSpec) -> Producer:
    producer = read_producer(url, kind, spec.name)
    stored = producer.spec
    differing = [
        f"fingerprint {field}: stored {_shorten(old)}, given {_shorten(new)}"
        for field, old, new in _differences(stored.fingerprint, spec.fingerprint)
    ]
    if stored.kind != spec.kind:
        differing.append(f"kind: stored {stored.kind}, given {spec.kind}")
    if not _equal(*([_output_document(o) for o in s.outputs] for s in (stored, spec))):
        differing.append("outputs")
    if differing:
        raise FingerprintMismatchError(
            f"the store holds another {spec.name!r}: stored fingerprint {producer.digest}, "
            f"given {fingerprint_digest(spec.fingerprint)}; differs in {'; '.join(differing)}; "
            "give the new one another name"
        )
    return producer


def _differences(
    stored: Mapping[str, object], given: Mapping[str, object], prefix: str = ""
) -> list[tuple[str, object, object]]:
    found: list[tuple[str, object, object]] = []
    for field in sorted({*stored, *given}):
        old, new = stored.get(field), given.get(field)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differences(old, new, f"{prefix}{field}.")
        elif not _equal(old, new) or (field in stored) != (field in given):
            found.append((prefix + field, old, new))
    return found


def _equal(one: object, other: object) -> bool:
    return canonical_json(one) == canonical_json(other)  # tuples come back as lists


def _shorten(value: object) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_spec(spec: ProducerSpec) -> None:
    layout.check_name(spec.kind, spec.name)
    names = [output.name for output in spec.outputs]
    if not names or len(set(names)) != len(names):
        raise InvalidValueError(f"{spec.name}: outputs {names} must be one or more distinct names")
    for output in spec.outputs:
        layout.check_name("output", output.name)
        if output.layout == "boxes":
            continue
        if output.dtype not in _DTYPES:
            raise InvalidValueError(
                f"{spec.name}/{output.name}: dtype {output.dtype!r} must be one of "
                f"{', '.join(_DTYPES)}"
            )
        if len(output.axes) != len(output.shape) or min(output.shape, default=1) < 1:
            raise InvalidValueError(
                f"{spec.name}/{output.name}: shape {output.shape} needs one axis name each "
                f"and sizes of 1 or more; axes are {output.axes}"
            )
        if output.holds_classes and len(output.class_names) > MAX_MAPPED_CLASSES:
            raise InvalidValueError(
                f"{spec.name}/{output.name}: {len(output.class_names)} classes do not fit uint8 "
                f"values; merge them to {MAX_MAPPED_CLASSES} or fewer"
            )
        if output.layout == "sparse_logits" and not 1 <= output.num_kept <= output.shape[-1]:
            raise InvalidValueError(
                f"{spec.name}/{output.name}: num_kept {output.num_kept} must be from 1 to "
                f"{output.shape[-1]} classes"
            )
