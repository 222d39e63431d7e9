import json
import wave
from pathlib import Path

import numpy as np
import pytest

from avkd.storage.digest import fingerprint_digest
from avkd.storage.store import Store


def extract(avkd, corpus, store, *more):
    return avkd(
        "extract-teacher",
        corpus,
        store,
        "--teacher=seer=timm/test_resnet",
        "--weights=seer=random",
        "--runtime=torch",
        "--batch-size=4",
        *more,
    )


def state_of(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_every_file_of_a_folder_is_accounted_for(avkd, store):
    held = avkd("inspect", store, "--json").json
    assert held["num_recordings"] == 5
    assert held["num_clips"] == sum(held["status"].values())
    assert held["status"]["decode_error"] == 1


def test_a_second_run_does_nothing_and_says_so(avkd, videos, store):
    before = state_of(store)
    outcome = extract(avkd, videos, store)
    assert outcome.exit_code == 0
    assert "nothing to do" in outcome.out
    assert state_of(store) == before


def test_a_second_run_tells_machines_that_no_shard_was_computed(avkd, videos, store):
    told = extract(avkd, videos, store, "--json").json
    assert told["num_shards_done"] == 0
    assert told["num_shards_skipped"] == 3
    assert told["content_digest"] == Store.open(str(store)).content_digest()


def test_a_dry_run_counts_and_writes_nothing(avkd, videos, tmp_path):
    place = tmp_path / "store"
    options = ("--clip-seconds=2", "--step-seconds=1", "--rows-per-shard=4", "--dry-run")
    told = extract(avkd, videos, place, *options, "--json").json["forecast"]
    assert told["num_new_recordings"] == 5
    assert told["num_shards"] == 3
    assert set(told["bytes_to_come"]) == {"seer", "waveform"}
    assert told["runtimes"] == {"seer": "torch on cpu in float32"}
    text = extract(avkd, videos, place, *options).out
    assert "9" in text
    assert "seer is computed by" in text
    assert "MB" in text or "kB" in text
    assert not place.exists()


def test_the_waveform_is_kept_as_asked(avkd, videos, tmp_path):
    store = tmp_path / "store"
    outcome = extract(avkd, videos / "v2.mp4", store, "--sample-rate=8000", "--channels=mix")
    assert outcome.exit_code == 0, outcome.err
    waveform = Store.open(str(store)).producers()["waveform"].outputs[0]
    assert waveform.shape == (1, 20 * 8_000)
    assert waveform.attributes["channels"] == "mix"


def test_microphones_are_kept_apart(avkd, tmp_path):
    sound = np.stack([np.arange(8_000), -np.arange(8_000)], axis=1).astype(np.int16)
    with wave.open(str(tmp_path / "pair.wav"), "wb") as file:
        file.setparams((2, 2, 8_000, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
    words = ["--sample-rate=8000", "--num-channels=2", "--clip-seconds=1", "--step-seconds=1"]
    place = tmp_path / "store"
    outcome = avkd("extract-teacher", str(tmp_path / "pair.wav"), str(place), *words)
    assert outcome.exit_code == 0, outcome.err
    store = Store.open(str(place))
    assert store.producers()["waveform"].outputs[0].shape == (2, 8_000)
    np.testing.assert_array_equal(store.read_rows("waveform", "waveform", 0, 1)[0], sound.T)


def test_one_channel_of_all_or_several_not_both(avkd, videos, tmp_path):
    words = ["--channels=mix", "--num-channels=2"]
    outcome = extract(avkd, videos / "v2.mp4", tmp_path / "store", *words)
    assert outcome.exit_code == 2
    assert "--channels mix makes one of all channels but --num-channels 2 keeps them" in outcome.err


def test_inputs_can_be_left_out(avkd, videos, tmp_path):
    held = extract(
        avkd, videos / "v0.mp4", tmp_path / "store", "--inputs=none", "--sparse-top-k=5", "--json"
    )
    assert held.exit_code == 0, held.err
    assert set(held.json["status"]) == {"seer"}
    logits = Store.open(str(tmp_path / "store")).producers()["seer"].outputs[0]
    assert (logits.layout, logits.num_kept) == ("sparse_logits", 5)


def test_a_missing_folder_is_refused(avkd, tmp_path):
    outcome = extract(avkd, tmp_path / "nowhere", tmp_path / "store")
    outcome.assert_refused(2, "nowhere")
    assert not (tmp_path / "store").exists()


def test_an_empty_corpus_is_refused(avkd, tmp_path):
    (tmp_path / "videos").mkdir()
    outcome = extract(avkd, tmp_path / "videos", tmp_path / "store")
    outcome.assert_refused(2, "videos")
    assert not (tmp_path / "store").exists()


def test_a_table_without_the_column_is_refused_with_the_columns_there_are(avkd, tmp_path):
    table = tmp_path / "corpus.csv"
    table.write_text("movie,label\na.mp4,dog\n")
    outcome = extract(avkd, table, tmp_path / "store")
    outcome.assert_refused(2, "path", "movie", "label")
    assert not (tmp_path / "store").exists()


def test_an_unknown_teacher_is_refused_with_close_names(avkd, videos, tmp_path):
    store = tmp_path / "store"
    outcome = avkd("extract-teacher", videos, store, "--teacher", "efficientnet_light0")
    outcome.assert_refused(2, "efficientnet_light0", "efficientnet_lite0")
    assert not store.exists()


def test_a_store_that_cannot_be_written_is_refused(avkd, videos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    outcome = extract(avkd, videos, tmp_path / "file" / "store")
    outcome.assert_refused(6, "file")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_store_of_a_newer_schema_is_refused_and_left_alone(avkd, videos, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    document = {"schema_version": 99, "clip_policy": {}, "rows_per_shard": 4}
    (store / "store.json").write_text(json.dumps(document))
    before = state_of(store)
    extract(avkd, videos, store).assert_refused(3, "99", "upgrade")
    assert state_of(store) == before


def test_other_weights_under_the_same_name_are_refused_with_both_fingerprints(
    avkd, videos, store, tmp_path
):
    weights = tmp_path / "other.safetensors"
    _write_weights(weights)
    before = state_of(store)
    stored = fingerprint_digest(Store.open(str(store)).producers()["seer"].fingerprint)
    outcome = avkd(
        "extract-teacher",
        videos,
        store,
        "--teacher=seer=timm/test_resnet",
        f"--weights=seer={weights}",
        "--runtime=torch",
        "--batch-size=4",
    )
    outcome.assert_refused(4, "seer", stored[:8], "weights_sha256")
    assert state_of(store) == before


@pytest.mark.parametrize(
    "option",
    ["--weights=other=random", "--weights=random", "--classes=other=names.txt"],
)
def test_a_file_for_no_teacher_is_refused(avkd, videos, tmp_path, option):
    extract(avkd, videos, tmp_path / "store", option).assert_refused(2, "seer")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("names", [("seer", "seer"), ("a", "a", "b")])
def test_two_teachers_of_one_name_are_refused(avkd, videos, tmp_path, names):
    teachers = [f"--teacher={name}=timm/test_resnet" for name in names]
    outcome = avkd("extract-teacher", videos, tmp_path / "store", *teachers)
    outcome.assert_refused(2, "NAME=FAMILY")


def test_too_many_failures_are_told_after_all_is_committed(avkd, videos, tmp_path):
    store = tmp_path / "store"
    extract(avkd, videos, store, "--max-failure-rate=0.1").assert_refused(7, "0.1")
    held = Store.open(str(store))
    assert not held.missing_shards("seer")


def test_another_clip_length_than_the_stores_is_refused(avkd, videos, store):
    extract(avkd, videos, store, "--clip-seconds=4").assert_refused(2, "clip_seconds")


def test_pictures_are_decoded_by_whom_is_asked_for(avkd, videos, tmp_path):
    store = tmp_path / "store"
    avkd("extract-teacher", videos, store, "--frames=32x24", "--decoder=torchcodec").assert_refused(
        2, "torchcodec"
    )
    avkd("extract-teacher", videos, store, "--frames=32x24", "--decoder=decord")
    held = Store.open(str(store))
    assert held.clip_policy["decoder"] == "decord"
    assert held.producers()["frames"].fingerprint["decoder"] == "decord"
    again = ("extract-teacher", videos, store, "--frames=32x24")
    avkd(*again, "--decoder=pyav").assert_refused(2, "decoder pyav differs from decord")


@pytest.fixture
def points(tmp_path):
    table = tmp_path / "points.csv"
    table.write_text("recording_id,alpha,beta\np0,0.5,1\np1,-1.5,2\np2,,3\n")
    return table


def test_points_are_stored_once(avkd, points, tmp_path):
    store = tmp_path / "store"
    arguments = ("extract-teacher", points, store, "--vector=alpha", "--vector=beta")
    outcome = avkd(*arguments)
    assert outcome.exit_code == 0, outcome.err
    assert "2 ok, 1 skipped" in outcome.out or "1 skipped, 2 ok" in outcome.out
    before = state_of(store)
    assert "nothing to do" in avkd(*arguments).out
    assert state_of(store) == before
    assert avkd("verify", store).exit_code == 0
    assert "without files" in avkd("inspect", store).out
    page = tmp_path / "page.html"
    assert avkd("report", store, "--out", page).exit_code == 0
    assert "alpha" in page.read_text()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--vector=alhpa",), "alpha"),
        (("--vector=recording_id",), "row 1"),
        (("--vector=alpha", "--frames=64"), "64x48"),
        (("--vector=alpha", "--frames=64x48"), "files"),
        (("--vector=alpha", "--clip-seconds=2"), "clip_seconds"),
        ((), "--vector"),
        (("--inputs=none",), "neither"),
    ],
)
def test_points_asked_for_wrongly_are_refused(avkd, points, tmp_path, options, word):
    avkd("extract-teacher", points, tmp_path / "store", *options).assert_refused(2, word)
    assert not (tmp_path / "store").exists()


def test_pictures_are_cached_in_their_size(avkd, videos, tmp_path):
    store = tmp_path / "store"
    outcome = avkd(
        "extract-teacher", videos / "v0.mp4", store, "--frames=32x24", "--inputs=none", "--json"
    )
    assert outcome.exit_code == 0, outcome.err
    assert set(outcome.json["status"]) == {"frames"}
    frames = Store.open(str(store)).producers()["frames"].outputs[0]
    assert (frames.shape, frames.dtype) == ((4, 24, 32, 3), "uint8")


def test_a_folder_that_is_no_run_is_no_teacher(avkd, videos, tmp_path):
    outcome = avkd("extract-teacher", videos, tmp_path / "store", f"--teacher={tmp_path}/runs/t/")
    outcome.assert_refused(2, "unknown teacher")


def test_no_bar_is_drawn_where_nobody_watches(avkd, videos, tmp_path):
    outcome = extract(avkd, videos / "v1.mp4", tmp_path / "store", "--inputs=none")
    assert outcome.exit_code == 0
    assert "\x1b" not in outcome.err
    assert "%" not in outcome.err


def _write_weights(path):
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(7)
    network = timm.create_model("test_resnet", pretrained=False)
    state = network.state_dict()
    assert any(np.any(value.numpy()) for value in state.values())
    save_file(state, str(path))


def _write_sounds(folder, *names):
    folder.mkdir()
    for name in names:
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 8_000, 0, "NONE", ""))
            file.writeframes(bytes(2 * 8_000))
    return folder


def _extract_sounds(avkd, folder, store, *more):
    clips = ("--clip-seconds=1", "--step-seconds=1", "--sample-rate=8000")
    return avkd("extract-teacher", folder, store, *clips, *more)


def test_recordings_that_are_known_from_another_place_are_told(avkd, tmp_path):
    one = _write_sounds(tmp_path / "fa", "x.wav", "y.wav")
    two = _write_sounds(tmp_path / "fb", "x.wav", "z.wav")
    store = tmp_path / "s"
    assert "another place" not in _extract_sounds(avkd, one, store).err
    words = ("1 recording", "another place", str(one / "x.wav"), str(two / "x.wav"))
    told = [
        _extract_sounds(avkd, two, store, "--dry-run").err,
        *_extract_sounds(avkd, two, store, "--dry-run", "--json").json["notes"],
        _extract_sounds(avkd, two, store).err,
        *_extract_sounds(avkd, two, store, "--json").json["notes"],
    ]
    assert len(told) == 4
    for note in told:
        assert all(word in note for word in words), note
    # What is new under its id is taken in, and the old place is silent.
    held = avkd("inspect", store, "--json").json
    assert held["num_recordings"] == 3
    assert _extract_sounds(avkd, one, store, "--json").json["notes"] == []


def test_a_folder_that_is_said_in_another_way_is_the_same_place(avkd, tmp_path):
    one = _write_sounds(tmp_path / "fa", "x.wav")
    (tmp_path / "fb").mkdir()
    _extract_sounds(avkd, one, tmp_path / "s")
    again = _extract_sounds(avkd, tmp_path / "fb" / ".." / "fa", tmp_path / "s", "--json")
    assert again.json["notes"] == []


def test_an_empty_cell_of_a_vector_is_no_part_of_a_clip(avkd, tmp_path):
    (tmp_path / "t.csv").write_text("recording_id,loud\np0,1.5\np1,\n")
    words = ("--vector=loud", "--inputs=none", "--on-partial=fail", "--json")
    outcome = avkd("extract-teacher", tmp_path / "t.csv", tmp_path / "s", *words)
    assert outcome.exit_code == 0, outcome.err
    assert outcome.json["status"] == {"loud": {"ok": 1, "skipped": 1}}
