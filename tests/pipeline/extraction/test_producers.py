import json
from dataclasses import replace

import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.producers import (
    adopt_stored,
    describe_frames,
    describe_output,
    describe_teacher,
    describe_waveform,
    frames_of_size,
    stored_frames,
    stored_sparse_top_k,
    stored_waveform,
)
from avkd.stages.teachers.audio_declaration import AudioDeclaration
from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.registry import declare_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, TeacherOutput, WaveformFormat
from avkd.stages.views import PARAMETERS

POLICY = ClipPolicy(clip_seconds=4, step_seconds=2)


@pytest.fixture
def declaration(bright_request: TeacherRequest) -> TeacherDeclaration:
    declared = declare_teacher(bright_request)
    assert isinstance(declared, TeacherDeclaration)
    return declared


def test_outputs_of_a_teacher_get_a_step_axis(declaration: TeacherDeclaration) -> None:
    logits, embedding = describe_teacher(declaration, POLICY).outputs
    assert (logits.shape, logits.axes, logits.dtype) == ((2, 3), ("step", "class"), "float16")
    assert (embedding.shape, embedding.layout) == ((2, 2), "dense")
    assert logits.class_names == ("x", "y", "z")
    assert logits.attributes == {"activation": "softmax"}


def test_only_softmax_logits_become_sparse(declaration: TeacherDeclaration) -> None:
    spec = describe_teacher(declaration, POLICY, sparse_top_k=2)
    assert [output.layout for output in spec.outputs] == ["sparse_logits", "dense"]
    assert stored_sparse_top_k(spec) == 2


def test_the_number_of_kept_logits_is_in_the_fingerprint(declaration: TeacherDeclaration) -> None:
    dense, sparse = (describe_teacher(declaration, POLICY, sparse_top_k=k) for k in (0, 2))
    assert dense.fingerprint != sparse.fingerprint
    assert stored_sparse_top_k(dense) == 0


def test_a_fingerprint_names_the_decoder_where_it_is_not_pyav(
    declaration: TeacherDeclaration,
) -> None:
    other = replace(POLICY, decoder="decord")
    frames = frames_of_size(8, 6)
    pairs = (
        [describe_teacher(declaration, policy) for policy in (POLICY, other)],
        [describe_frames(frames, policy) for policy in (POLICY, other)],
    )
    for plain, asked in pairs:
        assert "decoder" not in plain.fingerprint
        assert asked.fingerprint == {**plain.fingerprint, "decoder": "decord"}
        assert asked.outputs == plain.outputs
    assert stored_frames(pairs[1][1]) == frames


def test_whoever_decodes_pictures_16_bit_gray_and_sound_are_the_same(
    declaration: TeacherDeclaration,
) -> None:
    other = replace(POLICY, decoder="decord")
    gray = replace(
        declaration, frame_format=replace(declaration.frame_format, pixels="gray16"), stream="depth"
    )
    assert describe_teacher(gray, other) == describe_teacher(gray, POLICY)
    sound = WaveformFormat()
    assert describe_waveform(sound, other) == describe_waveform(sound, POLICY)


def test_keeping_all_logits_sparsely_is_refused(declaration: TeacherDeclaration) -> None:
    with pytest.raises(InvalidValueError, match="sparse_top_k 3 keeps all of the 3 logits"):
        describe_teacher(declaration, POLICY, sparse_top_k=3)


def test_boxes_are_any_number_a_step_and_of_one_picture(declaration: TeacherDeclaration) -> None:
    boxes = TeacherOutput(
        name="boxes",
        shape=(100, 6),
        axes=("box", "number"),
        class_names=("car",),
        dtype="float32",
        layout="boxes",
        attributes={"unit": "fraction of the picture"},
    )
    detector = replace(declaration, outputs=(boxes,))
    (output,) = describe_teacher(detector, POLICY, sparse_top_k=2).outputs
    assert (output.layout, output.shape, output.axes) == ("boxes", (2,), ("step",))
    assert output.attributes == {"unit": "fraction of the picture"}
    assert output.class_names == ("car",)
    with pytest.raises(InvalidValueError, match="one picture a step, not of 3"):
        describe_teacher(detector, replace(POLICY, frames_per_step=3))


@pytest.mark.parametrize(
    ("waveform", "num_channels"),
    [
        (WaveformFormat(sample_rate=100), 1),
        (WaveformFormat(sample_rate=100, num_channels=8, channels="all"), 8),
        (WaveformFormat(sample_rate=100, num_channels=2, channels="mix"), 1),
    ],
)
def test_a_waveform_comes_back_from_what_is_stored(
    waveform: WaveformFormat, num_channels: int
) -> None:
    spec = describe_waveform(waveform, POLICY)
    assert spec.outputs[0].shape == (num_channels, 400)
    assert stored_waveform(spec) == waveform


def test_open_choices_of_a_request_become_the_stored_ones(
    bright_request: TeacherRequest, declaration: TeacherDeclaration
) -> None:
    stored = describe_teacher(declaration, POLICY)
    stored = replace(
        stored, fingerprint={**stored.fingerprint, "runtime": "torch", "device": "cuda"}
    )
    adopted = adopt_stored(bright_request, stored)
    assert (adopted.runtime, adopted.device) == ("torch", "cuda")
    chosen = replace(bright_request, device="cpu")
    assert adopt_stored(chosen, stored).device == "cpu"


def test_pictures_come_back_from_what_is_stored() -> None:
    frames = frames_of_size(64, 48)
    spec = describe_frames(frames, replace(POLICY, frames_per_step=3))
    (output,) = spec.outputs
    assert (output.shape, output.dtype) == ((6, 48, 64, 3), "uint8")
    assert output.axes == ("step", "height", "width", "channel")
    assert stored_frames(spec) == frames
    # How frames fit is settled for all stores: a field more would make old ones others.
    assert set(spec.fingerprint) == {"height", "width", "crop_fraction", "extraction_version"}


def test_an_output_of_whole_clips_has_no_step_axis() -> None:
    said = TeacherOutput(name="logits", shape=(9,), axes=("class",), activation="softmax")
    assert describe_output(said, 0).shape == (9,)
    exact = describe_output(replace(said, dtype="float32"), 0)
    assert (exact.axes, exact.dtype) == (("class",), "float32")
    sparse = describe_output(replace(said, dtype="float32"), 2)
    assert (sparse.layout, sparse.num_kept, sparse.dtype) == ("sparse_logits", 2, "float16")


def test_a_class_map_is_stored_as_it_is_said_and_of_one_picture_a_step(
    declaration: TeacherDeclaration,
) -> None:
    said = TeacherOutput(
        name="class_map",
        shape=(4, 6),
        axes=("height", "width"),
        class_names=("road", "car"),
        dtype="uint8",
    )
    mapper = replace(declaration, outputs=(said,))
    (output,) = describe_teacher(mapper, POLICY, sparse_top_k=1).outputs
    assert (output.shape, output.axes) == ((2, 4, 6), ("step", "height", "width"))
    assert (output.dtype, output.layout, output.class_names) == ("uint8", "dense", ("road", "car"))
    with pytest.raises(InvalidValueError, match="the class_map of one picture a step, not of 2"):
        describe_teacher(mapper, replace(POLICY, frames_per_step=2))


def test_a_teacher_that_chooses_nothing_has_the_fingerprint_that_it_always_had(
    declaration: TeacherDeclaration,
) -> None:
    spec = describe_teacher(declaration, POLICY)
    assert spec.fingerprint == {**declaration.fingerprint, "sparse_top_k": 0}


@pytest.mark.parametrize("choice", [{"unit": "clip"}, {"per": "clip"}])
def test_what_is_said_of_a_clip_has_no_step_axis(
    declaration: TeacherDeclaration, choice: dict[str, str]
) -> None:
    spec = describe_teacher(replace(declaration, **choice), POLICY)  # type: ignore[arg-type]
    assert [(output.shape, output.axes) for output in spec.outputs] == [
        ((3,), ("class",)),
        ((2,), ("feature",)),
    ]
    assert choice.items() <= spec.fingerprint.items()


def test_views_have_an_axis_and_names_of_their_own(bright_request: TeacherRequest) -> None:
    declared = declare_teacher(replace(bright_request, views=5))
    spec = describe_teacher(declared, POLICY, sparse_top_k=2)
    logits, embedding, views = spec.outputs
    assert (logits.name, logits.shape) == ("logits_views", (2, 5, 3))
    assert (logits.axes, logits.layout) == (("step", "view", "class"), "sparse_logits")
    assert (embedding.name, embedding.shape) == ("embedding_views", (2, 5, 2))
    assert (views.name, views.shape, views.dtype) == ("views", (2, 5, 9), "float32")
    assert views.attributes["parameters"] == list(PARAMETERS)
    assert json.loads(json.dumps(spec.fingerprint)) == spec.fingerprint
    other = describe_teacher(declare_teacher(replace(bright_request, views=5, seed=1)), POLICY)
    assert other.fingerprint["views"] != spec.fingerprint["views"]


def test_what_a_teacher_hears_is_in_its_fingerprint() -> None:
    ear = AudioDeclaration(
        name="ear",
        waveform_format=WaveformFormat(sample_rate=16_000),
        outputs=(TeacherOutput(name="embedding", shape=(4,), axes=("feature",)),),
        fingerprint={"weights": "w"},
        batch_size=1,
    )
    spec = describe_teacher(ear, POLICY)
    assert spec.outputs[0].shape == (2, 4)
    assert describe_teacher(replace(ear, unit="clip"), POLICY).outputs[0].shape == (4,)
    others = [
        replace(ear, waveform_format=WaveformFormat(sample_rate=8_000)),
        replace(ear, waveform_format=WaveformFormat(sample_rate=16_000, channels="mix")),
        replace(ear, num_samples=15_600),
        replace(ear, unit="clip"),
        replace(ear, per="clip"),
    ]
    assert all(describe_teacher(each, POLICY).fingerprint != spec.fingerprint for each in others)


def test_a_network_that_takes_other_numbers_of_pictures_is_refused(
    declaration: TeacherDeclaration,
) -> None:
    film = replace(declaration, unit="clip", num_pictures=16)
    with pytest.raises(InvalidValueError, match="takes 16 pictures of a clip, which has 2"):
        describe_teacher(film, POLICY)
    describe_teacher(film, replace(POLICY, frames_per_step=8))


def test_classes_of_pixels_are_not_averaged_over_a_clip(declaration: TeacherDeclaration) -> None:
    said = TeacherOutput(name="class_map", shape=(4, 6), axes=("height", "width"), dtype="uint8")
    mapper = replace(declaration, outputs=(said,), per="clip")
    with pytest.raises(InvalidValueError, match="not of a clip; leave --per out"):
        describe_teacher(mapper, POLICY)
