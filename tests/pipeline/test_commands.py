import time

import pytest

from avkd.errors import CommandFailedError
from avkd.pipeline.commands import Command, count_lines, run_command, watch_count


def test_a_command_gives_what_it_printed_as_json():
    assert "soundnet" in run_command(Command("list", ["recipes"]))


def test_a_failed_command_is_told_by_its_last_line_and_keeps_its_exit_code(tmp_path):
    with pytest.raises(CommandFailedError, match="avkd inspect: no store at") as caught:
        run_command(Command("inspect", [str(tmp_path / "nowhere")]))
    assert caught.value.exit_code == 3


def test_the_environment_of_a_command_is_added_to_ours(tmp_path):
    marker = tmp_path / "marker"
    (tmp_path / "sitecustomize.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    run_command(Command("list", ["recipes"], {"PYTHONPATH": str(tmp_path)}))
    assert marker.exists()


def test_a_count_is_told_while_it_grows_and_once_at_the_end(monkeypatch):
    monkeypatch.setattr("avkd.pipeline.commands.POLL_SECONDS", 0.01)
    file_count, told = [0], []
    with watch_count(lambda: file_count[0], told.append):
        time.sleep(0.1)
        file_count[0] = 7
    assert told[0] == 0
    assert told[-1] == 7
    assert len(told) > 2


def test_lines_of_a_missing_file_are_none(tmp_path):
    assert count_lines(tmp_path / "metrics.jsonl") == 0
    (tmp_path / "metrics.jsonl").write_text("{}\n{}\n")
    assert count_lines(tmp_path / "metrics.jsonl") == 2
