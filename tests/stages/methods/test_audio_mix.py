from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.methods.audio_mix import mix_pairs, mix_sounds
from avkd.stages.methods.batch import Batch

NUM_STEPS, NUM_SAMPLES = 3, 12
MAP = ("rgb", "attention_0")


def boxes(*places: tuple[int, int]) -> BoxTargets:
    """One box for each row and step, its class the place in the list."""
    count = len(places)
    return BoxTargets(
        boxes=torch.rand(count, 4, generator=torch.Generator().manual_seed(count)),
        scores=torch.linspace(0.3, 0.9, count),
        classes=torch.arange(count),
        row=torch.tensor([row for row, _ in places], dtype=torch.int64),
        step=torch.tensor([step for _, step in places], dtype=torch.int64),
    )


def make_batch(
    num_steps: Sequence[int] = (3, 2, 3), cameras: Sequence[float] = (0.0, 1.0, 0.0)
) -> Batch:
    generator = torch.Generator().manual_seed(1)
    count = len(num_steps)
    return Batch(
        clip_ids=tuple("abcdefgh"[:count]),
        inputs={
            "waveform": torch.randn(count, 2, NUM_SAMPLES, generator=generator),
            "camera": torch.tensor(cameras)[:, None].expand(-1, 2),
            "hour": torch.zeros(count, 1),
        },
        num_steps=torch.tensor(num_steps),
        boxes={
            "rgb": boxes((0, 0), (0, 2), (1, 0), (1, 1), (2, 2)),
            "thermal": boxes((1, 0)),
            "depth": boxes(),
        },
        maps={MAP: torch.rand(count, NUM_STEPS, 1, 4, 4, generator=generator)},
        full_steps=NUM_STEPS,
    )


def placed(found: BoxTargets) -> list[tuple[int, int, int]]:
    """Row, step and class of each box, in order."""
    return list(zip(*(c.tolist() for c in (found.row, found.step, found.classes)), strict=True))


def shuffle(batch: Batch, order: Tensor) -> Batch:
    """The same clips in another order."""
    place = order.argsort()

    def move(found: BoxTargets) -> BoxTargets:
        moved = replace(found, row=place[found.row])
        return moved.keep(moved.row.argsort(stable=True))

    return replace(
        batch,
        clip_ids=tuple(batch.clip_ids[number] for number in order.tolist()),
        inputs={name: value[order] for name, value in batch.inputs.items()},
        num_steps=batch.num_steps[order],
        boxes={name: move(found) for name, found in batch.boxes.items()},
        maps={key: maps[order] for key, maps in batch.maps.items()},
        seen={name: seen[order] for name, seen in batch.seen.items()},
    )


def assert_same(one: Batch, other: Batch) -> None:
    assert one.clip_ids == other.clip_ids
    for left, right in (
        (one.inputs, other.inputs),
        (one.maps, other.maps),
        (one.seen, other.seen),
        ({name: vars(b) for name, b in one.boxes.items()}, other.boxes),
    ):
        plain: Any = {n: vars(b) if isinstance(b, BoxTargets) else b for n, b in right.items()}
        torch.testing.assert_close(left, plain, rtol=0, atol=0)
    assert one.num_steps.tolist() == other.num_steps.tolist()


def test_sound_pressures_are_added() -> None:
    batch = make_batch()
    mixed = mix_pairs(batch, torch.tensor([1, 1, 0])).waveform
    sound = batch.waveform
    assert torch.equal(mixed, torch.stack([sound[0] + sound[1], sound[1], sound[2] + sound[0]]))


def test_two_tones_of_one_frequency_in_opposite_phase_are_silence() -> None:
    tone = torch.sin(torch.arange(NUM_SAMPLES) * 0.7).expand(1, 2, -1)
    batch = make_batch((3, 3), (0.0, 0.0))
    batch = replace(batch, inputs={"waveform": torch.cat([tone, -tone])}, boxes={})
    assert not mix_pairs(batch, torch.tensor([1, 0])).waveform.any()


def test_the_boxes_of_both_clips_are_labels_in_the_steps_that_both_have() -> None:
    mixed = mix_pairs(make_batch(), torch.tensor([1, 1, 0]))
    # Clip 0 with 1 keeps two steps, which its box in step 2 is not in; clip 2 takes those of 0.
    assert mixed.num_steps.tolist() == [2, 2, 3]
    assert placed(mixed.boxes["rgb"]) == [
        *((0, 0, 0), (0, 0, 2), (0, 1, 3)),
        *((1, 0, 2), (1, 1, 3)),
        *((2, 2, 4), (2, 0, 0), (2, 2, 1)),
    ]
    assert placed(mixed.boxes["thermal"]) == [(0, 0, 0), (1, 0, 0)]
    assert not len(mixed.boxes["depth"])
    rgb, plain = mixed.boxes["rgb"], make_batch().boxes["rgb"]
    assert torch.equal(rgb.boxes, plain.boxes[rgb.classes])
    assert torch.equal(rgb.scores, plain.scores[rgb.classes])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_maps_are_the_means_of_both(dtype: torch.dtype) -> None:
    batch = make_batch()
    stored = torch.zeros(3, NUM_STEPS, 1, 2, 2, dtype=dtype)
    stored[0], stored[1], stored[2] = 60_000.0, 30_000.0, 1.0
    mixed = mix_pairs(replace(batch, maps={MAP: stored}), torch.tensor([1, 1, 0])).maps[MAP]
    assert mixed.dtype == dtype
    assert mixed[:, 0, 0, 0, 0].tolist() == pytest.approx([45_000.0, 30_000.0, 30_000.5], rel=1e-3)


def test_a_teacher_has_seen_a_mixed_clip_that_saw_both() -> None:
    seen = {"rgb": torch.tensor([True, False, True])}
    mixed = mix_pairs(replace(make_batch(), seen=seen), torch.tensor([1, 1, 0]))
    assert mixed.seen["rgb"].tolist() == [False, False, True]


def test_names_and_cameras_stay_those_of_the_first_clip() -> None:
    batch = make_batch()
    mixed = mix_pairs(batch, torch.tensor([1, 2, 0]))
    assert mixed.clip_ids == batch.clip_ids
    assert torch.equal(mixed.inputs["camera"], batch.inputs["camera"])
    assert mixed.full_steps == NUM_STEPS


def test_a_pair_sounds_the_same_whoever_is_first() -> None:
    mixed = mix_pairs(make_batch((3, 3, 3)), torch.tensor([1, 0, 2]))
    assert torch.equal(mixed.waveform[0], mixed.waveform[1])
    assert torch.equal(mixed.maps[MAP][0], mixed.maps[MAP][1])
    both = [sorted(p[1:] for p in placed(mixed.boxes["rgb"]) if p[0] == row) for row in (0, 1)]
    assert both[0] == both[1]
    assert len(both[0]) == 4


@settings(deadline=None, max_examples=50)
@given(
    order=st.permutations(range(5)),
    partner=st.lists(st.integers(0, 4), min_size=5, max_size=5),
)
def test_the_order_of_the_clips_in_a_batch_does_not_matter(
    order: list[int], partner: list[int]
) -> None:
    batch = make_batch((3, 2, 3, 1, 2), (0.0,) * 5)
    batch = replace(batch, seen={"rgb": torch.tensor([True, False, True, True, False])})
    new, other = torch.tensor(order), torch.tensor(partner)
    moved_partner = new.argsort()[other[new]]
    assert_same(
        shuffle(mix_pairs(batch, other), new), mix_pairs(shuffle(batch, new), moved_partner)
    )


def count_mixed(batch: Batch, mixed: Batch) -> int:
    return int((mixed.waveform != batch.waveform).any(dim=2).any(dim=1).sum())


def test_a_share_of_the_clips_is_mixed_with_any_other_but_never_with_itself() -> None:
    torch.manual_seed(0)
    batch = replace(make_batch((3,) * 8, (0.0,) * 8), boxes={})
    number = 2.0 ** torch.arange(8)
    batch = replace(batch, inputs={"waveform": number[:, None, None].expand(-1, 1, NUM_SAMPLES)})
    met = torch.zeros(8, 8)
    for _ in range(500):
        partner = (mix_sounds(batch, 0.25).waveform[:, 0, 0] - number).log2()
        for clip in partner.isfinite().nonzero()[:, 0].tolist():
            met[clip, int(partner[clip])] += 1
    assert not met.diagonal().any()
    # 4000 draws: a standard deviation of 27 clips, and of 4.2 of the 18 of each pair.
    assert abs(float(met.sum()) - 1000) < 4 * 27
    assert (met[~torch.eye(8, dtype=torch.bool)] - 1000 / 56).abs().max() < 5 * 4.2


def test_one_seed_mixes_the_same_and_no_share_draws_nothing() -> None:
    batch = make_batch()
    torch.manual_seed(5)
    once = mix_sounds(batch, 0.7)
    torch.manual_seed(5)
    assert_same(once, mix_sounds(batch, 0.7))
    torch.manual_seed(5)
    assert mix_sounds(batch, 0.0) is batch
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_clips_of_different_cameras_stay_apart_where_asked() -> None:
    torch.manual_seed(0)
    batch = make_batch((3, 3, 3), (0.0, 1.0, 0.0))
    for _ in range(20):
        mixed = mix_sounds(batch, 1.0, same_camera=True)
        sound = batch.waveform
        pair = sound[0] + sound[2]
        assert torch.equal(mixed.waveform, torch.stack([pair, sound[1], pair]))
    assert count_mixed(batch, mix_sounds(batch, 1.0)) == 3
    unknown = replace(batch, inputs={"waveform": batch.waveform})
    assert count_mixed(unknown, mix_sounds(unknown, 1.0, same_camera=True)) == 3


def test_a_clip_alone_in_its_batch_stays_alone() -> None:
    batch = replace(make_batch((3,), (0.0,)), boxes={"rgb": boxes((0, 0))})
    assert_same(mix_sounds(batch, 1.0), batch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(3)}, "where labels are learned from"),
        ({"targets": {"rgb": torch.zeros(3, 3, 2)}}, "logits of rgb"),
        ({"embeddings": {"rgb": torch.zeros(3, 3, 2)}}, "embeddings of rgb"),
        (
            {"inputs": {"waveform": torch.zeros(3, 1, 4), "frames": torch.zeros(3, 3, 8, 8, 3)}},
            "frames",
        ),
        ({"inputs": {"camera": torch.zeros(3, 2)}}, "the batch has no waveform but camera"),
    ],
)
def test_what_no_sum_of_sounds_has_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        mix_sounds(replace(make_batch(), **change), 0.5)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InvalidValueError, match="must be from 0 to 1"):
        mix_sounds(make_batch(), share)
