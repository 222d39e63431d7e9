"""How well a segmenter says the pixels of recordings that it did not learn from."""

from typing import TypeAlias

import numpy as np
import torch

from avkd.pipeline.evaluation.class_truth import ClassMaps
from avkd.pipeline.segmenter_training.pictures import MappedPictures
from avkd.pipeline.segmenter_training.recipe import SegmenterData
from avkd.stages.metrics.boxes import GROUP_KEYS
from avkd.stages.metrics.segmentation import (
    Confusion,
    count_confusion,
    resize_classes,
    score_confusion,
)
from avkd.stages.teachers.segmenter import ClassMapper, Segmenter

Scores: TypeAlias = dict[str, dict[str, float | int | None]]
"""By group of recordings: metrics and counts."""


def score_segmenter(
    network: Segmenter,
    pictures: MappedPictures,
    class_names: tuple[str, ...],
    data: SegmenterData,
    device: torch.device,
) -> Scores:
    """Give ``mIoU``, ``pixel_accuracy`` and ``IoU_<class>`` of all, of each light and kind of view.

    Of the maps as extraction stores them, at the size of the pictures shown. None of a class that
    neither is true nor said. Empty without pictures.
    """
    if not len(pictures):
        return {}
    maps = _say_maps(network, pictures, data, device)
    groups: dict[str, list[Confusion]] = {}
    for said, truth, recording in zip(maps, pictures.truth, pictures.recordings, strict=True):
        confusion = count_confusion(resize_classes(said, truth.shape), truth, len(class_names))
        names = [f"{k}={recording.metadata[k]}" for k in GROUP_KEYS if k in recording.metadata]
        for group in ("all", *names):
            groups.setdefault(group, []).append(confusion)
    return {name: _score(groups[name], class_names) for name in sorted(groups)}


def _say_maps(
    network: Segmenter, pictures: MappedPictures, data: SegmenterData, device: torch.device
) -> ClassMaps:
    mapper = ClassMapper(network, map_stride=data.map_stride, value_range=data.value_range).eval()
    said = []
    with torch.inference_mode():
        for first in range(0, len(pictures), data.batch_size):
            frames = torch.from_numpy(pictures.frames(slice(first, first + data.batch_size)))
            said.append(mapper(frames.to(device))[0].cpu().numpy())
    return np.concatenate(said)


def _score(
    confusions: list[Confusion], class_names: tuple[str, ...]
) -> dict[str, float | int | None]:
    scores = score_confusion(np.sum(confusions, axis=0))
    return {
        "mIoU": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        **{f"IoU_{name}": iou for name, iou in zip(class_names, scores.class_ious, strict=True)},
        "num_pictures": len(confusions),
    }
