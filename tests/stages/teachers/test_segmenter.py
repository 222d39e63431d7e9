import numpy as np
import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.teachers.segmenter import ClassMapper, Segmenter, build_segmenter, read_logits
from avkd.stages.teachers.segmenter_folder import SegmenterDescription
from avkd.stages.teachers.segmenter_options import SegmenterOptions

SMALL = SegmenterOptions(widths=(4, 6, 8, 8, 8), decoder_width=8, fine_width=6)


def test_every_pixel_has_logits_whatever_the_pictures_size() -> None:
    network = Segmenter(SMALL, num_channels=3, num_classes=5).eval()
    for height, width in ((64, 96), (96, 64)):
        assert network(torch.rand(2, 3, height, width)).shape == (2, 5, height, width)


def test_the_network_is_small_enough_for_a_cpu() -> None:
    network = Segmenter(SegmenterOptions(), num_channels=3, num_classes=6)
    assert 200_000 < sum(each.numel() for each in network.parameters()) < 600_000


def test_a_gray_network_looks_at_one_of_three_equal_channels() -> None:
    described = SegmenterDescription(
        stream="depth",
        value_range=(0.0, 10.0),
        picture_size=(96, 64),
        map_stride=2,
        class_names=("a", "b", "c"),
        network=SMALL,
        seed=0,
    )
    network = build_segmenter(described).eval()
    assert described.map_shape == (32, 48)
    mapper = ClassMapper(network, map_stride=2, value_range=described.value_range).eval()
    frames = torch.randint(0, 12, (2, 64, 96, 1)).to(torch.int32)
    maps, confidence = mapper(frames)
    assert (maps.shape, maps.dtype) == ((2, 32, 48), torch.uint8)
    assert confidence.shape == (2,)
    beyond = torch.where(frames > 10, 10, frames)
    assert torch.equal(mapper(beyond)[0], maps)


def test_a_cell_is_the_class_of_the_largest_mean_probability() -> None:
    """Three pixels lean to class 0, one is sure of 1: votes say 0, probabilities 1."""
    lean = torch.tensor([0.55, 0.45]).log()
    sure = torch.tensor([0.001, 0.999]).log()
    logits = lean[None, :, None, None].repeat(1, 1, 2, 2)
    logits[0, :, 1, 1] = sure
    maps, confidence = read_logits(logits, 2)
    assert maps.tolist() == [[[1]]]
    assert float(confidence) == pytest.approx((3 * 0.45 + 0.999) / 4, abs=1e-6)
    whole, sureness = read_logits(logits, 1)
    assert whole.tolist() == [[[0, 0], [0, 1]]]
    assert float(sureness) == pytest.approx((3 * 0.55 + 0.999) / 4, abs=1e-6)


def test_of_equals_the_first_class_is_said() -> None:
    maps, confidence = read_logits(torch.zeros(1, 4, 2, 2), 1)
    assert not maps.any()
    assert float(confidence) == pytest.approx(0.25)


def test_what_a_picture_is_does_not_depend_on_the_others_of_its_batch() -> None:
    torch.manual_seed(0)
    network = Segmenter(SMALL, num_channels=3, num_classes=4)
    mapper = ClassMapper(network, map_stride=2, value_range=None).eval()
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)))
    alone = [mapper(frame[None])[0] for frame in frames]
    assert torch.equal(mapper(frames)[0], torch.cat(alone))


def test_options_that_build_nothing_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="must be 1 or more"):
        SegmenterOptions(fine_width=0)
