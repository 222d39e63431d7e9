import json
import shutil

import pytest

from avkd.pipeline import extract
from avkd.storage.sealed import seal


@pytest.fixture
def mine(store, tmp_path):
    """A store that may be written to; one of its recordings is no video."""
    shutil.copytree(store, tmp_path / "store")
    return tmp_path / "store"


def test_failed_clips_are_planned_and_computed_again(avkd, mine):
    before = avkd("inspect", mine, "--json").json
    outcome = avkd("retry", mine, "--failed")
    assert outcome.exit_code == 0, outcome.err
    assert "1 clip planned again" in outcome.out
    after = avkd("inspect", mine, "--json").json
    assert after["num_shards"] == before["num_shards"] + 1
    for field in ("num_clips", "status", "content_digest"):
        assert after[field] == before[field]
    assert avkd("verify", mine).exit_code == 0


def test_a_dry_run_and_a_plan_alone_compute_nothing(avkd, mine):
    assert (
        avkd("retry", mine, "--failed", "--dry-run", "--json").json["forecast"]["num_new_clips"]
        == 1
    )
    outcome = avkd("retry", mine, "--status", "decode_error", "--plan-only")
    assert outcome.exit_code == 0, outcome.err
    assert "1 clip planned again" in outcome.out
    assert "extract-teacher" in outcome.out
    assert avkd("inspect", mine, "--json").json["status"]["pending"] == 1


def test_a_dry_run_of_planning_alone_needs_no_teacher_and_writes_nothing(avkd, mine):
    declaration = mine / "targets/seer/producer.json"
    document = json.loads(declaration.read_text())
    del document["seal"], document["about"]
    declaration.write_bytes(seal(document))
    avkd("retry", mine, "--failed", "--dry-run").assert_refused(2, "--plan-only")
    outcome = avkd("retry", mine, "--failed", "--plan-only", "--dry-run")
    assert outcome.exit_code == 0, outcome.err
    assert "1 clip to plan again" in outcome.out
    assert avkd("inspect", mine, "--json").json["status"] == {"ok": 8, "decode_error": 1}


def test_what_limits_a_run_limits_a_retry(avkd, mine, monkeypatch):
    requests = []
    run = extract.extract_teacher

    def note(request, **options):
        requests.append(request)
        return run(request, **options)

    monkeypatch.setattr(extract, "extract_teacher", note)
    limits = ("--stop-seconds=7", "--no-space-check", "--decode-workers=3")
    outcome = avkd("retry", mine, "--failed", *limits)
    assert outcome.exit_code == 0, outcome.err
    (request,) = requests
    assert (request.stop_seconds, request.check_space, request.num_decode_workers) == (7, False, 3)


def test_what_cannot_be_is_refused_in_one_line(avkd, mine, tmp_path):
    avkd("retry", mine).assert_refused(2, "--failed", "--status")
    avkd("retry", mine, "--status", "timout").assert_refused(2, "'timout'", "timeout")
    avkd("retry", tmp_path / "none", "--failed").assert_refused(3, "no store at")
