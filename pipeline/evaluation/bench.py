"""A student, a dataset, and how the recipe puts them together: what every measure needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from avkd.pipeline.evaluation.datasets import EvaluationDataset, Sounds, read_sounds
from avkd.pipeline.evaluation.features import (
    Features,
    extract_features,
    longest_seconds,
    stack_sounds,
)
from avkd.pipeline.evaluation.scores import (
    ProbeKind,
    ProbeScore,
    TrialResult,
    pooled_kind,
    summarise,
    window_kind,
)
from avkd.pipeline.evaluation.trials import Trial, choose_labelled, make_trials
from avkd.pipeline.recipe import Recipe
from avkd.pipeline.run_dir import RunDir
from avkd.stages.methods.student import Student


@dataclass(frozen=True)
class Bench:
    """A student, a dataset, and how they are put together."""

    run: RunDir
    recipe: Recipe
    student: Student
    dataset: EvaluationDataset
    layers: tuple[str, ...]
    labels_per_class: tuple[int, ...]
    seeds: tuple[int, ...]
    device: torch.device

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Fits and tests of the dataset."""
        return make_trials(self.dataset)

    @cached_property
    def clip_seconds(self) -> float:
        """To how long sounds are repeated or cut."""
        given = self.recipe.evaluation.clip_seconds
        return given or longest_seconds(self._sounds, self.student.encoder.sample_rate)

    @cached_property
    def waveforms(self) -> Tensor:
        """float32 (N, 1, S)."""
        num_samples = round(self.clip_seconds * self.student.encoder.sample_rate)
        return stack_sounds(self._sounds, num_samples, self.recipe.evaluation.gain)

    @cached_property
    def kind(self) -> ProbeKind:
        """How features are probed."""
        config = self.recipe.evaluation
        if config.window_seconds is None:
            return pooled_kind()
        return window_kind(config.window_seconds, self.clip_seconds, config.cost)

    def features(self, student: Student, layer: str) -> Features:
        """Of every clip, as the probe takes them."""
        pooled = self.recipe.evaluation.window_seconds is None
        return extract_features(student, self.waveforms, layer, pooled=pooled, device=self.device)

    def labelled(self, labels_per_class: int, seed: int) -> list[Trial]:
        """The trials with so many training labels of a class."""
        labels = self.dataset.labels
        return [choose_labelled(trial, labels, labels_per_class, seed) for trial in self.trials]

    def summarise(
        self, features: str, layer: str, per_class: int, results: Sequence[Sequence[TrialResult]]
    ) -> ProbeScore:
        """Combine the results of trials, a sequence for each seed."""
        labels, num_classes = self.dataset.labels, len(self.dataset.class_names)
        return summarise(features, layer, per_class, results, labels, num_classes)

    @cached_property
    def _sounds(self) -> Sounds:
        return read_sounds(self.dataset, self.student.encoder.sample_rate)
