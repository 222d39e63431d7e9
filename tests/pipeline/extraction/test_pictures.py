from dataclasses import replace

import numpy as np
import pytest

from avkd.errors import CorpusError, InvalidValueError, UnknownNameError
from avkd.pipeline.extraction.pictures import (
    StoredClassMaps,
    StoredPictures,
    StoredPicturesBuffer,
    stored_pictures,
)
from avkd.pipeline.extraction.producers import describe_frames, frames_of_size
from avkd.stages.types import ClipPolicy, DecodedClip

POLICY = ClipPolicy(clip_seconds=2, step_seconds=1)
DEPTH = StoredPictures(stream="depth", size=(3, 2), value_range=(100, 1_120))
RGB = StoredPictures(stream="rgb", size=(3, 2))
TRUTH = StoredClassMaps(name="truth", stream="classes", size=(3, 2), class_names=("sky", "car"))


def decoded(pictures, values, *, status="ok", num_frames=None):
    shape = pictures.frame_format
    frames = np.empty((len(values), *shape.picture_shape), shape.dtype)
    frames[:] = np.array(values)[:, None, None, None]
    return DecodedClip(
        clip_id="c",
        frames_status=status,
        frames_reason="" if status == "ok" else "the end is missing",
        frames={shape: frames},
        num_frames=len(values) if num_frames is None else num_frames,
    )


def test_gray_levels_of_a_range_become_bytes_and_those_beyond_its_ends():
    levels = np.array([0, 100, 610, 1_120, 65_535], np.uint16)
    assert DEPTH.convert(levels).tolist() == [0, 0, 128, 255, 255]
    assert DEPTH.convert(levels).dtype == np.uint8
    # One level is 4 units: none is further than 2 from where it was.
    units = np.arange(100, 1_121, dtype=np.uint16)
    assert np.abs(DEPTH.convert(units) * 4.0 + 100 - units).max() <= 2


def test_pictures_of_streams_are_inputs_that_show_all_of_a_picture():
    spec = DEPTH.describe(replace(POLICY, frames_per_step=3))
    (output,) = spec.outputs
    assert (spec.kind, spec.name, output.name) == ("input", "frames_depth", "frames_depth")
    assert (output.shape, output.dtype) == ((6, 2, 3, 1), "uint8")
    assert output.attributes["frames_per_step"] == 3
    assert RGB.describe(POLICY).outputs[0].shape == (2, 2, 3, 3)
    shown = DEPTH.frame_format
    assert (shown.fit, shown.crop_fraction, shown.pixels) == ("stretch", 1.0, "gray16")


def test_stored_pictures_are_told_from_their_declaration():
    assert stored_pictures(DEPTH.describe(POLICY)) == DEPTH
    assert stored_pictures(RGB.describe(POLICY)) == RGB
    by_decord = replace(POLICY, decoder="decord")
    assert stored_pictures(RGB.describe(by_decord)) == RGB
    assert RGB.describe(by_decord).fingerprint["decoder"] == "decord"
    assert DEPTH.describe(by_decord) == DEPTH.describe(POLICY)
    assert TRUTH.describe(by_decord) == TRUTH.describe(POLICY)
    assert stored_pictures(TRUTH.describe(POLICY)) is None
    assert stored_pictures(describe_frames(frames_of_size(3, 2), POLICY)) is None


def test_true_class_maps_are_stored_as_those_of_a_teacher_and_called_true():
    spec = TRUTH.describe(POLICY)
    (output,) = spec.outputs
    assert (spec.kind, spec.name, output.name) == ("teacher", "truth", "class_map")
    assert (output.shape, output.dtype) == ((2, 2, 3), "uint8")
    assert output.axes == ("step", "height", "width")
    assert output.class_names == ("sky", "car")
    assert output.attributes["is_truth"] is True
    assert TRUTH.frame_format.resampling == "nearest"
    with pytest.raises(InvalidValueError, match="--frames-per-step 1"):
        TRUTH.describe(replace(POLICY, frames_per_step=2))


def test_a_shard_holds_what_was_decoded_and_zeros_elsewhere():
    buffer = StoredPicturesBuffer(TRUTH.describe(POLICY), TRUTH, 3)
    buffer.put(0, decoded(TRUTH, [0, 1]))
    buffer.put(2, decoded(TRUTH, [1, 0], status="partial", num_frames=1))
    content = buffer.finish()
    assert content.arrays["class_map"].shape == (3, 2, 2, 3)
    assert content.arrays["class_map"][..., 0, 0].tolist() == [[0, 1], [0, 0], [1, 0]]
    assert content.failures == {2: ("partial", "the end is missing")}


@pytest.mark.parametrize(("value", "words"), [(2, "class 2, but there are 2"), (255, "255")])
def test_a_pixel_of_no_class_costs_its_row_and_not_the_run(value, words):
    buffer = StoredPicturesBuffer(TRUTH.describe(POLICY), TRUTH, 2)
    buffer.put(0, decoded(TRUTH, [1, value]))
    buffer.put(1, decoded(TRUTH, [1, 1]))
    content = buffer.finish()
    assert content.arrays["class_map"][..., 0, 0].tolist() == [[0, 0], [1, 1]]
    ((status, reason),) = content.failures.values()
    assert status == "decode_error"
    assert words in reason
    with pytest.raises(CorpusError):
        TRUTH.convert(np.full((1, 2, 3, 1), value, np.uint16))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stream": "audio"}, "stream of pictures 'audio'"),
        ({"size": (0, 4)}, "frames_depth 0x4"),
        ({"value_range": (5.0, 5.0)}, "give the lower value first"),
    ],
)
def test_what_cannot_be_stored_is_refused(options, words):
    with pytest.raises((InvalidValueError, UnknownNameError), match=words):
        replace(DEPTH, **options)
    with pytest.raises(InvalidValueError, match="class maps name"):
        replace(TRUTH, name="a/b")
