import numpy as np
import pytest
from PIL import Image

from avkd.errors import InvalidValueError
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


def test_a_stretched_picture_is_shown_whole():
    picture = np.zeros((50, 200, 3), dtype=np.uint8)
    picture[:, :20] = picture[:, -20:] = 200
    stretched = scale_picture(
        picture, FrameFormat(height=40, width=40, crop_fraction=1, fit="stretch")
    )
    assert stretched.shape == (40, 40, 3)
    assert (stretched[:, :2] == 200).all()
    assert (stretched[:, -2:] == 200).all()
    assert stretched[:, 6:-6].max() == 0


def test_a_stretched_picture_that_is_cut_is_refused():
    with pytest.raises(InvalidValueError, match=r"crop_fraction 0.875 cuts what stretch shows"):
        FrameFormat(height=40, width=40, fit="stretch")


def test_16_bit_gray_keeps_its_levels_and_does_not_wrap_at_edges():
    frame_format = FrameFormat(height=24, width=30, crop_fraction=1, fit="stretch", pixels="gray16")
    picture = np.full((48, 60, 1), 65_535, dtype=np.uint16)
    picture[:, :30] = 0
    scaled = scale_picture(picture, frame_format)
    assert (scaled.shape, scaled.dtype) == ((24, 30, 1), np.uint16)
    assert (scaled[:, :13] == 0).all()
    assert (scaled[:, 17:] == 65_535).all()
    same = np.random.default_rng(0).integers(0, 65_536, (24, 30, 1)).astype(np.uint16)
    assert (scale_picture(same, frame_format) == same).all()


def test_nearest_takes_the_pixel_under_each_middle_and_makes_no_value_up():
    picture = np.array([[0, 7, 255], [3, 1, 9]], np.uint16)[..., None]
    same, large, small = (
        scale_picture(
            picture,
            FrameFormat(
                height=height,
                width=width,
                crop_fraction=1,
                fit="stretch",
                pixels="gray16",
                resampling="nearest",
            ),
        )[..., 0]
        for height, width in ((2, 3), (4, 6), (1, 1))
    )
    assert same.tolist() == picture[..., 0].tolist()
    assert large.tolist() == picture[..., 0].repeat(2, 0).repeat(2, 1).tolist()
    assert small.tolist() == [[1]]
    assert large.dtype == np.uint16
