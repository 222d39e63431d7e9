import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ORPHAN = """
import subprocess, sys
burn = "import time; x = 0\\nwhile time.process_time() < 0.3: x += 1"
subprocess.Popen([sys.executable, "-S", "-c", burn])
held = bytearray(80_000_000)
held[::4096] = b"x" * len(held[::4096])
import time; time.sleep(1.5)
print("a word")
print('{"work_seconds": 2.5}')
"""


@pytest.fixture(scope="module")
def protocol(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("protocol")


@pytest.fixture(scope="module")
def raw(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("rows")


@pytest.fixture
def say(protocol: ModuleType) -> Callable[..., Any]:
    """Makes a contestant that says something as JSON, or runs other code."""

    def make(name: str, code: str = "", **more: Any) -> Any:
        code = code or f"print('{json.dumps({'name': name})}')"
        return protocol.Contestant(name=name, command=(sys.executable, "-S", "-c", code), **more)

    return make


@pytest.fixture
def run(protocol: ModuleType) -> Callable[..., Any]:
    """Runs contestants in so many rounds, and with what else is said."""

    def run(contestants: Any, num_rounds: int, seed: int = 0, **more: Any) -> Any:
        names = ("minutes", "poll_seconds", "limit_seconds")
        how = {name: more.pop(name) for name in names if name in more}
        conduct = protocol.Conduct(num_rounds=num_rounds, seed=seed, **how)
        return protocol.run_rounds(contestants, conduct, **more)

    return run


def test_every_round_has_an_order_of_its_own_that_the_seed_gives(protocol: ModuleType) -> None:
    names = ["a", "b", "c", "d"]
    orders = [protocol.order_of_round(names, seed=1, number=number) for number in range(20)]
    assert all(sorted(order) == names for order in orders)
    assert len(set(orders)) > 5
    again = [protocol.order_of_round(names, seed=1, number=number) for number in range(20)]
    assert orders == again


def test_the_warm_up_is_thrown_away_and_rows_keep_who_ran_when(
    protocol: ModuleType,
    raw: ModuleType,
    run: Callable[..., Any],
    say: Callable[..., Any],
    tmp_path: Path,
) -> None:
    rounds = run([say("one"), say("other")], 2, seed=4)
    assert [row.round for row in rounds.rows] == [-1, -1, 0, 0, 1, 1]
    assert rounds.num_rounds == len(rounds.values("one", "wall_seconds")) == 2
    assert rounds.names() == ["one", "other"]
    for number in (0, 1):
        ran = tuple(row.name for row in rounds.rows if row.round == number)
        assert ran == protocol.order_of_round(["one", "other"], seed=4, number=number)

    path = tmp_path / "deep" / "rows.json"
    raw.write_rounds(path, rounds, raw.describe_bench("test", {"name": "x"}))
    read, document = raw.read_rounds(path)
    assert read == rounds
    assert document["bench"] == "test"
    assert document["machine"]["num_cores"] >= 1


def test_who_fails_or_disagrees_is_left_out_and_told_why(
    run: Callable[..., Any], say: Callable[..., Any]
) -> None:
    contestants = [say("right"), say("wrong"), say("broken", "raise SystemExit('no such thing')")]
    rounds = run(
        contestants,
        1,
        left_out={"absent": "no package"},
        accept=lambda contestant, row: (
            {"why_not": "differs"} if row.told["name"] == "wrong" else {"far": 0}
        ),
    )
    assert rounds.names() == ["right"]
    assert rounds.left_out == {
        "absent": "no package",
        "wrong": "differs",
        "broken": "failed in round 0: no such thing",
    }
    assert rounds.rows[0].told["far"] == 0
    assert [row.name for row in rounds.rows if row.round == 0] == ["right"]


def test_outputs_that_change_from_round_to_round_leave_a_contestant_out(
    run: Callable[..., Any], say: Callable[..., Any]
) -> None:
    drawn = 'import random; print("{\\"digest\\": %d}" % random.randrange(10**9))'
    same = "print('{\"digest\": 5}')"
    rounds = run([say("fickle", drawn), say("same", same)], 2)
    assert rounds.left_out == {"fickle": "its outputs are others in round 1 than before"}
    assert len(rounds.values("same", "wall_seconds")) == 2


def test_rounds_that_were_broken_off_go_on_where_they_were(
    protocol: ModuleType, run: Callable[..., Any], say: Callable[..., Any]
) -> None:
    contestants = [say("a"), say("b"), say("c")]
    saved: list[Any] = []
    whole = run(contestants, 3, seed=3, save=saved.append)
    after = saved[4]  # a warm-up of three, and two of the first round
    assert (after.num_rounds, len(after.rows)) == (0, 5)
    resumed = run(contestants, 3, seed=3, kept=after)
    assert resumed.rows[:5] == after.rows
    order = [(row.round, row.place, row.name) for row in whole.rows]
    assert [(row.round, row.place, row.name) for row in resumed.rows] == order
    # What was found of the first half of a warm-up is not known any more.
    again = run(contestants, 1, seed=3, kept=saved[1])
    assert [row.name for row in again.rows[:3]] == ["a", "b", "c"]
    assert again.rows[0] != saved[1].rows[0]
    assert run(contestants, 3, seed=3, kept=whole).rows == whole.rows


def test_no_round_is_begun_that_would_take_too_long_but_one(
    run: Callable[..., Any], say: Callable[..., Any]
) -> None:
    began = time.monotonic()
    rounds = run([say("one")], 50, minutes=0.0)
    assert rounds.num_rounds == 1
    spent = (time.monotonic() - began) / 60
    longer = run([say("one")], 50, minutes=3 * spent, kept=rounds)
    assert 1 <= longer.num_rounds < 50


def test_rows_of_another_setting_or_commit_are_not_gone_on_with(
    raw: ModuleType, run: Callable[..., Any], say: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "rows.json"
    described = raw.describe_bench("test", {"name": "x", "size": (1, 2)})
    assert raw.read_kept(path, described, 0) == (None, described)
    rounds = run([say("one")], 1)
    raw.write_rounds(path, rounds, {**described, "began_at": "then"})
    kept, before = raw.read_kept(path, described, 0)
    assert kept == rounds
    assert before["began_at"] == "then"
    with pytest.raises(ValueError, match="setting"):
        raw.read_kept(path, {**described, "setting": {"name": "y"}}, 0)
    machine = {**described["machine"], "commit": "another"}
    with pytest.raises(ValueError, match="commit"):
        raw.read_kept(path, {**described, "machine": machine}, 0)
    with pytest.raises(ValueError, match="seed 0"):
        raw.read_kept(path, described, 1)


def test_a_command_is_told_without_the_places_of_one_machine(
    raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["/a/b/stores.py", "scan", "--folder", "/tmp/x", "--python", "mosaicml=/y/bin/python"]
    monkeypatch.setattr(sys, "argv", words)
    told = raw.describe_bench("stores", {})["command"]
    assert told == "python benchmarks/stores.py scan --folder PATH --python mosaicml=PATH"


def test_room_is_made_before_and_the_output_looked_at_after_every_run(
    protocol: ModuleType, run: Callable[..., Any], say: Callable[..., Any], tmp_path: Path
) -> None:
    place = tmp_path / "out.txt"
    writer = say(
        "writer",
        f"open({str(place)!r}, 'x').write('hello')",
        before=lambda: place.unlink(missing_ok=True),
        after=lambda: protocol.describe_output(tmp_path),
    )
    rounds = run([writer], 1)
    told = [row.told for row in rounds.rows]
    assert told[0] == told[1]
    assert (told[0]["output_bytes"], told[0]["output_files"]) == (5, 1)


def test_a_digest_of_outputs_sees_names_bytes_and_where_files_end(
    protocol: ModuleType, tmp_path: Path
) -> None:
    digests = []
    for files in ({"a": "xy", "b": ""}, {"a": "x", "b": "y"}, {"a": "x", "c": "y"}):
        folder = tmp_path / str(len(digests))
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        digests.append(protocol.describe_output(folder)["digest"])
    assert len(set(digests)) == 3


def test_an_orphan_counts_as_part_of_the_command(protocol: ModuleType) -> None:
    measured, said, _ = protocol.measure_command(
        (sys.executable, "-S", "-c", ORPHAN), protocol.Conduct(poll_seconds=0.05)
    )
    assert measured["returncode"] == 0
    assert said.endswith('{"work_seconds": 2.5}\n')
    assert measured["wall_seconds"] >= 1.5
    assert measured["num_polls"] > 1
    assert measured["peak_bytes"] >= measured["late_peak_bytes"] > 80_000_000
    if measured["is_adopting"]:
        assert measured["user_seconds"] + measured["system_seconds"] > 0.3


def test_bytes_that_a_command_writes_are_counted_where_the_system_tells(
    protocol: ModuleType, tmp_path: Path
) -> None:
    place = tmp_path / "file"
    code = f"open({str(place)!r}, 'wb').write(b'x' * 3_000_000)"
    measured, _, _ = protocol.measure_command(
        (sys.executable, "-S", "-c", code), protocol.Conduct()
    )
    if measured["wchar"] is None:
        pytest.skip("no /proc/PID/io here")
    assert 3_000_000 <= measured["wchar"] < 3_100_000


def test_what_takes_too_long_is_ended_with_all_that_it_started(
    run: Callable[..., Any], say: Callable[..., Any]
) -> None:
    sleeper = "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', '{}'])"
    code = sleeper.format("import time; time.sleep(600)")
    rounds = run([say("slow", code)], 1, poll_seconds=0.05, limit_seconds=0.5)
    assert rounds.left_out == {"slow": "took over the limit in round 0"}
    assert len(rounds.rows) == 1


def test_rows_of_another_version_are_refused(raw: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('{"rows_version": 0}')
    with pytest.raises(ValueError, match="measure again"):
        raw.read_rounds(path)
