import csv
import datetime
import errno
import json
import os
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avkd.errors import CorpusError
from avkd.storage import objects
from avkd.storage.corpus import MEDIA_SUFFIXES, read_corpus, read_table

ROWS = [
    {"path": "a.mp4", "recording_id": "007", "duration_seconds": 12.5, "label": "dog", "fold": 1},
    {"path": "sub/b.mkv", "recording_id": "8", "duration_seconds": None, "label": "", "fold": 2},
]


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "a/c.MKV", "a/deep/d.wav", "notes.txt", ".hidden.mp4", "a/.x/e.mp4"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "videos"


def write_table(path, rows):
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def test_a_folder_is_searched_to_the_bottom_for_media_files(folder):
    recordings = read_corpus(str(folder))
    assert [r.recording_id for r in recordings] == ["a/c.MKV", "a/deep/d.wav", "b.mp4"]
    assert recordings[0].streams == {
        "rgb": str(folder / "a/c.MKV"),
        "audio": str(folder / "a/c.MKV"),
    }


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_links_to_nothing_and_pipes_are_recordings_and_folders_are_not(tmp_path):
    (tmp_path / "gone.mp4").symlink_to("moved.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    found = [r.recording_id for r in read_corpus(str(tmp_path))]
    assert found == ["gone.mp4", "loop.mp4", "pipe.mp4"]


def test_a_folder_below_that_cannot_be_searched_is_an_error_and_not_a_gap(folder, monkeypatch):
    locked, scandir = folder / "locked", os.scandir
    locked.mkdir()

    def refuse_locked(path):
        # Nothing is locked for root.
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_locked)
    with pytest.raises(CorpusError, match=r"locked cannot be searched .*Permission denied.*glob"):
        read_corpus(str(folder))
    monkeypatch.undo()
    assert read_corpus(str(folder))


def test_a_relative_folder_gives_absolute_uris(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert read_corpus("videos") == read_corpus(str(folder)) == read_corpus(f"{folder}/")


def test_a_glob_names_recordings_from_its_fixed_part(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for pattern in (f"{folder}/**/*.[mM]*", "videos/**/*.[mM]*"):
        assert [r.recording_id for r in read_corpus(pattern)] == ["a/c.MKV", "b.mp4"]


def test_one_media_file_is_a_corpus_of_one(folder):
    (recording,) = read_corpus(str(folder / "b.mp4"))
    assert (recording.recording_id, recording.streams["rgb"]) == ("b.mp4", str(folder / "b.mp4"))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_gives_ids_paths_durations_and_metadata(tmp_path, suffix):
    first, second = read_corpus(write_table(tmp_path / f"corpus{suffix}", ROWS))
    assert (first.recording_id, second.recording_id) == ("007", "8")
    assert first.streams["audio"] == str(tmp_path / "a.mp4")
    assert second.streams["rgb"] == str(tmp_path / "sub/b.mkv")
    assert (first.duration_seconds, second.duration_seconds) == (12.5, None)
    assert first.metadata == {"label": "dog", "fold": 1}
    assert second.metadata["fold"] == 2


def test_a_table_is_found_from_its_own_folder(tmp_path, monkeypatch):
    write_table(tmp_path / "corpus.csv", ROWS)
    monkeypatch.chdir(tmp_path)
    assert read_corpus("corpus.csv") == read_corpus(f"{tmp_path}/corpus.csv")


def test_streams_may_lie_in_files_of_their_own(tmp_path):
    rows = [{"rgb": "1.mp4", "depth": "/data/1.mkv", "thermal": None, "audio": "s3://box/1.wav"}]
    (recording,) = read_corpus(write_table(tmp_path / "c.parquet", rows))
    assert recording.streams == {
        "rgb": str(tmp_path / "1.mp4"),
        "depth": "/data/1.mkv",
        "audio": "s3://box/1.wav",
    }
    assert recording.recording_id == "1.mp4"


def test_a_stream_column_takes_precedence_over_the_common_path(tmp_path):
    (recording,) = read_corpus(
        write_table(tmp_path / "c.csv", [{"file": "1.mp4", "audio": "1.wav"}])
    )
    assert recording.streams == {"rgb": f"{tmp_path}/1.mp4", "audio": f"{tmp_path}/1.wav"}
    assert recording.recording_id == "1.mp4"


def test_named_columns_are_used(tmp_path):
    table = write_table(tmp_path / "c.csv", [{"clip": "1.ogg", "take": "A1", "path": "other.ogg"}])
    (recording,) = read_corpus(table, path_column="clip", id_column="take")
    assert recording.recording_id == "A1"
    assert recording.streams["audio"] == f"{tmp_path}/1.ogg"


def test_dates_and_vectors_become_plain_metadata(tmp_path):
    rows = [{"path": "a.mp4", "day": datetime.date(2026, 1, 2), "pose": [0.5, 1.0], "raw": b"x"}]
    (recording,) = read_corpus(write_table(tmp_path / "c.parquet", rows))
    assert recording.metadata == {"day": "2026-01-02", "pose": [0.5, 1.0], "raw": "b'x'"}
    json.dumps(recording.metadata)


def test_folders_globs_and_tables_may_lie_in_a_bucket():
    root = f"memory://corpus-{uuid.uuid4().hex}"
    for name in ("a/1.mp4", "a/2.wav", "a/readme.md"):
        objects.put_durable(objects.join(root, name), b"")
    objects.put_durable(objects.join(root, "t.csv"), b"path\na/1.mp4\n/a/9.mp4\n")
    for source, ids in [
        (root, ["a/1.mp4", "a/2.wav"]),
        (f"{root}/a/*.mp4", ["1.mp4"]),
        (f"{root}/a/1.mp4", ["1.mp4"]),
    ]:
        recordings = read_corpus(source)
        assert [r.recording_id for r in recordings] == ids
        for recording in recordings:
            assert objects.exists(recording.streams["rgb"])
    first, second = read_corpus(f"{root}/t.csv")
    assert first.streams["rgb"] == f"{root}/a/1.mp4"
    assert second.streams["rgb"] == "/a/9.mp4"


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"pth": "a.mp4", "x": 1}], {}, r"no column 'path'; .* pth, x; did you mean 'pth'\?"),
        ([{"a": 1, "b": 2}], {}, r"no column 'path'; its columns are a, b$"),
        ([{"path": "a", "nr": 1}], {"path_column": "file"}, "no column 'file'; .* path, nr"),
        ([{"path": "a", "take": 1}], {"id_column": "takes"}, "did you mean 'take'"),
        ([{"path": "a"}, {"path": "a"}], {}, "'a' comes more than once"),
        ([{"path": "a", "x": 1}, {"path": "", "x": 2}], {}, "row 2 names no file; fill path"),
        ([{"path": "a", "recording_id": ""}], {}, "row 1 has no recording_id"),
        ([{"path": "a", "duration_seconds": -1}], {}, "row 1: duration_seconds -1 must be"),
        ([{"path": "a", "duration_seconds": "long"}], {}, "'long' must be a number of seconds"),
    ],
)
def test_a_wrong_table_is_refused_by_what_is_wrong(tmp_path, rows, options, message):
    with pytest.raises(CorpusError, match=message):
        read_corpus(write_table(tmp_path / "corpus.csv", rows), **options)


def test_ids_that_come_twice_are_named(tmp_path):
    rows = [{"path": f"{i}.mp4", "recording_id": i % 2} for i in range(4)]
    with pytest.raises(CorpusError, match="'0', '1' come more than once"):
        read_corpus(write_table(tmp_path / "corpus.parquet", rows))


def test_missing_empty_and_unreadable_corpora_are_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("a.mp4")
    (tmp_path / "head.csv").write_text("path\n")
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    for source, message in [
        ("nowhere", "no corpus at"),
        ("nowhere.csv", "no table at"),
        ("empty", "holds no recordings"),
        ("empty/*.mp4", "holds no recordings"),
        ("list.txt", r"or a table that ends in \.csv"),
        ("head.csv", "has no rows"),
        ("nothing.csv", "cannot read"),
        ("broken.parquet", "cannot read"),
    ]:
        with pytest.raises(CorpusError, match=message) as caught:
            read_corpus(str(tmp_path / source))
        assert "\n" not in str(caught.value)


def test_a_table_can_be_read_as_it_is(tmp_path):
    path = write_table(tmp_path / "esc.csv", [{"file": "1.ogg", "fold": 1, "take": "01"}])
    assert read_table(path).to_pylist() == [{"file": "1.ogg", "fold": 1, "take": 1}]
    assert read_table(path, text_columns=["take"]).to_pylist()[0]["take"] == "01"
    with pytest.raises(CorpusError, match="is no table"):
        read_table(__file__)


def test_rows_of_vectors_need_no_files(tmp_path):
    rows = [{"recording_id": "p0", "alpha": 0.1, "beta": [1.0, 2.0], "split": "test"}]
    (point,) = read_corpus(write_table(tmp_path / "p.parquet", rows), vectors=("alpha", "beta"))
    assert (point.recording_id, point.streams) == ("p0", {})
    assert point.metadata == {"alpha": 0.1, "beta": [1.0, 2.0], "split": "test"}


def test_recordings_with_files_may_have_vectors_too(tmp_path):
    rows = [{"path": "a.mp4", "pose": [1, 2]}, {"path": "b.mp4", "pose": None}]
    first, second = read_corpus(write_table(tmp_path / "c.jsonl", rows), vectors=("pose",))
    assert first.streams["rgb"] == str(tmp_path / "a.mp4")
    assert first.metadata == {"pose": [1, 2]}
    assert second.metadata == {}


def test_a_vector_may_have_the_name_of_a_stream(tmp_path):
    rows = [{"recording_id": "p0", "depth": [1.0, 2.0]}, {"recording_id": "p1", "depth": None}]
    first, second = read_corpus(write_table(tmp_path / "c.parquet", rows), vectors=("depth",))
    assert (first.streams, first.metadata) == ({}, {"depth": [1.0, 2.0]})
    assert second.streams == second.metadata == {}


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"recording_id": "p", "alpha": 1}], {"vectors": ["alhpa"]}, "did you mean 'alpha'"),
        ([{"id": "p", "alpha": 1.0}], {"vectors": ["alpha"]}, "no column 'recording_id'"),
        ([{"recording_id": None, "a": 1.0}], {"vectors": ["a"]}, "row 1 has no recording_id"),
        ([{"path": "", "recording_id": "p", "a": 1.0}], {"vectors": ["a"]}, "names no file"),
        (
            [{"recording_id": "p", "a": 1.0}],
            {"vectors": ["a"], "path_column": "clip"},
            "no column 'clip'",
        ),
    ],
)
def test_a_table_that_does_not_go_with_its_vectors_is_refused(tmp_path, rows, options, message):
    with pytest.raises(CorpusError, match=message):
        read_corpus(write_table(tmp_path / "corpus.parquet", rows), **options)


def test_without_vectors_rows_need_files(tmp_path):
    rows = [{"recording_id": "p", "depth": [1.0]}]
    with pytest.raises(CorpusError, match="row 1 names no file"):
        read_corpus(write_table(tmp_path / "corpus.parquet", rows))


def test_a_folder_has_no_vectors(folder):
    with pytest.raises(CorpusError, match="is no table, so it has no column 'alpha'"):
        read_corpus(str(folder), vectors=("alpha",))


def test_suffixes_are_lower_case_and_begin_with_a_dot():
    assert all(suffix.startswith(".") and suffix.islower() for suffix in MEDIA_SUFFIXES)


def test_more_columns_name_files_where_they_are_asked_for(tmp_path):
    table = tmp_path / "truth.csv"
    table.write_text("recording_id,classes\na,maps/a.mkv\n")
    (recording,) = read_corpus(str(table), more_streams=("classes",))
    assert recording.streams == {"classes": str(tmp_path / "maps/a.mkv")}
    with pytest.raises(CorpusError, match="no column 'path'"):
        read_corpus(str(table))
