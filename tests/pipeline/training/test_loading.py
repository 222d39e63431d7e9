from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from avkd.pipeline.training.examples import find_examples
from avkd.pipeline.training.loading import BatchOrder, BatchShape, Loader
from avkd.pipeline.training.reading import (
    RowReader,
    StoredSound,
    TargetReader,
    read_scattered,
)
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import Batch
from avkd.storage.sparse import SparseLogits
from avkd.storage.store import Store

ORDER = BatchOrder(batch_size=8, block_rows=4, buffer_rows=12, seed=1)


def build_loader(store: Store, memory_limit_bytes: int = 0, sound: object = None) -> Loader:
    examples = find_examples(store, ["dense", "few", "waveform"])
    targets = TargetReader(
        store=store, examples=examples, logits_of=("dense", "few"), embeddings_of=("dense",)
    )
    stored = StoredSound(store=store, examples=examples, input_name="waveform")
    reader = RowReader(targets, sound or stored, memory_limit_bytes)
    shape = BatchShape(num_steps=2, num_samples=11_025)
    return Loader(examples=examples, reader=reader, shape=shape, order=ORDER)


def read_epoch(loader: Loader, epoch: int = 0, first_batch: int = 0) -> list[Batch]:
    with closing(loader.batches(epoch, first_batch)) as batches:
        return [batch for batch in batches if batch is not None]


def assert_equal(one: Batch, other: Batch) -> None:
    assert one.clip_ids == other.clip_ids
    assert torch.equal(one.waveform, other.waveform)
    assert torch.equal(one.num_steps, other.num_steps)
    assert torch.equal(one.targets["dense"], other.targets["dense"])
    assert torch.equal(one.targets["few"].values, other.targets["few"].values)
    assert torch.equal(one.embeddings["dense"], other.embeddings["dense"])


def test_an_epoch_holds_every_clip_once(store: Store) -> None:
    loader = build_loader(store)
    batches = read_epoch(loader)
    ids = [name for batch in batches for name in batch.clip_ids]
    assert sorted(ids) == sorted(loader.examples.clip_ids)
    assert len(batches) == loader.num_batches


@pytest.mark.parametrize("memory_limit_bytes", [0, 1 << 20, 1 << 30])
def test_entering_an_epoch_anywhere_gives_the_same_batches(
    store: Store, memory_limit_bytes: int
) -> None:
    whole = read_epoch(build_loader(store), epoch=2)
    loader = build_loader(store, memory_limit_bytes)
    read_epoch(loader, epoch=0)  # what is held in memory must not matter
    for first in range(len(whole)):
        rest = read_epoch(loader, epoch=2, first_batch=first)
        assert len(rest) == len(whole) - first
        for one, other in zip(rest, whole[first:], strict=True):
            assert_equal(one, other)


def test_sound_and_targets_of_a_clip_belong_together(store: Store) -> None:
    for batch in read_epoch(build_loader(store)):
        dense, few = batch.targets["dense"], batch.targets["few"]
        assert isinstance(few, SparseTargets)
        assert isinstance(dense, torch.Tensor)
        # The store's logits peak at the class whose pitch is heard: see conftest.
        classes = batch.embeddings["dense"][:, 0, 0].long() % 6
        assert torch.equal(dense[:, 0].argmax(dim=-1), classes)
        assert torch.equal(few.ids[:, 0, 0], classes)
        spectrum = torch.fft.rfft(batch.waveform[:, 0, :5512]).abs()
        heard = spectrum.argmax(dim=1) * 22_050 / 5512
        assert torch.allclose(heard, 300 * 1.5 ** classes.float(), atol=5)


def test_steps_that_a_clip_does_not_have_are_zero_and_counted_out(store: Store) -> None:
    batches = read_epoch(build_loader(store))
    seen = 0
    for batch in batches:
        short = batch.num_steps == 1
        seen += int(short.sum())
        assert not batch.targets["dense"][short, 1].any()
        assert not batch.waveform[short, :, 5513:].any()
        assert batch.waveform[~short, :, 5513:].any(dim=-1).all()
    assert seen == 8


def test_short_clips_are_padded_to_the_students_length(store: Store) -> None:
    loader = replace(build_loader(store), shape=BatchShape(num_steps=4, num_samples=22_050))
    batch = read_epoch(loader)[0]
    assert batch.waveform.shape == (8, 1, 22_050)
    assert batch.targets["dense"].shape == (8, 4, 6)
    assert batch.targets["few"].ids.shape == (8, 4, 3)
    assert not batch.waveform[..., 11_025:].any()


def test_the_waveform_is_between_minus_one_and_one(store: Store) -> None:
    batch = read_epoch(build_loader(store))[0]
    assert batch.waveform.dtype == torch.float32
    assert 0.2 < batch.waveform.abs().max() < 1


def test_all_in_order_gives_the_clips_as_they_lie(store: Store) -> None:
    loader = build_loader(store)
    with closing(loader.all_in_order()) as batches:
        ids = [name for batch in batches if batch for name in batch.clip_ids]
    assert tuple(ids) == loader.examples.clip_ids


class PatchySound:
    """Has no sound of some places, and counts what it was asked for."""

    def __init__(self, silent: set[int]) -> None:
        self.silent = silent
        self.asked: list[int] = []

    def read(self, blocks: Sequence[Sequence[int]]):
        for block in blocks:
            self.asked += block
            yield {p: np.full((1, 8), p, np.int16) for p in block if p not in self.silent}


def test_clips_without_sound_are_left_out_of_their_batch(store: Store) -> None:
    whole = read_epoch(build_loader(store, sound=PatchySound(set())))
    patchy = read_epoch(build_loader(store, sound=PatchySound({0, 7})))
    ids = build_loader(store).examples.clip_ids
    for one, other in zip(whole, patchy, strict=True):
        assert other.clip_ids == tuple(c for c in one.clip_ids if c not in (ids[0], ids[7]))


def test_a_batch_without_any_sound_is_none(store: Store) -> None:
    loader = build_loader(store, sound=PatchySound(set(range(40))))
    with closing(loader.batches(0)) as batches:
        assert list(batches) == [None] * loader.num_batches


def test_small_sets_are_read_once_and_held(store: Store) -> None:
    sound = PatchySound({5})
    loader = build_loader(store, 1 << 20, sound)
    read_epoch(loader, 0)
    read_epoch(loader, 1)
    assert sorted(sound.asked) == list(range(38))


def test_large_sets_are_read_again(store: Store) -> None:
    sound = PatchySound(set())
    loader = build_loader(store, 0, sound)
    read_epoch(loader, 0)
    read_epoch(loader, 1)
    assert sorted(sound.asked) == sorted([*range(38), *range(38)])


def test_scattered_rows_come_in_the_order_asked_for(store: Store) -> None:
    rows = np.array([39, 1, 17, 2, 1])
    read = read_scattered(store, "dense", "embedding", rows)
    assert [float(row[0, 0]) for row in read] == rows.tolist()  # type: ignore[index]
    sparse = read_scattered(store, "few", "logits", rows)
    assert all(isinstance(row, SparseLogits) for row in sparse)


class FourRowShards:
    """Remembers which rows were asked for together."""

    rows_per_shard = 4

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []

    def read_rows(self, name: str, output: str, start: int, stop: int) -> np.ndarray:
        self.spans.append((start, stop))
        return np.arange(start, stop)


def test_rows_are_read_together_within_a_shard_only() -> None:
    store = FourRowShards()
    read = read_scattered(store, "dense", "logits", np.array([9, 0, 3, 8]))  # type: ignore[arg-type]
    assert read == [9, 0, 3, 8]
    assert store.spans == [(0, 4), (8, 10)]  # the shard between them may not be committed
