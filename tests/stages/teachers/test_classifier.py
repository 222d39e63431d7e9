import pytest
import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.classifier import (
    Classifier,
    find_last_layer,
    measure_layer,
    name_of_layer,
)
from avkd.stages.teachers.declaration import Preprocessing

PREPROCESSING = Preprocessing(
    height=4, width=4, crop_fraction=1.0, mean=(0.25, 0.5, 0.75), std=(0.5, 0.25, 0.2)
)


def test_embedding_is_what_enters_the_classifier() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)).eval()
    frames = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    logits, embedding = Classifier(network, "2", PREPROCESSING)(frames)
    assert embedding.shape == (2, 3)
    assert torch.equal(network[2](embedding), logits)


def test_pictures_are_normalised_by_channel() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)).eval()
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 4, 4, 3)
    _, embedding = Classifier(network, "2", PREPROCESSING)(frames)
    # (value / 255 - mean) / std of each channel
    expected = torch.tensor([[-0.5, -1.2, 1.25]])
    torch.testing.assert_close(embedding, expected, atol=1e-6, rtol=0)


def test_embedding_before_a_convolution_is_pooled_over_space() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    frames = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    logits, embedding = Classifier(network, "0", PREPROCESSING)(frames)
    assert embedding.shape == (2, 3)
    # The convolution is linear, so pooling before and after it is the same.
    pooled = network[0](embedding[:, :, None, None]).flatten(1)
    torch.testing.assert_close(pooled, logits)


def test_last_linear_layer_wins_over_later_convolutions() -> None:
    assert find_last_layer(nn.Sequential(nn.Linear(1, 1), nn.Conv2d(1, 1, 1))) == "0"
    assert find_last_layer(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1))) == "1"
    assert find_last_layer(nn.ReLU()) == ""


def test_layer_of_another_network_has_no_name() -> None:
    network = nn.Sequential(nn.Linear(1, 1))
    assert name_of_layer(network, network[0]) == "0"
    assert name_of_layer(network, nn.Linear(1, 1)) == ""


def test_widths_are_read_off_the_layer() -> None:
    assert measure_layer(nn.Linear(7, 3), "x") == (3, 7)
    assert measure_layer(nn.Conv2d(7, 3, 1), "x") == (3, 7)


@pytest.mark.parametrize("layer", [nn.Identity(), nn.Conv2d(3, 3, 3)])
def test_layer_that_is_no_classifier_is_refused(layer: nn.Module) -> None:
    with pytest.raises(InvalidValueError, match="classification head"):
        measure_layer(layer, "timm/x")
