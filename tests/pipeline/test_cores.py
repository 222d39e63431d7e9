import pytest

from avkd.pipeline import cores
from avkd.pipeline.cores import CoreShare, share_of_cores


@pytest.mark.parametrize(
    ("num_cores", "num_workers", "num_threads", "num_decode_workers"),
    [(16, 1, 16, 8), (16, 4, 4, 4), (2, 1, 2, 2), (2, 2, 1, 1), (2, 5, 1, 1)],
)
def test_every_worker_uses_its_share_of_the_cores_and_one_at_least(
    monkeypatch: pytest.MonkeyPatch,
    num_cores: int,
    num_workers: int,
    num_threads: int,
    num_decode_workers: int,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "count_cores", lambda: num_cores)
    assert share_of_cores(num_workers) == CoreShare(
        num_threads=num_threads, num_decode_workers=num_decode_workers
    )


@pytest.mark.parametrize(("asked", "num_threads"), [("3", 3), ("0", 16), ("4,2", 16), ("", 16)])
def test_the_number_of_threads_that_the_user_sets_is_respected(
    monkeypatch: pytest.MonkeyPatch, asked: str, num_threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(cores, "count_cores", lambda: 16)
    assert share_of_cores(1).num_threads == num_threads
