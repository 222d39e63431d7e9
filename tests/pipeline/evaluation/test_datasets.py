import wave
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.evaluation.datasets import (
    EvaluationDataset,
    LabelledClip,
    read_dataset,
    read_sounds,
)
from avkd.pipeline.evaluation.trials import choose_labelled, make_trials


def write_wav(path: Path, value: int, rate: int = 8000, seconds: float = 0.25) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.full(round(rate * seconds), value, np.int16).tobytes())


def write_table(folder: Path, header: str, rows: list[str], name: str = "data.csv") -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return str(folder / name)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for number in range(4):
        write_wav(tmp_path / f"{number}.wav", 1000 * number)
    return tmp_path


def test_usual_columns_are_found_without_being_named(sounds: Path) -> None:
    rows = ["0.wav,1,0,dog", "1.wav,2,1,cat", "2.wav,1,1,cat", "3.wav,2,0,dog"]
    dataset = read_dataset(write_table(sounds, "file,fold,target,category", rows))
    assert dataset.name == "data"
    assert dataset.class_names == ("cat", "dog")
    assert dataset.labels.tolist() == [1, 0, 0, 1]
    assert [clip.fold for clip in dataset.clips] == ["1", "2", "1", "2"]


def test_named_columns_are_taken(sounds: Path) -> None:
    rows = ["0.wav,x,train,7", "1.wav,y,train,7", "2.wav,x,val,7", "3.wav,y,TEST,7"]
    dataset = read_dataset(
        write_table(sounds, "where,what,part,fold", rows),
        path_column="where",
        label_column="what",
        split_column="part",
    )
    assert [clip.split for clip in dataset.clips] == ["train", "train", "validation", "test"]
    (trial,) = make_trials(dataset)
    assert (trial.train.tolist(), trial.validation.tolist()) == ([0, 1], [2])
    assert trial.test.tolist() == [3]


def test_the_layout_of_esc_is_built_in(tmp_path: Path) -> None:
    folder = tmp_path / "ESC-50"
    names = ["1-10-A-0.wav", "1-11-A-1.wav", "2-12-A-0.wav", "2-13-A-1.wav"]
    for name in names:
        write_wav(folder / "audio" / name, 5)
    rows = [f"{name},{name[0]},{name[-5]},c{name[-5]},{name[2:4]},A" for name in names]
    write_table(folder, "filename,fold,target,category,src_file,take", rows, "meta/esc50.csv")
    dataset = read_dataset(str(folder))
    assert dataset.name == "ESC-50"
    assert dataset.class_names == ("c0", "c1")
    assert [trial.name for trial in make_trials(dataset)] == ["1", "2"]


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("file,fold,category", {"label_column": "lable"}, "no label column 'lable'.*category"),
        ("file,fold,category", {"fold_column": "folds"}, "no fold column 'folds'"),
        ("wav,fold,category", {}, r"no path column \(path, file, filename\).*wav"),
        ("file,fold,kind", {}, "no label column"),
        ("file,part,label", {}, "no folds and no splits"),
        ("file,split,label", {}, "split '1' is not one of train"),
    ],
)
def test_a_wrong_column_is_named_with_those_there_are(
    sounds: Path, header: str, options: dict[str, str], words: str
) -> None:
    table = write_table(sounds, header, ["0.wav,1,a", "1.wav,2,b"])
    with pytest.raises(CorpusError, match=words):
        read_dataset(table, **options)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["0.wav,1,a", "9.wav,2,b"], r"1 files that are missing, such as .*9\.wav"),
        (["0.wav,1,a", "1.wav,2,a"], "one label only"),
    ],
)
def test_a_dataset_that_cannot_be_probed_is_refused(
    sounds: Path, rows: list[str], words: str
) -> None:
    with pytest.raises(CorpusError, match=words):
        read_dataset(write_table(sounds, "file,fold,label", rows))


def test_a_recording_on_both_sides_is_refused(sounds: Path) -> None:
    rows = ["0.wav,1,a,r1", "1.wav,2,b,r2", "2.wav,2,b,r1"]
    with pytest.raises(CorpusError, match="recording 'r1' are in 1, 2"):
        read_dataset(write_table(sounds, "file,fold,label,recording_id", rows))


def test_no_dataset_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        read_dataset(str(tmp_path / "none.csv"))
    with pytest.raises(CorpusError, match="layout of ESC"):
        read_dataset(str(tmp_path))


def test_sounds_are_decoded_in_order_at_the_rate_asked_for(sounds: Path) -> None:
    rows = [f"{number}.wav,{number % 2},{number % 2}" for number in range(4)]
    dataset = read_dataset(write_table(sounds, "file,fold,label", rows))
    decoded = read_sounds(dataset, 22_050)
    assert [sound.shape for sound in decoded] == [(1, 5512)] * 4
    assert [int(np.median(sound)) for sound in decoded] == pytest.approx(
        [0, 1000, 2000, 3000], abs=3
    )


def test_a_file_that_cannot_be_decoded_is_named(sounds: Path) -> None:
    (sounds / "1.wav").write_bytes(b"no sound")
    dataset = read_dataset(write_table(sounds, "file,fold,label", ["0.wav,1,a", "1.wav,2,b"]))
    with pytest.raises(CorpusError, match=r"1\.wav cannot be decoded"):
        read_sounds(dataset, 8000)


def folds_dataset(num_clips: int = 24) -> EvaluationDataset:
    clips = (
        LabelledClip(path=str(i), label=f"c{i % 3}", fold=f"{i % 4}", group=str(i))
        for i in range(num_clips)
    )
    return EvaluationDataset("folds", tuple(clips))


def test_each_fold_is_tested_once_on_the_others() -> None:
    trials = make_trials(folds_dataset())
    assert [trial.name for trial in trials] == ["0", "1", "2", "3"]
    assert sorted(np.concatenate([trial.test for trial in trials])) == list(range(24))
    for trial in trials:
        assert not set(trial.train) & set(trial.test)
        assert len(trial.train) + len(trial.test) == 24


def test_few_labels_are_drawn_evenly_from_the_training_clips_alone() -> None:
    dataset = folds_dataset()
    for trial in make_trials(dataset):
        few = choose_labelled(trial, dataset.labels, 2, seed=1)
        assert np.bincount(dataset.labels[few.train]).tolist() == [2, 2, 2]
        assert set(few.train) <= set(trial.train)
        assert few.test is trial.test
        again = choose_labelled(trial, dataset.labels, 2, seed=1)
        assert np.array_equal(few.train, again.train)
    assert choose_labelled(trial, dataset.labels, 0, seed=1) is trial


def test_more_labels_than_there_are_is_refused() -> None:
    dataset = folds_dataset()
    with pytest.raises(InvalidValueError, match="ask for fewer"):
        choose_labelled(make_trials(dataset)[0], dataset.labels, 9, seed=0)


def test_one_fold_is_not_enough() -> None:
    clips = tuple(LabelledClip(path=str(i), label=str(i), fold="1") for i in range(3))
    with pytest.raises(CorpusError, match="two or more"):
        make_trials(EvaluationDataset("one", clips))


def test_splits_need_train_and_test() -> None:
    clips = tuple(LabelledClip(path=str(i), label=str(i), split="train") for i in range(3))
    with pytest.raises(CorpusError, match="needs the splits train and test"):
        make_trials(EvaluationDataset("one", clips))
