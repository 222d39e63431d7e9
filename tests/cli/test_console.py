import io
import json
import sys

import numpy as np

from avkd.cli import console


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_table_keeps_long_cells_whole(capsys):
    reason = "x" * 300
    console.print_table(("file", "clips", "reason"), [("a.mp4", 12, reason), ("bb.mp4", 3, "-")])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header == "file    clips  reason"
    assert first == f"a.mp4      12  {reason}"
    assert second == "bb.mp4      3  -"


def test_a_table_without_rows_is_its_header(capsys):
    console.print_table(("file", "clips"), [])
    assert capsys.readouterr().out == "file  clips\n"


def test_facts_stand_in_one_column(capsys):
    console.print_facts({"run": "first", "updates": 3})
    assert capsys.readouterr().out == "run      first\nupdates  3\n"


def test_json_takes_arrays_and_paths(capsys, tmp_path):
    console.print_json({"counts": np.arange(3), "path": tmp_path})
    assert json.loads(capsys.readouterr().out) == {"counts": [0, 1, 2], "path": str(tmp_path)}


def test_errors_and_notes_leave_stdout_alone(capsys):
    console.print_error("one\n  two")
    console.print_note("a remark")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: one two\na remark\n")


def test_bars_tell_rate_and_remark_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with console.show_progress() as show:
        show("clips", 0, 0, "")
        show("clips", 3, 10, "")
        show("clips", 10, 10, "1 failed")
    text = terminal.getvalue()
    assert "10/10" in text
    assert "1 failed" in text
    assert "left" in text


def test_nothing_is_drawn_off_a_terminal(capsys):
    with console.show_progress() as show:
        show("clips", 3, 10, "")
    assert capsys.readouterr() == ("", "")
