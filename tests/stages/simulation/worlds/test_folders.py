import json
from pathlib import Path

import pytest

from avkd.stages.simulation.worlds.folders import describe, format_table, write_missing


def write_spec(spec: str, path: Path) -> None:
    path.write_text(spec)


def fill(folder: Path, text: str, names: tuple[str, ...] = ("a", "b/c")) -> int:
    planned = [(name, folder / name) for name in names]
    number = write_missing(
        planned, write_spec, folder / "world.json", text, num_workers=1, on_progress=None
    )
    (folder / "world.json").write_text(text)
    return number


def test_files_are_written_once_for_one_description(tmp_path: Path) -> None:
    assert fill(tmp_path, "one") == 2
    assert (tmp_path / "b" / "c").read_text() == "b/c"
    assert fill(tmp_path, "one") == 0
    assert fill(tmp_path, "one", ("a", "b/c", "d")) == 1
    assert fill(tmp_path, "two") == 2


def test_a_failure_leaves_no_description(tmp_path: Path) -> None:
    def broken(spec: str, path: Path) -> None:
        raise OSError("disk full")

    fill(tmp_path, "one")
    with pytest.raises(OSError, match="disk full"):
        write_missing(
            [("a", tmp_path / "a")],
            broken,
            tmp_path / "world.json",
            "two",
            num_workers=1,
            on_progress=None,
        )
    assert not (tmp_path / "world.json").exists()


def test_progress_counts_what_was_there(tmp_path: Path) -> None:
    fill(tmp_path, "one", ("a",))
    told: list[tuple[int, int]] = []
    write_missing(
        [(name, tmp_path / name) for name in ("a", "b", "c")],
        write_spec,
        tmp_path / "world.json",
        "one",
        num_workers=1,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(2, 3), (3, 3)]


def test_a_description_holds_version_and_settings() -> None:
    text = describe("things", 2, {"seed": 1})
    assert json.loads(text) == {"world": "things", "version": 2, "spec": {"seed": 1}}
    assert text.endswith("\n")


def test_a_table_quotes_what_needs_it() -> None:
    assert format_table(("a", "b"), [("1", "x,y")]) == 'a,b\n1,"x,y"\n'
