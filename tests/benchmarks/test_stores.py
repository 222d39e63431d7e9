import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

NUM_ROWS = 600


@pytest.fixture(scope="module")
def rows(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("store_rows")


@pytest.fixture(scope="module")
def source(rows: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows that are narrow, so that there can be some hundreds."""
    folder = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "NUM_CLASSES", 12)
        patch.setattr(rows, "NUM_FEATURES", 20)
        rows.write_source(folder, NUM_ROWS)
    return folder


# webdataset leaves the tars that it has read to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["npy", "avkd", "parquet", "webdataset", "mosaicml"])
def test_a_store_gives_back_every_row_once_in_order_and_mixed(
    bench: Callable[[str], ModuleType], source: Path, tmp_path: Path, name: str
) -> None:
    contestant = bench("store_contestant")
    for module in contestant.WARM[name]:
        pytest.importorskip(module)
    wrote = contestant.act(name, "write", source, tmp_path / name)
    assert wrote["num_rows"] == NUM_ROWS
    scan, epoch = (
        contestant.act(name, action, source, tmp_path / name, checks=True)
        for action in ("scan", "epoch")
    )
    for told in (scan, epoch):
        assert told["num_rows"] == told["num_distinct"] == NUM_ROWS
        assert told["num_strangers"] == 0
    assert scan["digest"] == epoch["digest"]
    assert scan["mean_displacement"] == 0
    assert epoch["mean_displacement"] > 0.1


def test_an_epoch_is_of_float32_and_of_the_asked_size(
    bench: Callable[[str], ModuleType], source: Path, tmp_path: Path
) -> None:
    contestant = bench("store_contestant")
    contestant.act("npy", "write", source, tmp_path)
    told = contestant.act("npy", "epoch", source, tmp_path, batch_size=64)
    assert told["num_bytes"] == NUM_ROWS * 4 * (12 + 20) * 4


def test_a_row_that_is_lost_doubled_or_changed_is_seen(rows: ModuleType, source: Path) -> None:
    whole = {name: np.array(values) for name, values in rows.open_source(source).items()}
    right = rows.check_all([whole], whole)
    doubled = {name: values[[*range(NUM_ROWS - 1), 0]] for name, values in whole.items()}
    told = rows.check_all([doubled], whole)
    assert (told["num_rows"], told["num_distinct"]) == (NUM_ROWS, NUM_ROWS - 1)
    assert told["digest"] != right["digest"]
    changed = {name: values.copy() for name, values in whole.items()}
    changed["logits"][5, 0, 0] += 1
    assert rows.check_all([changed], whole)["num_strangers"] == 1


def test_a_whole_shuffle_moves_rows_by_a_third(rows: ModuleType, source: Path) -> None:
    whole = {name: np.array(values) for name, values in rows.open_source(source).items()}
    order = np.random.default_rng(0).permutation(NUM_ROWS)
    mixed = {name: values[order] for name, values in whole.items()}
    assert abs(rows.check_all([mixed], whole)["mean_displacement"] - 1 / 3) < 0.03


def test_a_store_without_its_package_is_left_out_and_told(
    bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = bench("stores")
    monkeypatch.setitem(stores.WARM, "npy", ("no_such_module",))
    assert stores._find_package(sys.executable, "npy") == ("", "no module no_such_module")


def test_stores_run_in_rounds_with_what_they_lack_told(
    bench: Callable[[str], ModuleType], source: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    stores = bench("stores")
    (tmp_path / f"rows-{NUM_ROWS}-0").symlink_to(source, target_is_directory=True)
    monkeypatch.setattr(
        stores, "_find_package", lambda python, name: ("", "absent" * (name == "webdataset"))
    )
    names = ["npy", "parquet", "webdataset"]
    rounds = stores.measure_stores(
        *("epoch", tmp_path, tmp_path / "results"),
        bench("protocol").Conduct(num_rounds=1, poll_seconds=0.05),
        names=names,
        num_rows=NUM_ROWS,
    )
    assert rounds.names() == ["npy", "parquet"]
    assert rounds.left_out == {"webdataset": "absent"}
    assert len(rounds.values("parquet", "work_seconds")) == 1
    read, _ = bench("rows").read_rounds(tmp_path / "results" / "stores-epoch.json")
    assert read == rounds
