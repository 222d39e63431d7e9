from dataclasses import replace

import numpy as np
import pytest
import torch

from avkd.pipeline.evaluation.controls import (
    build_fresh_encoder,
    build_random,
    count_label_updates,
    predict_labels,
    train_classifier,
)
from avkd.pipeline.evaluation.features import (
    calibrate_normalisation,
    extract_features,
    longest_seconds,
    stack_sounds,
)
from avkd.pipeline.recipe import EvaluationConfig, Recipe
from avkd.stages.methods.batch import LearningShape, TargetShape

CPU = torch.device("cpu")
LEARNING = LearningShape(targets={"dense": TargetShape(num_steps=2, num_classes=6)})
SOUND = torch.randn(10, 1, 11_025, generator=torch.Generator().manual_seed(0)) * 0.1


@pytest.mark.parametrize(
    ("num_clips", "expected"), [(3, 60), (16, 60), (17, 120), (100, 400), (10_000, 400)]
)
def test_few_clips_are_trained_on_for_fewer_updates(num_clips: int, expected: int) -> None:
    assert count_label_updates(num_clips, EvaluationConfig()) == expected


def test_a_classifier_learns_its_clips_by_heart_and_repeats_itself(recipe: Recipe) -> None:
    labels = np.arange(10) % 2
    config = replace(recipe.evaluation, num_updates=40, learning_rate=1e-2)
    sound = SOUND * torch.tensor([1.0, 0.01] * 5)[:, None, None]
    sound[labels == 1] += torch.sin(torch.arange(11_025) * 0.3)[None, None]

    def train() -> np.ndarray:
        encoder = build_fresh_encoder(recipe, 3)
        student = train_classifier(encoder, sound, labels, 2, config, seed=3, device=CPU)
        assert np.array_equal(predict_labels(student, sound, CPU), labels)
        return next(student.parameters()).detach().numpy()

    assert np.array_equal(train(), train())


def test_random_students_differ_by_seed_alone(recipe: Recipe) -> None:
    def weights(seed: int) -> torch.Tensor:
        student = build_random(recipe, LEARNING, seed)
        return torch.cat([p.flatten() for p in student.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_calibration_moves_normalisation_and_no_weight(recipe: Recipe) -> None:
    student = build_random(recipe, LEARNING, 0)
    calibrated = calibrate_normalisation(student, SOUND, CPU)
    for one, other in zip(student.parameters(), calibrated.parameters(), strict=True):
        assert torch.equal(one, other)
    moved = [
        name
        for name, value in calibrated.state_dict().items()
        if not torch.equal(value, student.state_dict()[name])
    ]
    assert moved
    assert all("running" in name or "num_batches" in name for name in moved)
    assert not calibrated.training


def test_pooled_features_are_mean_and_maximum_over_columns(recipe: Recipe) -> None:
    student = build_random(recipe, LEARNING, 0)
    maps = extract_features(student, SOUND, "stage2", pooled=False, device=CPU)
    pooled = extract_features(student, SOUND, "stage2", pooled=True, device=CPU)
    assert maps.shape[:2] == (10, 8)
    assert np.allclose(pooled, np.concatenate([maps.mean(axis=2), maps.max(axis=2)], axis=1))


def test_sounds_are_repeated_or_cut_and_scaled() -> None:
    sounds = [np.full((2, 3), 16_384, np.int16), np.arange(10, dtype=np.int16)[None]]
    stacked = stack_sounds(sounds, 7, gain=2.0)
    assert stacked.shape == (2, 1, 7)
    assert torch.equal(stacked[0], torch.ones(1, 7))
    assert stacked[1, 0].tolist() == [2 * i / 32_768 for i in range(7)]
    assert longest_seconds(sounds, 5) == 2.0
