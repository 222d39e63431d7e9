"""Whether a shard fits into the memory of the machine at hand, whichever that is."""

import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.shard_memory import count_memory, refuse_large_shards
from avkd.storage.schema import OutputSpec, ProducerSpec


def producer(num_bytes: int, num_outputs: int = 1) -> ProducerSpec:
    outputs = tuple(
        OutputSpec(name=f"o{number}", shape=(num_bytes,), dtype="uint8", axes=("byte",))
        for number in range(num_outputs)
    )
    return ProducerSpec(kind="input", name="frames", outputs=outputs, fingerprint={})


def test_shards_that_fit_are_not_spoken_of() -> None:
    most = count_memory()
    refuse_large_shards([producer(most // 4)], 4)
    refuse_large_shards([producer(most // 4, num_outputs=2)], 4)  # of which each fits
    refuse_large_shards([], 256)


def test_as_many_rows_as_fit_are_offered() -> None:
    num_bytes = count_memory() // 5
    with pytest.raises(InvalidValueError, match=r"'frames/o0' takes .* for its 6 rows") as refused:
        refuse_large_shards([producer(9), producer(num_bytes)], 6)
    assert "--rows-per-shard 5 or less" in str(refused.value)
    refuse_large_shards([producer(num_bytes)], 5)


def test_where_not_one_row_fits_only_less_of_it_helps() -> None:
    with pytest.raises(InvalidValueError, match="smaller --frames") as refused:
        refuse_large_shards([producer(count_memory() + 1)], 256)
    assert "--rows-per-shard" not in str(refused.value)
