from dataclasses import replace

import numpy as np
import torch

from avkd.pipeline.detector_training.batches import build_batch
from avkd.pipeline.detector_training.pictures import LabelledPictures
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.truth import PictureTruth
from avkd.storage.schema import Recording

GRAY = DetectorData(stream="thermal", value_range=(100.0, 300.0), picture_size=(64, 64))
RGB = DetectorData(picture_size=(64, 64))


def pictures_of(data: DetectorData, num: int = 4) -> LabelledPictures:
    """A ramp from left to right, with a box in its first quarter."""
    ramp = np.linspace(100, 300 if data.value_range else 250, 64)
    channels = 1 if data.value_range else 3
    frames = np.broadcast_to(ramp[None, None, :, None], (num, 64, 64, channels))
    truth = PictureTruth(
        time_seconds=0.0,
        boxes=np.array([[0.0, 0.5, 0.25, 1.0]], np.float32),
        classes=np.zeros(1, np.int64),
        is_ignored=np.zeros(1, bool),
    )
    return LabelledPictures(
        memory=frames.astype(data.frame_format.dtype),
        places=np.arange(num),
        truth=(truth,) * num,
        recordings=(Recording(recording_id="a", streams={}),) * num,
    )


def test_a_mirrored_picture_has_its_boxes_mirrored() -> None:
    pictures, places = pictures_of(GRAY), np.arange(4)
    plain = build_batch(pictures, places, replace(GRAY, flip=0.0), 0, 0)
    mirrored = build_batch(pictures, places, replace(GRAY, flip=1.0), 0, 0)
    torch.testing.assert_close(mirrored.pictures, plain.pictures.flip(3))
    assert plain.truth[0].boxes.tolist() == [[0, 32, 16, 64]]
    assert mirrored.truth[0].boxes.tolist() == [[48, 32, 64, 64]]


def test_gray_is_scaled_by_its_range_and_its_light_is_left_alone() -> None:
    batch = build_batch(pictures_of(GRAY), np.arange(4), replace(GRAY, flip=0.0), 0, 0)
    assert batch.pictures.shape == (4, 3, 64, 64)
    assert batch.pictures[0, 0, 0, [0, -1]].tolist() == [0, 1]
    assert (batch.pictures == batch.pictures[:1]).all()


def test_rgb_is_lit_anew_in_every_picture_and_update_and_the_same_again() -> None:
    pictures, places = pictures_of(RGB), np.arange(4)
    first, again, later = (build_batch(pictures, places, RGB, 0, update) for update in (0, 0, 1))
    means = first.pictures.mean(dim=(1, 2, 3))
    assert len({*means.tolist()}) == 4
    assert torch.equal(first.pictures, again.pictures)
    assert not torch.equal(first.pictures, later.pictures)
