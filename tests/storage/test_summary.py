import json
from pathlib import Path

from avkd.storage.store import Store


def test_a_summary_counts_what_is_there(store, fill, waveform, make_clips):
    store.plan_clips(make_clips(24, 2))
    fill(store, waveform, failed=[store.read_clips(1)[0].clip_id])
    summary = Store.open(store.url).summary()
    assert (summary.num_recordings, summary.num_clips, summary.num_shards) == (11, 22, 4)
    assert summary.status == {"ok": 18, "pending": 2, "no_video": 2}
    (teacher,), (sound,) = summary.teachers, summary.inputs
    assert teacher.fingerprint == store.producer("seer").digest
    assert teacher.num_committed_shards == 3
    assert teacher.status == {"ok": 19, "no_video": 1}
    logits = teacher.outputs[0]
    assert (logits.name, logits.shape, logits.dtype) == ("logits", (2, 5), "float16")
    objects = Path(store.url, "targets/seer/logits").glob("c.*")
    assert logits.num_bytes == sum(path.stat().st_size for path in objects)
    assert sound.outputs[0].dtype == "int16"
    assert summary.num_bytes == teacher.num_bytes + sound.num_bytes
    assert summary.content_digest == store.content_digest()


def test_a_summary_has_a_json_form(store):
    document = json.loads(json.dumps(store.summary().to_json()))
    assert document["status"] == {"ok": 19, "no_video": 1}
    assert document["teachers"][0]["outputs"][0]["shape"] == [2, 5]
    assert document["clip_policy"] == {"clip_seconds": 20.0}


def test_clips_without_any_producer_are_pending_and_an_empty_store_has_none(tmp_path, make_clips):
    store = Store.create(str(tmp_path / "s"), clip_policy={}, rows_per_shard=8)
    assert store.summary().status == {}
    store.plan_clips(make_clips(0, 3))
    assert store.summary().status == {"pending": 3}


def test_what_others_plan_and_commit_meanwhile_is_left_out(
    store, teacher, fill, make_clips, monkeypatch
):
    """Another process retries the failed clip, in vain, between two looks of a summary."""
    expected, retried = store.summary().status, []
    real = Store.producers

    def retry_first(self):
        if not retried:
            retried.append(store.read_clips(0)[3].clip_id)
            other = Store.open(store.url)
            other.plan_clips(make_clips(24, 1, first_clip=3, attempt=1))
            fill(other, teacher, failed=retried)
        return real(self)

    monkeypatch.setattr(Store, "producers", retry_first)
    assert Store.open(store.url).summary().status == expected
    assert retried
