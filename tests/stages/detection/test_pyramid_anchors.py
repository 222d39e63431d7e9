import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.detection.pyramid_anchors import AnchorLayout


def test_the_papers_picture_has_12_276_cells_and_110_484_anchors() -> None:
    layout = AnchorLayout(picture_size=(768, 768))
    assert layout.level_sizes == ((96, 96), (48, 48), (24, 24), (12, 12), (6, 6))
    assert layout.num_cells == 12_276
    assert layout.anchors_per_cell == 9
    assert layout.num_anchors == 110_484
    anchors = layout.place()
    assert anchors.shape == (110_484, 4)
    assert anchors.dtype == torch.float32


def test_anchors_worked_out_by_hand_in_a_picture_that_is_not_square() -> None:
    pixels = AnchorLayout(picture_size=(256, 768)).place() * torch.tensor([768.0, 256, 768, 256])
    square = [4 - 16, 4 - 16, 4 + 16, 4 + 16]
    wide = [4 - 22.4, 4 - 11.2, 4 + 22.4, 4 + 11.2]
    tall = [4 - 11.2, 4 - 22.4, 4 + 11.2, 4 + 22.4]
    torch.testing.assert_close(pixels[:3], torch.tensor([square, wide, tall]))
    # The next octave, the next column, the next row of 96 columns, the next level of 32 rows.
    half = 16 * 2 ** (1 / 3)
    torch.testing.assert_close(pixels[3], torch.tensor([4 - half, 4 - half, 4 + half, 4 + half]))
    torch.testing.assert_close(pixels[9], torch.tensor([12.0 - 16, 4 - 16, 12 + 16, 4 + 16]))
    torch.testing.assert_close(pixels[9 * 96], torch.tensor([4.0 - 16, 12 - 16, 4 + 16, 12 + 16]))
    torch.testing.assert_close(pixels[9 * 96 * 32], torch.tensor([8.0 - 32, 8 - 32, 8 + 32, 40]))
    # The last is the tallest of the coarsest level.
    half = 256 * 2 ** (2 / 3)
    last = [704 - 0.7 * half, 192 - 1.4 * half, 704 + 0.7 * half, 192 + 1.4 * half]
    torch.testing.assert_close(pixels[-1], torch.tensor(last))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_every_anchor_is_where_its_level_row_column_octave_and_ratio_say(
    data: st.DataObject,
) -> None:
    size = st.integers(1, 300)
    strides = tuple(data.draw(st.lists(st.integers(3, 200), min_size=1, max_size=4)))
    height, width = data.draw(size), data.draw(size)
    layout = AnchorLayout(picture_size=(height, width), strides=strides)
    anchors = layout.place()
    assert len(anchors) == layout.num_anchors
    level = data.draw(st.integers(0, len(strides) - 1))
    rows, columns = layout.level_sizes[level]
    stride = strides[level]
    assert (rows - 1) * stride < height <= rows * stride
    assert (columns - 1) * stride < width <= columns * stride
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    octave, ratio = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
    before = sum(above * across for above, across in layout.level_sizes[:level])
    box = anchors[((before + row * columns + column) * 3 + octave) * 3 + ratio].tolist()
    side = 4 * stride * layout.octaves[octave]
    expected_size = [side * layout.ratios[ratio][0], side * layout.ratios[ratio][1]]
    assert [(box[2] - box[0]) * width, (box[3] - box[1]) * height] == pytest.approx(
        expected_size, rel=1e-4
    )
    centre = [(box[0] + box[2]) / 2 * width, (box[1] + box[3]) / 2 * height]
    expected_centre = [(column + 0.5) * stride, (row + 0.5) * stride]
    assert centre == pytest.approx(expected_centre, abs=1e-3 * stride)


def test_the_same_layout_is_the_same_anchors() -> None:
    first, second = (AnchorLayout(picture_size=(100, 75)).place() for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"picture_size": (0, 5)}, r"picture_size \(0, 5\) must be \(height, width\)"),
        ({"strides": ()}, r"strides of anchors are \(\)"),
        ({"strides": (8, 0)}, "give one or more above 0"),
        ({"scale": -1.0}, "scale of anchors are -1.0"),
        ({"octaves": (1.0, float("nan"))}, "octaves of anchors"),
        ({"ratios": ((1.0, 0.0),)}, "ratios of anchors"),
    ],
)
def test_layouts_without_anchors_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        AnchorLayout(**{"picture_size": (64, 64), **options})  # type: ignore[arg-type]
