"""What `avkd extract-teacher` is told of decoding reaches the run."""

import wave

from avkd.pipeline.decoding import pool
from avkd.storage.store import Store


def write_cut(path):
    """A sound of four seconds of which three are left."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(bytes(range(200)) * 320)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])


def extract(avkd, tmp_path, *words):
    (tmp_path / "media").mkdir()
    write_cut(tmp_path / "media" / "cut.wav")
    clips = ("--clip-seconds=2", "--step-seconds=1", "--sample-rate=8000")
    return avkd("extract-teacher", tmp_path / "media", tmp_path / "store", *clips, *words)


def test_a_run_that_must_not_keep_parts_ends_with_the_code_of_failures(avkd, tmp_path):
    outcome = extract(avkd, tmp_path, "--on-partial=fail")
    outcome.assert_refused(7, "'cut.wav' at 2 s", "sound ends at 3.00 s")
    assert Store.open(str(tmp_path / "store")).missing_shards("waveform") == ()


def test_parts_are_kept_unless_told_otherwise(avkd, tmp_path):
    outcome = extract(avkd, tmp_path, "--decode-seconds=20", "--decode-memory-mb=1024", "--json")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.json["status"] == {"waveform": {"ok": 1, "partial": 1}}


def test_as_many_children_decode_as_the_user_says(avkd, tmp_path, monkeypatch):
    num_children = []
    start = pool.DecodePool.__init__

    def note(self, num_workers, *arguments, **options):
        num_children.append(num_workers)
        start(self, num_workers, *arguments, **options)

    monkeypatch.setattr(pool.DecodePool, "__init__", note)
    assert extract(avkd, tmp_path, "--decode-workers=3").exit_code == 0
    assert set(num_children) == {3}
    refused = avkd("extract-teacher", tmp_path, tmp_path / "other", "--decode-workers=0")
    assert refused.exit_code == 2
    assert "decode-workers" in refused.err


def test_a_shard_that_no_memory_holds_is_refused_before_the_start(avkd, tmp_path):
    outcome = extract(avkd, tmp_path, "--frames=100000x100000", "--no-space-check")
    outcome.assert_refused(2, "'frames'", "256 rows", "--frames")
    assert not (tmp_path / "store").exists()


def test_limits_that_no_child_could_keep_are_refused(avkd, tmp_path):
    outcome = extract(avkd, tmp_path, "--decode-memory-mb=10")
    assert outcome.exit_code == 2
    assert "decode-memory-mb" in outcome.err
