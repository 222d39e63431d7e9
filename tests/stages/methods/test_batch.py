import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import Batch, TargetShape, require_same_classes


def make_sparse(num_steps: int) -> SparseTargets:
    return SparseTargets(
        values=torch.zeros(2, num_steps, 3),
        ids=torch.zeros(2, num_steps, 3, dtype=torch.int64),
        log_sum_exp=torch.zeros(2, num_steps, 1),
        temperatures=(1.0,),
    )


def make_boxes() -> BoxTargets:
    ones = torch.ones(1, dtype=torch.int64)
    return BoxTargets(
        boxes=torch.rand(1, 4), scores=torch.rand(1), classes=ones, row=ones, step=0 * ones
    )


def make_batch(**fields: object) -> Batch:
    return Batch(
        clip_ids=("a", "b"),
        inputs={"waveform": torch.zeros(2, 1, 8)},
        num_steps=torch.tensor([1, 2]),
        **fields,  # type: ignore[arg-type]
    )


def test_total_steps_are_those_of_what_is_stored() -> None:
    assert make_batch(targets={"t": torch.zeros(2, 4, 5)}).total_steps == 4
    assert make_batch(targets={"t": make_sparse(3)}).total_steps == 3
    assert make_batch(embeddings={"t": torch.zeros(2, 5, 7)}).total_steps == 5
    assert make_batch().total_steps == 2


def test_with_boxes_alone_a_full_clip_says_how_many_steps_there_are() -> None:
    maps = {("rgb", "features_0"): torch.zeros(2, 6, 3, 5, 7)}
    assert make_batch(boxes={"rgb": make_boxes()}, maps=maps, full_steps=8).total_steps == 6
    assert make_batch(boxes={"rgb": make_boxes()}, full_steps=8).total_steps == 8
    assert make_batch(boxes={"rgb": make_boxes()}).total_steps == 2
    assert make_batch(full_steps=8).total_steps == 2


def test_what_is_stored_of_a_clip_as_a_whole_has_no_steps() -> None:
    whole, steps = torch.zeros(2, 7), torch.zeros(2, 4, 5)
    sparse = SparseTargets(
        values=torch.zeros(2, 3),
        ids=torch.zeros(2, 3, dtype=torch.int64),
        log_sum_exp=torch.zeros(2, 1),
        temperatures=(1.0,),
    )
    assert make_batch(targets={"whole": whole, "sparse": sparse, "t": steps}).total_steps == 4
    assert make_batch(targets={"whole": whole}, embeddings={"t": steps}).total_steps == 4
    assert make_batch(targets={"s": sparse}, embeddings={"whole": whole}).total_steps == 2


def test_every_tensor_moves_to_the_device() -> None:
    batch = make_batch(
        targets={"dense": torch.zeros(2, 4, 5), "sparse": make_sparse(4)},
        embeddings={"t": torch.zeros(2, 4, 7)},
        boxes={"rgb": make_boxes()},
        maps={("rgb", "features_0"): torch.zeros(2, 4, 3, 5, 7)},
        seen={"rgb": torch.tensor([True, False])},
        full_steps=4,
        labels=torch.tensor([0, 1]),
    )
    moved = batch.to("meta")
    sparse, dense = moved.targets["sparse"], moved.targets["dense"]
    assert isinstance(sparse, SparseTargets)
    assert isinstance(dense, torch.Tensor)
    assert moved.labels is not None
    tensors = [moved.waveform, moved.num_steps, moved.labels, moved.embeddings["t"], dense]
    tensors += [moved.boxes["rgb"].boxes, moved.boxes["rgb"].step, *moved.maps.values()]
    tensors += [moved.seen["rgb"]]
    assert {tensor.device.type for tensor in (*tensors, sparse.ids)} == {"meta"}
    assert (moved.maps.keys(), moved.full_steps) == (batch.maps.keys(), 4)
    assert moved.clip_ids == batch.clip_ids
    assert make_batch().to("cpu").labels is None


@pytest.mark.parametrize(
    ("num_classes", "names", "words"),
    [
        (3, ("cat", "dog", "owl"), "teacher 'av' knows 3 classes but there are 2 labels; do so"),
        (2, ("dog", "cat"), "class 0 of teacher 'av' is 'dog' but the label is 'cat'; do so"),
        (2, ("cat", "cow"), "class 1 of teacher 'av' is 'cow' but the label is 'dog'; do so"),
    ],
)
def test_a_teacher_of_other_classes_is_refused(
    num_classes: int, names: tuple[str, ...], words: str
) -> None:
    shape = TargetShape(num_steps=0, num_classes=num_classes, class_names=names)
    with pytest.raises(InvalidValueError, match=words):
        require_same_classes("av", shape, ("cat", "dog"), "do so")


@pytest.mark.parametrize(
    ("names", "others"), [(("cat", "dog"), ("cat", "owl")), ((), ("cat", "dog", "owl"))]
)
def test_a_teacher_of_the_same_classes_or_of_as_many_without_names_is_taken(
    names: tuple[str, ...], others: tuple[str, ...]
) -> None:
    shape = TargetShape(num_steps=0, num_classes=2, class_names=names)
    require_same_classes("av", shape, ("cat", "dog"), "do so")
    with pytest.raises(InvalidValueError, match="do so"):
        require_same_classes("av", shape, others, "do so")
