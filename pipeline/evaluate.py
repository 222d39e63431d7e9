"""Measuring a frozen student on labelled sounds, beside its controls."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.bench import Bench
from avkd.pipeline.evaluation.datasets import EvaluationDataset
from avkd.pipeline.evaluation.measures import DISTILLED, MEASURES
from avkd.pipeline.evaluation.scores import ProbeScore
from avkd.pipeline.evaluation.trials import ALL_LABELS
from avkd.pipeline.report_json import report_to_json
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.pipeline.training.students import load_student

Control: TypeAlias = Literal["random", "scratch", "teacher", "mfcc", "fine_tuned"]
SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class EvaluationEvent:
    """How far an evaluation is."""

    num_done: int
    num_total: int
    what: str
    """What was just measured, such as ``scratch``."""


OnProgress: TypeAlias = Callable[[EvaluationEvent], None]


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What a student and its controls scored on a dataset."""

    run: str
    dataset: str
    num_clips: int
    class_names: tuple[str, ...]
    trials: tuple[str, ...]
    """The folds left out in turn, or ``test``."""
    layers: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: tuple[ProbeScore, ...]

    def find(
        self, features: str, *, layer: str | None = None, labels_per_class: int = ALL_LABELS
    ) -> ProbeScore:
        """One of the scores; of several layers the first.

        Raises:
            InvalidValueError: It was not measured.
        """
        for score in self.scores:
            is_layer = layer is None or score.layer == layer
            if (
                score.features == features
                and is_layer
                and score.labels_per_class == labels_per_class
            ):
                return score
        raise InvalidValueError(f"{features} with {labels_per_class} labels was not measured")

    def to_json(self) -> str:
        """Indented JSON; accuracies that do not exist are null."""
        return report_to_json(asdict(self))


def evaluate_run(
    run: str,
    dataset: EvaluationDataset,
    *,
    layers: Sequence[str] = (),
    controls: Sequence[Control] = ("random", "scratch", "mfcc"),
    labels_per_class: Sequence[int] = (ALL_LABELS,),
    seeds: Sequence[int] = SEEDS,
    device: Literal["auto", "cpu"] = "auto",
    on_progress: OnProgress = lambda event: None,
) -> EvaluationReport:
    """Probe a finished run's student; the report is also written into the run's folder.

    The student's weights stay as they are, except in the control ``fine_tuned``. Seeds decide which
    labels are kept where not all are, and the controls' weights.

    Raises:
        StoreNotFoundError: There is no finished run.
        UnknownNameError: The student has no such layer, or there is no such control.
        CorpusError: The dataset lacks folds, splits or files.
    """
    for control in controls:
        if control not in get_args(Control):
            raise UnknownNameError("control", control, get_args(Control))
    student, recipe = load_student(run)
    chosen = tuple(layers) or (recipe.evaluation.layer or student.encoder.feature_layer,)
    for layer in chosen:
        if layer not in student.layer_names:
            raise UnknownNameError(f"layer of {recipe.encoder.name}", layer, student.layer_names)
    bench = Bench(
        run=RunDir(path=Path(run)),
        recipe=recipe,
        student=student,
        dataset=dataset,
        layers=chosen,
        labels_per_class=tuple(labels_per_class),
        seeds=tuple(seeds),
        device=_choose_device(device),
    )
    scores: list[ProbeScore] = []
    measured = (DISTILLED, *controls)
    for number, name in enumerate(measured, start=1):
        scores += MEASURES[name](bench)
        on_progress(EvaluationEvent(num_done=number, num_total=len(measured), what=name))
    report = EvaluationReport(
        run=run,
        dataset=dataset.name,
        num_clips=len(dataset.clips),
        class_names=dataset.class_names,
        trials=tuple(trial.name for trial in bench.trials),
        layers=chosen,
        seeds=bench.seeds,
        scores=tuple(scores),
    )
    write_text(bench.run.evaluation_file(dataset.name), report.to_json())
    return report


def _choose_device(device: str) -> torch.device:
    return torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")
