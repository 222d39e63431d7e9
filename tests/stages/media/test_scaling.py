import numpy as np
import pytest
from PIL import Image

from avkd.stages.media.scaling import scale_picture
from avkd.stages.types import FrameFormat


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (241, 321), (90, 1000), (224, 224)])
def test_the_shorter_side_is_scaled_and_the_centre_cut_out(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    scaled = scale_picture(picture, FrameFormat(height=56, width=56))
    scale = 64 / min(shape)
    size = (max(64, round(shape[1] * scale)), max(64, round(shape[0] * scale)))
    whole = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    top, left = round((size[1] - 56) / 2), round((size[0] - 56) / 2)
    assert (scaled == whole[top : top + 56, left : left + 56]).all()


def test_a_picture_of_the_right_size_is_not_touched():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (
        scale_picture(picture, FrameFormat(height=32, width=32, crop_fraction=1)) == picture
    ).all()


def test_an_oblong_format_is_covered_on_both_sides():
    picture = np.full((40, 400, 3), 200, dtype=np.uint8)
    scaled = scale_picture(picture, FrameFormat(height=100, width=60, crop_fraction=1.0))
    assert scaled.shape == (100, 60, 3)
    assert (scaled == 200).all()


def test_the_middle_stays_in_the_middle():
    picture = np.zeros((100, 200, 3), dtype=np.uint8)
    picture[:, 99:101] = 255
    columns = scale_picture(picture, FrameFormat(height=64, width=64))[..., 0].sum(axis=0)
    assert (columns == columns[::-1]).all()
    assert columns[31] > 0
    assert columns[:20].sum() == 0
