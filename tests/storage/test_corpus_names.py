import pytest

from avkd.errors import CorpusError, UnknownNameError
from avkd.storage.corpus_names import (
    LAYOUTS,
    read_crema_d_name,
    read_folder_name,
    read_names,
    read_ravdess_name,
    read_voxceleb_name,
)


def test_the_example_in_ravdess_own_description_is_read_as_described():
    # Audio-only, speech, fearful, normal intensity, "dogs", first repetition, actor 12.
    facts = read_ravdess_name("Actor_12/03-01-06-01-02-01-12.wav")
    assert (facts.label, facts.speaker) == ("fearful", "actor_12")
    assert facts.columns == {
        "modality": "audio",
        "vocal_channel": "speech",
        "intensity": "normal",
        "statement": "dogs",
        "repetition": "1",
    }


def test_ravdess_emotions_have_their_codes():
    emotions = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    for code, emotion in enumerate(emotions, start=1):
        assert read_ravdess_name(f"01-01-0{code}-01-01-01-01.mp4").label == emotion


@pytest.mark.parametrize(
    "name",
    [
        "01-01-09-01-01-01-01.mp4",
        "04-01-01-01-01-01-01.mp4",
        "01-01-01-01-01-01-25.mp4",
        "01-01-01-01-01-01.mp4",
        "a01-01-01-01-01-01-01.mp4",
        "notes.wav",
    ],
)
def test_what_is_not_quite_ravdess_is_none(name):
    assert read_ravdess_name(name) is None


@pytest.mark.parametrize(
    ("name", "label", "level"),
    [
        ("VideoFlash/1001_DFA_ANG_XX.flv", "angry", "unspecified"),
        ("1091_IEO_DIS_LO.wav", "disgust", "low"),
        ("1005_IEO_FEA_MD.wav", "fearful", "medium"),
        ("1005_IEO_HAP_HI.wav", "happy", "high"),
        ("1005_WSI_NEU_XX.wav", "neutral", "unspecified"),
        ("1040_ITH_SAD_X.wav", "sad", "unspecified"),
    ],
)
def test_crema_d_names_are_read(name, label, level):
    facts = read_crema_d_name(name)
    assert facts.label == label
    assert facts.speaker == name.rpartition("/")[2][:4]
    assert facts.columns["level"] == level


def test_words_that_both_emotion_sets_know_are_the_same():
    crema_d = {
        read_crema_d_name(f"1001_DFA_{code}_XX.flv").label
        for code in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
    }
    ravdess = {read_ravdess_name(f"01-01-0{code}-01-01-01-01.mp4").label for code in range(1, 9)}
    assert crema_d < ravdess


def test_voxceleb_speakers_and_videos_are_folders_wherever_these_lie():
    facts = read_voxceleb_name("dev/wav/id10001/1zcIwhmdeo4/00001.wav")
    assert (facts.speaker, facts.label) == ("id10001", "")
    assert facts.columns == {"video": "1zcIwhmdeo4"}
    assert read_voxceleb_name("id10001/00001.wav") is None
    assert read_voxceleb_name("person1/1zcIwhmdeo4/00001.wav") is None


def test_a_voxceleb_recording_has_the_id_that_trial_lists_use():
    corpus = read_names("voxceleb", ["dev/wav/id10001/1zcIwhmdeo4/00001.wav"])
    assert corpus.recordings[0].recording_id == "id10001/1zcIwhmdeo4/00001.wav"


def test_a_class_folder_names_the_class_of_its_files():
    assert read_folder_name("train/dog/1.wav").label == "dog"
    assert read_folder_name("1.wav") is None


def test_pictures_and_sound_of_a_performance_are_joined():
    names = [
        "video/Actor_01/02-01-03-01-01-01-01.mp4",
        "video/Actor_01/01-01-03-01-01-01-01.mp4",
        "audio/Actor_01/03-01-03-01-01-01-01.wav",
        "audio/copy/Actor_01/03-01-03-01-01-01-01.wav",
    ]
    (recording,) = read_names("ravdess", names).recordings
    assert recording.path == names[1]
    assert recording.audio == names[2]
    assert recording.recording_id == names[1]
    assert recording.facts.columns["modality"] == "audio-video"


def test_lossless_sound_is_preferred():
    names = ["AudioMP3/1001_DFA_ANG_XX.mp3", "AudioWAV/1001_DFA_ANG_XX.wav"]
    (sound,) = read_names("crema-d", names).recordings
    assert (sound.path, sound.audio) == (names[1], "")
    (both,) = read_names("crema-d", [*names, "VideoFlash/1001_DFA_ANG_XX.flv"]).recordings
    assert (both.path, both.audio) == ("VideoFlash/1001_DFA_ANG_XX.flv", names[1])


def test_other_names_are_kept_apart_and_told():
    corpus = read_names("crema-d", ["readme.wav", "1001_DFA_ANG_XX.wav"])
    assert len(corpus.recordings) == 1
    assert corpus.strangers == ("readme.wav",)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_layout_reads_the_form_that_its_error_shows(layout):
    form = LAYOUTS[layout].form
    assert LAYOUTS[layout].read(form) is not None
    with pytest.raises(CorpusError, match=r"'odd\.mp4' is not of the form '.*'; give") as error:
        read_names(layout, ["odd.mp4"])
    assert form in str(error.value)


def test_an_unknown_layout_offers_the_close_one():
    with pytest.raises(UnknownNameError, match="did you mean crema-d"):
        read_names("cremad", ["a/b.wav"])
