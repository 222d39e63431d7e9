from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from avkd.pipeline.report.thumbnails import data_uri, thumbnail_uri


def decode(uri):
    return Image.open(BytesIO(b64decode(uri.partition(",")[2])))


def test_a_wide_picture_is_scaled_to_the_longest_side():
    picture = np.full((200, 800, 3), 90, np.uint8)
    assert decode(thumbnail_uri(picture, longest=320)).size == (320, 80)


def test_a_small_picture_stays_as_it_is():
    picture = np.full((20, 30, 3), 90, np.uint8)
    small = decode(thumbnail_uri(picture))
    assert small.size == (30, 20)
    assert np.asarray(small).mean() == pytest.approx(90, abs=2)


def test_the_bytes_of_a_file_do_as_well():
    stream = BytesIO()
    Image.new("RGBA", (40, 40), (200, 0, 0, 255)).save(stream, format="PNG")
    small = decode(thumbnail_uri(stream.getvalue(), longest=16))
    assert small.size == (16, 16)
    assert np.asarray(small)[8, 8, 0] > 180


def test_a_data_uri_carries_its_bytes():
    assert data_uri(b"abc", "image/png") == "data:image/png;base64,YWJj"
