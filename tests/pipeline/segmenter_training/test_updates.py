from dataclasses import replace

import numpy as np
import pytest
import torch

from avkd.pipeline.segmenter_training.pictures import MappedPictures
from avkd.pipeline.segmenter_training.recipe import SegmenterData
from avkd.pipeline.segmenter_training.updates import build_batch, class_loss, weigh_classes
from avkd.storage.schema import Recording

GRAY = SegmenterData(stream="depth", value_range=(0.0, 100.0), picture_size=(64, 64))


def test_a_mirrored_picture_has_its_map_mirrored() -> None:
    ramp = np.broadcast_to(np.arange(64)[None, None, :, None], (2, 64, 64, 1)).astype(np.uint16)
    maps = ramp[0, ..., 0].astype(np.uint8)
    pictures = MappedPictures(
        memory=ramp,
        places=np.arange(2),
        truth=(maps, maps),
        recordings=(Recording(recording_id="a", streams={}),) * 2,
    )
    for flip in (0.0, 1.0):
        shown, said = build_batch(pictures, np.arange(2), replace(GRAY, flip=flip), 0, 0)
        assert said.dtype == torch.int64
        torch.testing.assert_close(shown[:, 0] * 100, said.float())
        assert said[0, 0, 0] == (63 if flip else 0)


def test_pixels_that_count_for_nothing_do_not_change_the_loss() -> None:
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    maps = torch.tensor([[[0, 1], [255, 2]]])
    weights = torch.tensor([1.0, 2.0, 0.5])
    wanted = torch.stack(
        [
            -weights[c] * logits[0, :, row, column].log_softmax(0)[c]
            for row, column, c in ((0, 0, 0), (0, 1, 1), (1, 1, 2))
        ]
    ).mean()
    torch.testing.assert_close(class_loss(logits, maps, weights), wanted)
    assert float(class_loss(logits, torch.full((1, 2, 2), 255), weights)) == 0


@pytest.mark.parametrize(
    ("balance", "wanted"), [(0.0, [1, 1, 1]), (0.5, [0.5, 1.0, 1.0]), (1.0, [0.625, 2.5, 1.0])]
)
def test_balance_says_how_much_more_a_rare_class_counts(
    balance: float, wanted: list[float]
) -> None:
    weights = weigh_classes(np.array([80, 20, 0]), balance)
    assert float((weights[:2] * torch.tensor([0.8, 0.2])).sum()) == pytest.approx(1)
    assert float(weights[2]) == 1
    if balance == 0.5:
        assert float(weights[1] / weights[0]) == pytest.approx(2)
    else:
        torch.testing.assert_close(weights, torch.tensor(wanted, dtype=torch.float32))
