"""Sound decoded from the recordings while a student trains, for stores that hold none."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from avkd.errors import CorpusError
from avkd.pipeline.decoding.jobs import decode_jobs
from avkd.pipeline.decoding.pool import DecodePool
from avkd.pipeline.training.examples import Examples
from avkd.pipeline.training.reading import Block, Waveform
from avkd.stages.media.wire import DecodeJob
from avkd.stages.types import ClipPolicy, WaveformFormat
from avkd.storage.schema import ClipRow
from avkd.storage.store import Store

SHARDS_HELD = 64
"""Clip tables that are kept open: a shuffled epoch visits shards in no order."""


@dataclass(frozen=True, kw_only=True)
class RecordedSound:
    """The same samples that extraction would have cached, decoded by child processes."""

    store: Store
    examples: Examples
    policy: ClipPolicy
    waveform: WaveformFormat
    num_workers: int

    def read(self, blocks: Sequence[Block]) -> Generator[Mapping[int, Waveform], None, None]:
        """Decode ahead of the blocks; clips whose sound cannot be decoded are left out."""
        with DecodePool(self.num_workers) as pool:
            decoded = pool.decode(self._jobs(blocks))
            for block in blocks:
                # The block comes first: an exhausted block must not draw from the pool.
                pairs = zip(block, decoded, strict=False)
                yield {place: c.waveform for place, c in pairs if c.waveform is not None}

    def _jobs(self, blocks: Sequence[Block]) -> Iterator[DecodeJob]:
        """One job for each recording in a block, in the order of the blocks."""
        clip_table = lru_cache(maxsize=SHARDS_HELD)(self._clips_of_shard)
        for block in blocks:
            rows = [int(row) for row in self.examples.clip_rows[block]]
            try:
                clips = [clip_table(row // self.store.rows_per_shard)[row] for row in rows]
            except KeyError as error:
                raise CorpusError(
                    f"row {error} of {self.store.url} was removed while a student learned from "
                    "it; start a new run over what is left"
                ) from None
            yield from decode_jobs(clips, self.policy, (), self.waveform)

    def _clips_of_shard(self, shard: int) -> Mapping[int, ClipRow]:
        return {clip.row: clip for clip in self.store.read_clips(shard)}
