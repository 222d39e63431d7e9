from avkd.cli.inspect import MAX_FAILURES
from avkd.storage.store import Store


def test_machines_get_counts_teachers_and_the_digest(avkd, store):
    told = avkd("inspect", store, "--json").json
    assert (told["num_recordings"], told["num_clips"], told["num_shards"]) == (5, 9, 3)
    assert told["status"] == {"ok": 8, "decode_error": 1}
    assert told["content_digest"] == Store.open(str(store)).content_digest()
    (teacher,) = told["teachers"]
    assert teacher["name"] == "seer"
    assert len(teacher["fingerprint"]) == 64
    logits = next(each for each in teacher["outputs"] if each["name"] == "logits")
    assert logits["shape"] == [2, 1000]
    assert logits["dtype"] == "float16"


def test_people_get_the_failed_recording_with_its_reason(avkd, store):
    text = avkd("inspect", store).out
    assert "8 ok" in text
    line = next(line for line in text.splitlines() if "v4_broken.mp4" in line)
    assert "decode_error" in line
    told = avkd("inspect", store, "--json").json["failures"]
    assert {clip["recording_id"] for clip in told} == {"v4_broken.mp4"}
    assert all(clip["reason"] in text for clip in told)


def test_a_missing_store_is_refused(avkd, tmp_path):
    avkd("inspect", tmp_path / "none").assert_refused(3, "none", "avkd extract-teacher")


def test_microphones_are_looked_at_where_there_are_several(avkd, store, box_store):
    assert avkd("inspect", store, "--json").json["microphones"] == []
    (check,) = avkd("inspect", box_store, "--json").json["microphones"]
    assert (check["input_name"], check["num_recordings"], check["warnings"]) == ("waveform", 5, [])
    assert "waveform: channels at -" in avkd("inspect", box_store).out


def test_the_first_failures_are_called_so_where_there_are_more_and_machines_get_all(avkd, tmp_path):
    (tmp_path / "media").mkdir()
    words = ("extract-teacher", tmp_path / "media", tmp_path / "store", "--sample-rate=8000")
    for number in range(MAX_FAILURES):
        (tmp_path / "media" / f"{number:02}.wav").write_text("no sound")
    assert avkd(*words).exit_code == 0
    assert "not ok:" in avkd("inspect", tmp_path / "store").out

    (tmp_path / "media" / "z.wav").write_text("no sound")
    assert avkd(*words).exit_code == 0
    text = avkd("inspect", tmp_path / "store").out
    assert f"not ok, the first {MAX_FAILURES} of {MAX_FAILURES + 1} (--json has all):" in text
    assert text.count("decode_error") == MAX_FAILURES + 1  # the counts by status say it once
    told = avkd("inspect", tmp_path / "store", "--json").json["failures"]
    assert len(told) == MAX_FAILURES + 1
