import pytest
import torch
from torch import nn

from avkd.pipeline.training.validation import LossMeans
from avkd.stages.methods.batch import Batch, LossParts
from avkd.stages.methods.clip_student import Prediction
from avkd.stages.methods.mutual import mutual
from avkd.stages.methods.mutual_pair import PairPrediction

LABELS = torch.tensor([2, -1, 0, -1, -1, 1])


def parts_of(total: float, **parts: float) -> LossParts:
    return LossParts(torch.tensor(total), {n: torch.tensor(value) for n, value in parts.items()})


def test_a_batch_counts_by_its_clips() -> None:
    means = LossMeans()
    means.add(parts_of(1.0, kl=1.0), 3)
    means.add(parts_of(5.0, kl=5.0), 1)
    assert (means.total, means.parts) == (2.0, {"kl": 2.0})


def test_a_part_is_the_mean_over_the_clips_that_have_it() -> None:
    weights = {"label": 2.0, "kl": 1.0}
    means = LossMeans()
    for total, label, kl, num_labelled in ((9.0, 4.0, 1.0, 1), (19.0, 8.0, 3.0, 3), (5.0, 0, 5, 0)):
        loss = parts_of(total, label=label, kl=kl, accuracy=0.5)
        counts = {"label": num_labelled, "accuracy": num_labelled}
        means.add(loss._replace(weights=weights, num_clips=counts), 4)
    # label: (1 * 4 + 3 * 8) / 4, of four labelled clips and not of twelve.
    assert means.parts == {"label": 7.0, "kl": 3.0, "accuracy": 0.5}
    assert means.total == 2 * 7.0 + 3.0


def test_a_part_that_a_batch_goes_without_is_the_mean_of_the_others() -> None:
    means = LossMeans()
    means.add(parts_of(3.0, kl=1.0, distribution=2.0)._replace(weights=WEIGHTS), 4)
    means.add(parts_of(1.0, kl=1.0)._replace(weights=WEIGHTS), 1)
    assert means.parts == {"kl": 1.0, "distribution": 2.0}
    assert means.total == 3.0


def test_a_part_of_labels_is_none_where_no_clip_has_a_label() -> None:
    means = LossMeans()
    means.add(parts_of(1.0, label=0.0, kl=1.0)._replace(num_clips={"label": 0}), 4)
    assert means.parts == {"kl": 1.0}


WEIGHTS = {"kl": 1.0, "distribution": 1.0}


class Said(nn.Module):
    """A student and a teacher that say what they are given."""

    def forward(self, inputs: dict[str, torch.Tensor], num_steps: object) -> PairPrediction:
        student, fused, audio, visual = inputs["logits"].unbind(dim=1)
        votes = {"waveform": audio, "pictures": visual}
        nothing = torch.empty(0)
        return PairPrediction(Prediction(student, nothing, {}), Prediction(fused, nothing, votes))


@pytest.mark.parametrize("label_kind", ["class", "classes"])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 5])
def test_the_means_do_not_depend_on_how_clips_lie_in_batches(
    label_kind: str, batch_size: int
) -> None:
    labels = LABELS
    if label_kind == "classes":
        labels = nn.functional.one_hot(LABELS.clamp_min(0), 3).float()
        labels[LABELS < 0] = -1
    logits = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    method = mutual(label_kind=label_kind, vote_weight=0.5, b1=2.0)  # type: ignore[arg-type]
    whole = LossMeans()
    whole.add(method.loss(Said(), deal(logits, labels)), len(logits))
    dealt = LossMeans()
    for start in range(0, len(logits), batch_size):
        place = slice(start, start + batch_size)
        batch = deal(logits[place], labels[place])
        dealt.add(method.loss(Said(), batch), len(batch.clip_ids))
    assert dealt.parts == pytest.approx(whole.parts, rel=1e-9)
    assert dealt.total == pytest.approx(whole.total, rel=1e-9)
    assert whole.total == pytest.approx(float(method.loss(Said(), deal(logits, labels)).total))


def deal(logits: torch.Tensor, labels: torch.Tensor) -> Batch:
    return Batch(
        clip_ids=tuple(map(str, range(len(logits)))),
        inputs={"logits": logits},
        num_steps=torch.ones(len(logits), dtype=torch.int64),
        labels=labels,
    )
