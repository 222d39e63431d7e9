from dataclasses import replace

import numpy as np
import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.pipeline.recipe import DataConfig, Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.training.anchors import fit_student_anchors
from avkd.pipeline.training.examples import Examples
from avkd.pipeline.training.learning_set import (
    LearningSet,
    choose_learning_set,
    find_learning_examples,
)
from avkd.pipeline.training.students import build_student
from avkd.stages.methods.grid_student import GridStudent


def build(street, *overrides: str) -> tuple[GridStudent, LearningSet, Examples]:
    changes = ["method.options.num_anchors=2", *overrides]
    recipe: Recipe = with_overrides(get_recipe("stereosoundnet", "tiny"), changes)
    learning = choose_learning_set(street.store, DataConfig(split="train"), (), None)
    method, student = build_student(recipe, learning.shape)
    assert isinstance(student, GridStudent)
    learning = replace(learning, needs=method.needs(student))
    return student, learning, find_learning_examples(learning)


def test_anchors_fit_boxes_that_are_learned_from(street) -> None:
    student, learning, examples = build(street, 'method.options.classes=["vehicle"]')
    assert learning.teachers == ("rgb",)
    assert not student.has_anchors
    fit_student_anchors(student, learning, examples)
    # Vehicles are 0.2 or 0.3 of the picture wide and 0.3 high, on a grid of 7 by 5 cells; the
    # unsure ones are larger, the signs smaller.
    expected = np.array([[1.4, 1.5], [2.1, 1.5]])
    np.testing.assert_allclose(student.anchors.numpy(), expected, rtol=1e-5)


def test_boxes_of_other_clips_classes_and_scores_change_the_anchors(street) -> None:
    student, learning, examples = build(street)
    fit_student_anchors(student, learning, examples)
    assert student.anchors[0].tolist() == pytest.approx([0.7, 0.5]), "the signs"
    student, learning, examples = build(street, "method.options.min_score=0.1")
    fit_student_anchors(student, learning, examples)
    assert student.anchors[1].tolist() == pytest.approx([6.3, 4.5]), "the unsure ones"


def test_known_anchors_and_students_without_a_grid_are_left_alone(street) -> None:
    student, learning, examples = build(street, "method.options.anchors=[1.0, 2.0, 3.0, 4.0]")
    fit_student_anchors(student, learning, examples)
    assert student.anchors.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    fit_student_anchors(torch.nn.Linear(1, 1), learning, examples)


def test_a_teacher_that_found_nothing_is_named(street) -> None:
    student, learning, examples = build(street, "method.options.min_score=0.95")
    with pytest.raises(
        InvalidValueError, match=r"'rgb' found no sign or vehicle with a score of 0"
    ):
        fit_student_anchors(student, learning, examples)
