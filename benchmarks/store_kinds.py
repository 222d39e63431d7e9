"""The ways to keep rows: ours, the floor of mapped npy files, and three packages.

Each writes all rows, gives them back in order as float16, and gives a shuffled epoch in batches of
float32. Packages are used as their pages say and with their own defaults, but that Parquet writes
and checks its page checksums. Imports a store's package alone, when it is used.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from store_rows import NUM_STEPS, OUTPUTS, Arrays, to_float32

if TYPE_CHECKING:
    from avkd.storage.schema import ClipRow

SCAN_ROWS = 1024
BUFFER_ROWS = 1024
"""What is held back to mix rows, by ours as by others."""
ROW_GROUP = 256
ROWS_PER_SHARD = 1024
BLOCK_ROWS = 256
STEP_SECONDS = 1.0
TEACHER = "teacher"


class BenchStore(Protocol):
    """A way to keep rows."""

    def write(self, source: Arrays, place: Path) -> None:
        """Write all rows."""
        ...

    def scan(self, place: Path) -> Iterator[Arrays]:
        """All rows in order, as stored."""
        ...

    def epoch(self, place: Path, batch_size: int, seed: int) -> Iterator[Arrays]:
        """All rows, mixed, as batches of float32."""
        ...


class NpyStore:
    """Two npy files, mapped: nothing checked, nothing compressed, any row at once."""

    def write(self, source: Arrays, place: Path) -> None:
        """Write all rows."""
        for name in OUTPUTS:
            np.save(place / f"{name}.npy", source[name])

    def scan(self, place: Path) -> Iterator[Arrays]:
        """All rows in order, as stored."""
        mapped = self._map(place)
        for first in range(0, len(mapped[OUTPUTS[0]]), SCAN_ROWS):
            yield {name: np.array(mapped[name][first : first + SCAN_ROWS]) for name in OUTPUTS}

    def epoch(self, place: Path, batch_size: int, seed: int) -> Iterator[Arrays]:
        """All rows, mixed, as batches of float32."""
        mapped = self._map(place)
        order = np.random.default_rng(seed).permutation(len(mapped[OUTPUTS[0]]))
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            yield to_float32({name: mapped[name][rows] for name in OUTPUTS})

    def _map(self, place: Path) -> Arrays:
        return {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in OUTPUTS}


class ParquetStore:
    """One Parquet file of fixed-size binary columns, in row groups; mixed by groups."""

    def write(self, source: Arrays, place: Path) -> None:
        """Write all rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        shapes = {name: ",".join(map(str, source[name].shape[1:])) for name in OUTPUTS}
        widths = {name: source[name][0].nbytes for name in OUTPUTS}
        schema = pa.schema([(name, pa.binary(widths[name])) for name in OUTPUTS], metadata=shapes)
        with pq.ParquetWriter(
            place / "rows.parquet",
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_page_checksum=True,
        ) as writer:
            for first in range(0, len(source[OUTPUTS[0]]), ROW_GROUP):
                columns = []
                for name in OUTPUTS:
                    values = np.ascontiguousarray(source[name][first : first + ROW_GROUP])
                    buffers = [None, pa.py_buffer(values)]
                    columns.append(
                        pa.Array.from_buffers(pa.binary(widths[name]), len(values), buffers)
                    )
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))

    def scan(self, place: Path) -> Iterator[Arrays]:
        """All rows in order, as stored."""
        file = self._open(place)
        for group in range(file.num_row_groups):
            yield self._read(file, [group])

    def epoch(self, place: Path, batch_size: int, seed: int) -> Iterator[Arrays]:
        """All rows, mixed, as batches of float32."""
        file, random = self._open(place), np.random.default_rng(seed)
        groups = random.permutation(file.num_row_groups).tolist()
        together = max(1, BUFFER_ROWS // ROW_GROUP)
        for first in range(0, len(groups), together):
            held = self._read(file, groups[first : first + together])
            order = random.permutation(len(held[OUTPUTS[0]]))
            for begin in range(0, len(order), batch_size):
                rows = order[begin : begin + batch_size]
                yield to_float32({name: held[name][rows] for name in OUTPUTS})

    def _open(self, place: Path) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(place / "rows.parquet", page_checksum_verification=True)

    def _read(self, file: Any, groups: list[int]) -> Arrays:
        table = file.read_row_groups(groups)
        found = {}
        for name in OUTPUTS:
            shape = [int(n) for n in file.schema_arrow.metadata[name.encode()].split(b",")]
            column = table[name].combine_chunks()
            width = column.type.byte_width
            values = np.frombuffer(column.buffers()[1], np.float16, offset=column.offset * width)
            found[name] = values[: len(column) * width // 2].reshape(len(column), *shape)
        return found


class WebDatasetStore:
    """Tars of a thousand samples, each two npy files; mixed by shards and a buffer."""

    def write(self, source: Arrays, place: Path) -> None:
        """Write all rows."""
        webdataset = importlib.import_module("webdataset")
        names = str(place / "%05d.tar")
        with webdataset.ShardWriter(names, maxcount=ROWS_PER_SHARD, verbose=0) as sink:
            for row in range(len(source[OUTPUTS[0]])):
                arrays = {f"{name}.npy": np.asarray(source[name][row]) for name in OUTPUTS}
                sink.write({"__key__": f"{row:08d}", **arrays})

    def scan(self, place: Path) -> Iterator[Arrays]:
        """All rows in order, as stored."""
        yield from self._batched(self._open(place, shardshuffle=False), SCAN_ROWS)

    def epoch(self, place: Path, batch_size: int, seed: int) -> Iterator[Arrays]:
        """All rows, mixed, as batches of float32."""
        samples = self._open(place, shardshuffle=1000, seed=seed).shuffle(BUFFER_ROWS)
        for batch in self._batched(samples, batch_size):
            yield to_float32(batch)

    def _open(self, place: Path, **how: Any) -> Any:
        webdataset = importlib.import_module("webdataset")
        shards = [str(path) for path in sorted(place.glob("*.tar"))]
        return webdataset.WebDataset(shards, **how)

    def _batched(self, samples: Any, batch_size: int) -> Iterator[Arrays]:
        names = [f"{name}.npy" for name in OUTPUTS]
        for batch in samples.decode().to_tuple(*names).batched(batch_size):
            yield {name: np.asarray(part) for name, part in zip(OUTPUTS, batch, strict=True)}


class MosaicStore:
    """MDS shards of arrays of a fixed shape; the package's own order."""

    def write(self, source: Arrays, place: Path) -> None:
        """Write all rows."""
        streaming = importlib.import_module("streaming")
        columns = {
            name: f"ndarray:float16:{','.join(map(str, source[name].shape[1:]))}"
            for name in OUTPUTS
        }
        with streaming.MDSWriter(out=str(place), columns=columns) as sink:
            for row in range(len(source[OUTPUTS[0]])):
                sink.write({name: np.asarray(source[name][row]) for name in OUTPUTS})

    def scan(self, place: Path) -> Iterator[Arrays]:
        """All rows in order, as stored."""
        yield from self._batches(place, SCAN_ROWS, shuffle=False)

    def epoch(self, place: Path, batch_size: int, seed: int) -> Iterator[Arrays]:
        """All rows, mixed, as batches of float32."""
        for batch in self._batches(place, batch_size, shuffle=True, shuffle_seed=seed):
            yield to_float32(batch)

    def _batches(self, place: Path, batch_size: int, **how: Any) -> Iterator[Arrays]:
        streaming = importlib.import_module("streaming")
        dataset = streaming.StreamingDataset(local=str(place), batch_size=batch_size, **how)
        held: list[Any] = []
        for sample in dataset:
            held.append(sample)
            if len(held) == batch_size:
                yield self._stack(held)
                held = []
        if held:
            yield self._stack(held)

    def _stack(self, samples: list[Any]) -> Arrays:
        return {name: np.stack([sample[name] for sample in samples]) for name in OUTPUTS}


class AvkdStore:
    """Ours: every object checked and synced as it is written, every chunk checked as it is read.

    Its loader is the one that students learn by.
    """

    def write(self, source: Arrays, place: Path) -> None:
        """Write all rows."""
        from avkd.storage.schema import OutputSpec, ProducerSpec
        from avkd.storage.store import Store

        num_rows = len(source[OUTPUTS[0]])
        rows_per_shard = min(ROWS_PER_SHARD, num_rows)
        store = Store.create(str(place), clip_policy={}, rows_per_shard=rows_per_shard)
        axes = {"logits": ("step", "class"), "embedding": ("step", "feature")}
        outputs = tuple(
            OutputSpec(name=name, shape=source[name].shape[1:], dtype="float16", axes=axes[name])
            for name in OUTPUTS
        )
        store.declare(
            ProducerSpec(kind="teacher", name=TEACHER, outputs=outputs, fingerprint={"of": "bench"})
        )
        store.plan_clips([_plan_clip(row) for row in range(num_rows)])
        for shard in store.shards():
            first = shard * rows_per_shard
            count = min(rows_per_shard, num_rows - first)
            arrays = {}
            for name in OUTPUTS:
                values = np.zeros((rows_per_shard, *source[name].shape[1:]), np.float16)
                values[:count] = source[name][first : first + count]
                arrays[name] = values
            store.write_shard(TEACHER, shard, arrays, failures={}, timings={})

    def scan(self, place: Path) -> Iterator[Arrays]:
        """All rows in order, as stored."""
        from avkd.storage.store import Store

        store = Store.open(str(place))
        for shard in store.shards():
            first, count = shard * store.rows_per_shard, len(store.read_clips(shard))
            yield {name: store.read_rows(TEACHER, name, first, first + count) for name in OUTPUTS}

    def epoch(self, place: Path, batch_size: int, seed: int) -> Iterator[Arrays]:
        """All rows, mixed, as batches of float32; nothing is held from an epoch before."""
        from avkd.pipeline.training.examples import find_examples
        from avkd.pipeline.training.loading import BatchOrder, BatchShape, Loader
        from avkd.pipeline.training.reading import RowReader, TargetReader
        from avkd.storage.store import Store

        store = Store.open(str(place))
        examples = find_examples(store, [TEACHER])
        targets = TargetReader(
            store=store, examples=examples, logits_of=(TEACHER,), embeddings_of=(TEACHER,)
        )
        loader = Loader(
            examples=examples,
            reader=RowReader(targets, None, memory_limit_bytes=0),
            shape=BatchShape(num_steps=NUM_STEPS, num_samples=0),
            order=BatchOrder(
                batch_size=batch_size, block_rows=BLOCK_ROWS, buffer_rows=BUFFER_ROWS, seed=seed
            ),
        )
        for batch in loader.batches(0):
            assert batch is not None, "all rows are ok"
            logits: Any = batch.targets[TEACHER]  # a tensor, for they are stored dense
            yield {"logits": logits.numpy(), "embedding": batch.embeddings[TEACHER].numpy()}


KINDS: dict[str, type[BenchStore]] = {
    "npy": NpyStore,
    "avkd": AvkdStore,
    "parquet": ParquetStore,
    "webdataset": WebDatasetStore,
    "mosaicml": MosaicStore,
}


def _plan_clip(row: int) -> "ClipRow":
    from avkd.storage.clips import clip_id
    from avkd.storage.schema import ClipRow

    recording_id, seconds = f"recording-{row:08d}", NUM_STEPS * STEP_SECONDS
    return ClipRow(
        row=row,
        clip_id=clip_id(recording_id, 0.0, seconds),
        recording_id=recording_id,
        streams={},
        start_seconds=0.0,
        duration_seconds=seconds,
        num_steps=NUM_STEPS,
    )
