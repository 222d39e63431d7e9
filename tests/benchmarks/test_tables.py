"""The page says what raw rows say, and there is none without them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

MACHINE = {
    "processor": "a processor",
    "system": "a system",
    "num_cores": 2,
    "python": "3.11",
    "packages": {"av": "18"},
    "commit": "0123",
    "measured_at": "then",
}


@pytest.fixture(scope="module")
def tables(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("tables")


@pytest.fixture
def write(bench: Callable[[str], ModuleType], tmp_path: Path) -> Callable[..., Any]:
    """Writes raw rows: seconds by name, one a round, and what else a contestant told."""
    raw = bench("rows")

    def write(
        name: str,
        bench_name: str,
        seconds: Mapping[str, list[float]],
        /,
        left_out: Mapping[str, str] | None = None,
        **setting: Any,
    ) -> Any:
        seconds = {key: 3 * values for key, values in seconds.items()}
        rows = tuple(
            raw.Row(
                round=number,
                place=0,
                name=contestant,
                load_before=0.0,
                measured={
                    "wall_seconds": 2 * value,
                    "user_seconds": value,
                    "system_seconds": 0.0,
                    "peak_bytes": 1e8 * value,
                    "late_peak_bytes": 5e7 * value,
                },
                told={
                    "work_seconds": value,
                    "first_seconds": 4 * value,
                    "mean_displacement": 0.25,
                },
            )
            for contestant, values in seconds.items()
            for number, value in enumerate([100.0, *values], start=raw.WARM_UP)
        )
        rounds = raw.Rounds(rows=rows, left_out=left_out or {}, seed=0)
        document = {"name": "x", "why": "because", "num_cores": 2, "poll_seconds": 0.25}
        document |= setting
        path = tmp_path / name
        raw.write_rounds(path, rounds, raw.describe_bench(bench_name, document))
        written = json.loads(path.read_text())
        path.write_text(json.dumps({**written, "machine": MACHINE}))
        return rounds

    return write


def test_without_raw_rows_there_is_no_page(tables: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no raw rows"):
        tables.render_page(tmp_path)


def test_efficiency_is_the_floors_over_ours_with_the_fastest_right_decoder(
    tables: ModuleType, write: Callable[..., Any], tmp_path: Path
) -> None:
    rounds = write(
        "speed-x.json",
        "speed",
        {
            "ours": [10, 20],
            "start": [0.5, 1],
            "decode:pyav": [8, 16],
            "decode:decord": [6, 12],
            "scale": [1, 2],
            "model": [3, 6],
        },
        {"vf": "answers differ"},
    )
    decoders = ["decode:pyav", "decode:decord"]
    assert tables.fastest(rounds, decoders, "work_seconds") == "decode:decord"
    floors = ("decode:decord", "model")
    ratio = tables.efficiency_of(rounds, floors, "work_seconds", with_start=False)
    assert (ratio.median, ratio.low, ratio.high) == (0.9, 0.9, 0.9)
    # Both floors start a Python, ours one: (6 + 3 - 0.5) / 10.
    assert tables.efficiency_of(rounds, floors, "wall_seconds", with_start=True).median == 0.85
    page = tables.render_page(tmp_path)
    nine, less = "0.90 (0.90 to 0.90)", "0.85 (0.85 to 0.85)"
    assert f"| decode + model | {nine} | {less} | {less} |" in page
    assert "| decode + scale + model | 1.00 (1.00 to 1.00, no difference) | 0.90" in page
    assert "decoding is 67 %." in page
    assert "(b)" not in page
    assert "Left out: vf (answers differ)." in page
    assert "commit `0123`" in page


def test_others_are_held_to_ours_and_each_by_its_best_layout(
    tables: ModuleType, write: Callable[..., Any], tmp_path: Path
) -> None:
    floors = {"start": [1, 1], "scale": [1, 1], "model": [1, 1], "decode:decord": [1, 1]}
    loops = {"vf": [30, 30], "vf-copies": [24, 24], "vf-reencode": [16, 16], "cve": [10, 10]}
    write("speed-x.json", "speed", {"ours": [10, 10], **floors, **loops})
    page = tables.render_page(tmp_path)
    thrice, same = "3.00 (3.00 to 3.00)", "1.00 (1.00 to 1.00, no difference)"
    assert f"| vf | 60 ± 0 | {thrice} | 30 ± 0 | {thrice} | 30 ± 0 | 3,000 ± 0 |" in page
    best = "vf-copies: 2.40 (2.40 to 2.40)"
    assert f"| vf | {best} | {best} |" in page
    best = "vf-reencode: 1.60 (1.60 to 1.60)"
    assert f"| vf-reencode | {best} | {best} |" in page
    assert f"| cve | 20 ± 0 | {same} | 10 ± 0 | {same} | 10 ± 0 | 1,000 ± 0 |" in page


def test_a_table_is_of_whole_rounds(
    tables: ModuleType, write: Callable[..., Any], tmp_path: Path
) -> None:
    rounds = write("teachers-x.json", "teachers", {"one-pass": [2, 2], "apart-pass": [4]})
    assert rounds.num_rounds == len(rounds.values("one-pass", "work_seconds")) == 3
    assert "3 rounds, seed 0" in tables.render_page(tmp_path)


def test_memory_passes_and_stores_have_their_tables(
    tables: ModuleType, write: Callable[..., Any], tmp_path: Path
) -> None:
    write("teachers-x.json", "teachers", {"one-pass": [2, 2], "apart-pass": [4, 4]})
    write("memory-x.json", "memory", {"corpus x1": [5, 5], "corpus x4": [6, 6]})
    seconds = {"npy": [1, 1], "avkd": [2, 2]}
    setting = {"num_rows": 1000, "row_bytes": 8, "packages": {"avkd": "avkd 1"}}
    write("stores-epoch.json", "stores", seconds, **setting, name="epoch")
    write("stores-scan.json", "stores", seconds, **setting, name="scan")
    page = tables.render_page(tmp_path)
    assert "| apart-pass | 4 ± 0 | 8 ± 0 | 4 ± 0 | 400 ± 0 | 2.00 (2.00 to 2.00) |" in page
    assert "Of wall seconds: 2.00 (2.00 to 2.00)." in page
    assert "| corpus x4 | 600 ± 0 | 1.20 | 300 ± 0 | 1.20 | 12 ± 0 |" in page
    half = "0.50 (0.50 to 0.50)"
    assert f"| avkd | 2 ± 0 | 500 | {half} | 8 ± 0 | {half} | 2 ± 0 | 0.25 | - |" in page
    assert f"| avkd | 2 ± 0 | 500 | {half} | - | - | 2 ± 0 | 0.25 | - |" in page


def test_what_sparse_logits_lose_is_a_table_of_its_own(
    tables: ModuleType, bench: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    gap = {"top_k": 32, "temperature": 2.0, "student": "uniform", "dense": 2.0, "sparse": 1.5}
    document = {
        **bench("rows").describe_bench("bytes", {}),
        "teacher": "t",
        "num_steps": 4,
        "num_pictures": 7,
        "bytes_of_a_clip": {"0": 1000.0, "32": 125.0},
        "kl": [gap],
    }
    (tmp_path / "bytes.json").write_text(json.dumps(document))
    page = tables.render_page(tmp_path)
    assert "| 32 | 125 | 0.125 |" in page
    assert "| 32 | 2 | uniform | 2.0000 | 1.5000 | 25.0 % |" in page
