"""Anchors of a student on a grid, from the boxes that it will learn from."""

import numpy as np
import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.pipeline.training.examples import Examples
from avkd.pipeline.training.learning_set import LearningSet, boxes_output
from avkd.pipeline.training.stored_boxes import read_boxes
from avkd.stages.methods.grid_student import GridStudent


def fit_student_anchors(student: nn.Module, learning: LearningSet, examples: Examples) -> None:
    """Fit the anchors of a student on a grid that has none; other students are left alone.

    To the sizes of the teacher's boxes in these examples, of classes that are learned and of a
    score that counts. The same examples give the same anchors, in every process.

    Raises:
        InvalidValueError: There are fewer different sizes than anchors.
    """
    if not isinstance(student, GridStudent) or student.has_anchors or not len(examples):
        return
    teacher, min_score = student.teacher, learning.needs.min_box_score
    output = boxes_output(learning.store.producers()[teacher])
    found = read_boxes(learning.store, teacher, output, examples.rows[teacher], min_score)
    classes = torch.from_numpy(np.concatenate([row.classes for row in found])).long()
    boxes = torch.from_numpy(np.concatenate([row.boxes for row in found]))
    sizes = boxes[:, 2:] - boxes[:, :2]
    is_learned = student.class_places[classes] >= 0
    sizes = sizes[is_learned & (sizes > 0).all(dim=1)]
    if not len(sizes):
        raise InvalidValueError(
            f"teacher {teacher!r} found no {' or '.join(student.class_names)} with a score of "
            f"{min_score:g} or more in {len(examples)} clips; lower method.options.min_score, or "
            "learn from another detector"
        )
    student.fit_anchors(sizes)
