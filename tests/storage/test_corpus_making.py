import csv

import pytest

from avkd.errors import CorpusError, InvalidValueError
from avkd.storage.corpus import read_corpus
from avkd.storage.corpus_making import make_corpus
from avkd.storage.corpus_splits import SplitShares


def touch(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def ravdess(tmp_path):
    folder = tmp_path / "data" / "RAVDESS"
    for actor in range(1, 7):
        for emotion in (1, 3, 5):
            name = f"01-0{emotion}-01-01-01-{actor:02}"
            touch(
                folder,
                [f"Actor_{actor:02}/{kind}" for kind in (f"01-{name}.mp4", f"02-{name}.mp4")],
            )
            touch(folder, [f"Audio/03-{name}.wav"])
    touch(folder, ["README.txt", "intro.mp4"])
    return folder


def rows_of(table):
    with table.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_a_performance_with_all_that_its_name_says(ravdess, tmp_path):
    table = tmp_path / "tables" / "ravdess.csv"
    made = make_corpus("ravdess", str(ravdess), str(table), SplitShares(labelled=0.5))
    rows = rows_of(table)
    assert len(rows) == made.num_recordings == 18
    assert list(rows[0])[:5] == ["path", "audio", "recording_id", "label", "speaker"]
    assert list(rows[0])[-1] == "split"
    assert {row["label"] for row in rows} == {"neutral", "happy", "angry"}
    assert made.strangers == ("intro.mp4",)


def test_the_table_is_a_corpus_whose_files_are_found(ravdess, tmp_path):
    table = tmp_path / "tables" / "ravdess.csv"
    make_corpus("ravdess", str(ravdess), str(table), SplitShares())
    recordings = read_corpus(str(table))
    for recording in recordings:
        picture, sound = recording.streams["rgb"], recording.streams["audio"]
        assert picture.endswith(".mp4")
        assert sound.endswith(".wav")
        for place in (picture, sound):
            assert (tmp_path / place).resolve().is_relative_to(ravdess)
            assert (tmp_path / place).is_file()
        assert recording.metadata["split"] in ("train", "validation", "test")
        assert recording.metadata["speaker"].startswith("actor_")


def test_counts_are_those_of_the_rows(ravdess, tmp_path):
    made = make_corpus("ravdess", str(ravdess), str(tmp_path / "t.csv"), SplitShares(labelled=0.5))
    rows = rows_of(tmp_path / "t.csv")
    for split, counts in made.splits.items():
        of_split = [row for row in rows if row["split"] == split]
        assert counts.num_recordings == len(of_split)
        assert counts.num_speakers == len({row["speaker"] for row in of_split})
        assert counts.num_classes == 3


def test_the_same_folder_gives_the_same_bytes_and_another_seed_others(ravdess, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 3)):
        make_corpus("ravdess", str(ravdess), str(tmp_path / f"{name}.csv"), SplitShares(seed=seed))
    a, b, c = ((tmp_path / f"{name}.csv").read_bytes() for name in "abc")
    assert a == b != c


def test_columns_that_a_layout_has_not_are_left_out(tmp_path):
    touch(
        tmp_path / "vox",
        [f"wav/id1000{n}/abcdefghijk/0000{m}.wav" for n in range(4) for m in (1, 2)],
    )
    make_corpus("voxceleb", str(tmp_path / "vox"), str(tmp_path / "vox.csv"), SplitShares())
    rows = rows_of(tmp_path / "vox.csv")
    assert list(rows[0]) == ["path", "recording_id", "speaker", "video", "split"]
    assert rows[0]["path"] == "vox/wav/id10000/abcdefghijk/00001.wav"
    assert rows[0]["recording_id"] == "id10000/abcdefghijk/00001.wav"


def test_a_written_people_world_is_in_the_layout_of_voxceleb(tmp_path):
    from avkd.stages.simulation.worlds.people import tiny_people_world
    from avkd.stages.simulation.worlds.people_writing import write_people_world

    files = write_people_world(tiny_people_world(), tmp_path / "people", num_workers=1)
    make_corpus("voxceleb", str(files.folder), str(tmp_path / "made.csv"), SplitShares())
    made = {row["recording_id"]: row["speaker"] for row in rows_of(tmp_path / "made.csv")}
    assert made == {row["recording_id"]: row["speaker"] for row in rows_of(files.corpus)}
    named = {name for line in files.trials.read_text().splitlines() for name in line.split()[1:]}
    assert named <= set(made)


def test_an_utterance_in_two_formats_is_one_recording(tmp_path):
    files = ["x/id10001/v/00001.wav", "y/id10001/v/00001.m4a", "x/id10002/v/00001.wav"]
    touch(tmp_path / "vox", files)
    shares = SplitShares(test=0.5, validation=0)
    make_corpus("voxceleb", str(tmp_path / "vox"), str(tmp_path / "v.csv"), shares)
    assert [row["path"] for row in rows_of(tmp_path / "v.csv")] == [
        f"vox/{files[0]}",
        f"vox/{files[2]}",
    ]


@pytest.mark.parametrize("layout", ["ravdess", "crema-d", "voxceleb", "folders"])
def test_a_folder_of_other_files_is_refused_with_a_name_and_the_form(tmp_path, layout):
    touch(tmp_path / "in", ["holiday.mp4"])
    with pytest.raises(CorpusError, match=r"'holiday\.mp4' is not of the form"):
        make_corpus(layout, str(tmp_path / "in"), str(tmp_path / "t.csv"), SplitShares())
    assert not (tmp_path / "t.csv").exists()


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(CorpusError, match="folder"):
            make_corpus("folders", str(place), str(tmp_path / "t.csv"), SplitShares())


def test_the_places_of_folder_and_table_are_checked(ravdess, tmp_path):
    with pytest.raises(InvalidValueError, match=r"must end in \.csv"):
        make_corpus("ravdess", str(ravdess), str(tmp_path / "t.parquet"), SplitShares())
    with pytest.raises(CorpusError, match="is a table already"):
        make_corpus("ravdess", str(tmp_path / "t.csv"), str(tmp_path / "u.csv"), SplitShares())
