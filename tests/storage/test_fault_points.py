import os
import signal
import subprocess
import sys

import pytest

from avkd.errors import InvalidValueError
from avkd.storage import fault_points
from avkd.storage.fault_points import VARIABLE, count_passings, pass_point


@pytest.fixture(autouse=True)
def no_passings(monkeypatch):
    monkeypatch.setattr(fault_points, "_passed", type(fault_points._passed)())


def test_without_the_variable_nothing_is_done_or_counted(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    pass_point("before-commit")
    pass_point("no such point")
    assert count_passings() == {}


def test_points_are_counted_until_the_one_that_was_asked_for(monkeypatch):
    monkeypatch.setenv(VARIABLE, "after-commit:3")
    for _ in range(2):
        pass_point("before-commit")
        pass_point("after-commit")
    assert count_passings() == {"before-commit": 2, "after-commit": 2}


@pytest.mark.parametrize(("asked", "passed"), [("bed", "after-commit"), ("after-commit", "bed")])
def test_a_name_that_is_no_point_is_refused(monkeypatch, asked, passed):
    monkeypatch.setenv(VARIABLE, asked)
    with pytest.raises(InvalidValueError, match="'bed' is no fault point; known: folder-made"):
        pass_point(passed)


def test_a_process_kills_itself_at_the_passing_that_was_asked_for(tmp_path):
    script = (
        "import sys\n"
        "from avkd.storage import objects\n"
        "for number in range(5): objects.put_durable(f'{sys.argv[1]}/{number}', b'12345678')\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, VARIABLE: "temporary-half-written:3"},
    )
    assert died.returncode == -signal.SIGKILL
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left[1:] == ["0", "1"]
    assert left[0].startswith(".2.")
    assert (tmp_path / left[0]).read_bytes() == b"1234"
