import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import Batch
from avkd.stages.methods.pseudo_labels import (
    clip_scores,
    confident_clips,
    pseudo_labels,
    take_clips,
)

ONE = torch.ones(4, dtype=torch.int64)


def logits(*shares: float) -> Tensor:
    """Of two classes, with that probability of the first."""
    first = torch.tensor(shares)
    return torch.stack([first, 1 - first], dim=1).log()


def sparse(dense: Tensor, num_kept: int) -> SparseTargets:
    log_shares = dense.log_softmax(dim=-1)
    values, ids = log_shares.topk(num_kept, dim=-1)
    return SparseTargets(
        values=values,
        ids=ids,
        log_sum_exp=dense.logsumexp(dim=-1, keepdim=True),
        temperatures=(1.0,),
    )


def test_one_word_a_clip_is_taken_as_it_is() -> None:
    said = logits(0.9, 0.2, 0.6, 0.4)
    assert clip_scores(said, ONE) is said
    assert pseudo_labels(said, ONE).tolist() == [0, 1, 0, 1]


def test_steps_vote_by_their_probabilities_and_padding_does_not() -> None:
    # Twice 0.6 for the first class against once 0.9 for the second, then padding.
    said = torch.stack([logits(0.6), logits(0.6), logits(0.1), logits(0.0001)], dim=1)
    assert pseudo_labels(said, torch.tensor([2])).tolist() == [0]
    assert pseudo_labels(said, torch.tensor([3])).tolist() == [1]
    scores = clip_scores(said, torch.tensor([3])).exp()
    assert scores[0].tolist() == pytest.approx([1.3 / 3, 1.7 / 3])


def test_sparse_targets_give_the_labels_of_the_dense_ones() -> None:
    dense = torch.randn(20, 3, 8, generator=torch.Generator().manual_seed(1))
    num_steps = torch.tensor([1, 2, 3, 3] * 5)
    full, kept = pseudo_labels(dense, num_steps), pseudo_labels(sparse(dense, 8), num_steps)
    assert torch.equal(full, kept)
    of_clips = dense[:, 0]
    assert torch.equal(of_clips.argmax(dim=-1), pseudo_labels(sparse(of_clips, 2), num_steps))


def test_a_fixed_threshold_asks_the_confidence_in_either_class() -> None:
    said = logits(0.96, 0.04, 0.9, 0.5)
    assert confident_clips(said, ONE, "fixed", 0.95).tolist() == [True, True, False, False]


def test_the_median_keeps_the_surer_half() -> None:
    said = logits(0.9, 0.2, 0.6, 0.45)
    assert confident_clips(said, ONE, "quantile", 0.5).tolist() == [True, True, False, False]


def test_flexmatch_asks_less_of_a_class_that_is_seldom_sure() -> None:
    said = logits(0.99, 0.98, 0.97, 0.3)
    fixed = confident_clips(said, ONE, "fixed", 0.95)
    flexible = confident_clips(said, ONE, "flexmatch", 0.95)
    assert fixed.tolist() == [True, True, True, False]
    assert flexible.tolist() == [True, True, True, True]


def test_a_threshold_over_sparse_targets_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="store them dense"):
        confident_clips(sparse(logits(0.9, 0.1), 1), ONE[:2], "fixed", 0.95)


def test_some_clips_of_a_batch_are_a_batch() -> None:
    batch = Batch(
        clip_ids=("a", "b", "c"),
        inputs={"vector": torch.eye(3)},
        num_steps=torch.tensor([1, 2, 3]),
        targets={"dense": logits(0.9, 0.5, 0.1), "few": sparse(logits(0.9, 0.5, 0.1), 1)},
        embeddings={"dense": torch.eye(3)},
        boxes={
            "rgb": BoxTargets(
                boxes=torch.rand(4, 4),
                scores=torch.tensor([0.1, 0.2, 0.3, 0.4]),
                classes=torch.zeros(4, dtype=torch.int64),
                row=torch.tensor([0, 1, 2, 2]),
                step=torch.tensor([0, 1, 0, 2]),
            )
        },
        maps={("rgb", "features_0"): torch.arange(3.0).view(3, 1, 1, 1, 1)},
        seen={"rgb": torch.tensor([True, True, False])},
        labels=torch.tensor([5, 6, 7]),
    )
    some = take_clips(batch, torch.tensor([2, 0]))
    assert some.clip_ids == ("c", "a")
    assert some.num_steps.tolist() == [3, 1]
    assert torch.equal(some.inputs["vector"], torch.eye(3)[[2, 0]])
    assert some.labels is not None
    assert some.labels.tolist() == [7, 5]
    few = some.targets["few"]
    assert isinstance(few, SparseTargets)
    assert few.ids[:, 0].tolist() == [1, 0]
    boxes = some.boxes["rgb"]
    assert list(zip(boxes.row.tolist(), boxes.step.tolist(), strict=True)) == [
        (1, 0),
        (0, 0),
        (0, 2),
    ]
    torch.testing.assert_close(boxes.scores, torch.tensor([0.1, 0.3, 0.4]))
    assert some.maps["rgb", "features_0"].flatten().tolist() == [2, 0]
    assert some.seen["rgb"].tolist() == [False, True]
