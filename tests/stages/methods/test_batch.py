import torch

from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import Batch


def make_sparse(num_steps: int) -> SparseTargets:
    return SparseTargets(
        values=torch.zeros(2, num_steps, 3),
        ids=torch.zeros(2, num_steps, 3, dtype=torch.int64),
        log_sum_exp=torch.zeros(2, num_steps, 1),
        temperatures=(1.0,),
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


def test_every_tensor_moves_to_the_device() -> None:
    batch = make_batch(
        targets={"dense": torch.zeros(2, 4, 5), "sparse": make_sparse(4)},
        embeddings={"t": torch.zeros(2, 4, 7)},
        labels=torch.tensor([0, 1]),
    )
    moved = batch.to("meta")
    sparse, dense = moved.targets["sparse"], moved.targets["dense"]
    assert isinstance(sparse, SparseTargets)
    assert isinstance(dense, torch.Tensor)
    assert moved.labels is not None
    tensors = [moved.waveform, moved.num_steps, moved.labels, moved.embeddings["t"], dense]
    assert {tensor.device.type for tensor in (*tensors, sparse.ids)} == {"meta"}
    assert moved.clip_ids == batch.clip_ids
    assert make_batch().to("cpu").labels is None
