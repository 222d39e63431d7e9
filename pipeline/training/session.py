"""Everything that the updates of one training session share, set up from recipe and store."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer

from avkd.errors import InvalidValueError
from avkd.pipeline.recipe import OptimiserConfig, Recipe
from avkd.pipeline.run_dir import RunDir, open_run
from avkd.pipeline.training.anchors import fit_student_anchors
from avkd.pipeline.training.checkpoint import TrainingState
from avkd.pipeline.training.examples import Examples, split_validation
from avkd.pipeline.training.initial_weights import (
    InitialWeights,
    note_initial,
    read_initial_weights,
    start_encoder,
)
from avkd.pipeline.training.learning_set import (
    LearningSet,
    build_reader,
    choose_learning_set,
    count_left_out,
    find_flat,
    find_learning_examples,
    full_shape,
    read_labels,
)
from avkd.pipeline.training.loading import BatchOrder, Loader
from avkd.pipeline.training.missing_boxes import require_boxes
from avkd.pipeline.training.notes import find_notes, keep_notes
from avkd.pipeline.training.schedule import count_updates
from avkd.pipeline.training.students import build_student, heard_sample_rate
from avkd.stages.methods.registry import Method
from avkd.storage.store import Store

if TYPE_CHECKING:
    from accelerate import Accelerator

Device: TypeAlias = Literal["auto", "cpu"]
MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A student and what changes it."""

    recipe: Recipe
    learning: LearningSet
    method: Method
    student: nn.Module
    """Bare, as it is saved."""
    accelerator: "Accelerator"
    run: RunDir
    initial: InitialWeights | None = None
    """What the encoder started from."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A learner with its loaders, ready for updates."""

    learner: Learner
    prepared: nn.Module
    """The student as accelerate wrapped it for precision and processes."""
    optimiser: Any
    """As accelerate wrapped it."""
    state: TrainingState
    train: Loader
    validation: Loader
    """May be empty."""
    num_updates: int
    num_left_out: int
    """Clips of the split that lack an input or a target, or a label where one is needed."""
    notes: tuple[str, ...]
    """What a user should know of the data; in the first process alone."""

    @property
    def num_batches(self) -> int:
        """Updates of an epoch."""
        return self.train.num_batches


def open_learner(
    store: str,
    run: str,
    recipe: Recipe,
    teachers: tuple[str, ...],
    device: Device,
    init_from: str = "",
) -> Learner:
    """Check recipe, store and run folder against each other, and the run to start from."""
    opened = Store.open(store)
    learning = choose_learning_set(opened, recipe.data, teachers, heard_sample_rate(recipe))
    full_shape(learning, recipe.data)
    method, student = build_student(recipe, learning.shape)
    learning = replace(learning, needs=method.needs(student))
    initial = read_initial_weights(init_from) if init_from else None
    if initial is not None:
        start_encoder(student, initial)
    if not RunDir(path=Path(run)).recipe_file.exists():
        # A run that has nothing to learn from must not leave a folder behind.
        examples = find_learning_examples(learning)
        train, _ = split_validation(examples, recipe.data.validation_fraction)
        fit_student_anchors(student, learning, train)
        require_boxes(learning, train)
    accelerator = start_accelerator(recipe.precision, device)
    with accelerator.main_process_first():
        folder = open_run(run, recipe, _origin(learning, initial))
    return Learner(
        recipe=recipe,
        learning=learning,
        method=method,
        student=student,
        accelerator=accelerator,
        run=folder,
        initial=initial,
    )


def prepare_session(learner: Learner) -> Session:
    """Find the clips, build loaders and optimiser, move the student to its device."""
    recipe, accelerator = learner.recipe, learner.accelerator
    examples = find_learning_examples(learner.learning)
    train, validation = _build_loaders(learner, examples)
    fit_student_anchors(learner.student, learner.learning, train.examples)
    optimiser = build_optimiser(learner.student, recipe.optimiser)
    prepared, wrapped = accelerator.prepare(learner.student, optimiser)
    return Session(
        learner=learner,
        prepared=prepared,
        optimiser=wrapped,
        state=TrainingState(
            student=learner.student,
            optimiser=optimiser,
            scaler=accelerator.scaler,
            keeps_random=recipe.seeding == "once",
        ),
        train=train,
        validation=validation,
        num_updates=count_updates(recipe.schedule, train.num_batches),
        num_left_out=count_left_out(learner.learning, examples),
        notes=_find_notes(learner, examples),
    )


def start_accelerator(precision: str, device: Device) -> "Accelerator":
    """Settle device, precision and, under torchrun, the processes."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # accelerate keeps the first precision of a process; a second run in it may have another.
    AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision=MIXED_PRECISION[precision], cpu=device == "cpu")
    if accelerator.device.type == "cuda":
        # Runs are compared to the bit on one kind of machine; autotuning picks by the clock.
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
    return accelerator


def build_optimiser(student: nn.Module, config: OptimiserConfig) -> Optimizer:
    """The recipe's, over all parameters; the learning rate is set before each update."""
    if config.name == "sgd":
        return torch.optim.SGD(
            student.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(
        student.parameters(),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
    )


def _origin(learning: LearningSet, initial: InitialWeights | None) -> dict[str, object]:
    """What must not change while a run goes on; of other weights only where there are some."""
    origin = learning.origin()
    return origin if initial is None else {**origin, "initialised_from": initial.describe()}


def _find_notes(learner: Learner, examples: Examples) -> tuple[str, ...]:
    if not learner.accelerator.is_main_process:
        return ()
    notes = find_notes(learner.learning, learner.student, examples)
    if learner.initial is not None:
        notes += note_initial(learner.student, learner.recipe, learner.initial)
    keep_notes(learner.run, notes)
    return notes


def _build_loaders(learner: Learner, everything: Examples) -> tuple[Loader, Loader]:
    data, accelerator = learner.recipe.data, learner.accelerator
    learning = learner.learning
    train, validation = split_validation(everything, data.validation_fraction)
    if not len(train):
        raise InvalidValueError(
            f"all {len(everything)} clips are held out for validation; set "
            "data.validation_fraction=0 or extract more recordings"
        )
    loaders = [
        Loader(
            examples=examples,
            reader=build_reader(learning, examples),
            flat=find_flat(learning.store),
            frames_per_step=learning.frames_per_step,
            labels=read_labels(learning, examples),
            shape=full_shape(learning, data),
            order=BatchOrder(
                batch_size=data.batch_size,
                block_rows=data.block_rows,
                buffer_rows=data.buffer_rows,
                seed=learner.recipe.seed,
                rank=accelerator.process_index,
                num_ranks=accelerator.num_processes,
            ),
        )
        for examples in (train, validation)
    ]
    return loaders[0], loaders[1]
