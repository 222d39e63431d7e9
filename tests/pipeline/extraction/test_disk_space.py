import shutil
from pathlib import Path

import pytest

from avkd.errors import StoreUnwritableError
from avkd.pipeline.extraction.disk_space import check_space, find_free_bytes


def test_what_surely_fits_is_not_spoken_of(tmp_path: Path) -> None:
    assert check_space(str(tmp_path / "store"), {"waveform": 1, "seer": 0}) == ""
    assert check_space(str(tmp_path / "store"), {}) == ""


def test_what_fits_when_it_is_compressed_is_told(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    note = check_space(str(tmp_path / "far" / "store"), {"waveform": 2 * free, "seer": 9})
    assert "are free for" in note
    assert "waveform: " in note
    assert "what is committed stays" in note


def test_what_cannot_fit_is_refused_with_the_way_out(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(StoreUnwritableError, match=r"before compression; make room, .*no-space"):
        check_space(str(tmp_path / "store"), {"waveform": 5 * free})
    assert not (tmp_path / "store").exists()


def test_of_a_bucket_nothing_is_known() -> None:
    assert find_free_bytes("memory://bucket/store") is None
    assert check_space("memory://bucket/store", {"waveform": 10**18}) == ""
