"""Training a student from a store: recipe to batches to updates to checkpoints to the student."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isfinite
from typing import Any, TypeAlias

import numpy as np
import torch

from avkd.errors import InterruptedRunError, InvalidValueError, TooManyFailuresError
from avkd.pipeline.recipe import Recipe
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.signals import StopRequest, watch_signals
from avkd.pipeline.training.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from avkd.pipeline.training.initial_weights import choose_initial_runs
from avkd.pipeline.training.metrics_log import MetricsLog, open_metrics, read_metrics
from avkd.pipeline.training.notes import read_notes
from avkd.pipeline.training.schedule import learning_rate
from avkd.pipeline.training.session import Device, Session, open_learner, prepare_session
from avkd.pipeline.training.students import save_student
from avkd.pipeline.training.validation import LossMeans
from avkd.stages.methods.batch import Batch


@dataclass(frozen=True, kw_only=True)
class TrainEvent:
    """How far a training run is."""

    update: int
    """Updates done, earlier sessions of the run included."""
    num_updates: int
    epoch: int
    loss: float
    samples_per_second: float
    """Of this session."""
    validation_loss: float | None = None
    """The latest one."""


OnProgress: TypeAlias = Callable[[TrainEvent], None]
OnNote: TypeAlias = Callable[[str], None]
"""Told, before the first update, what a user should know of the data."""


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a training run did."""

    run: str
    teachers: tuple[str, ...]
    num_updates: int
    first_update: int
    """Where this session began: above 0 when it went on from a checkpoint."""
    num_clips: int
    """That were learned from; 0 when nothing was done."""
    num_validation_clips: int
    num_left_out: int
    """Clips of the split without a label, or not whole for all that is learned from."""
    loss: float | None
    """Of the last update."""
    validation_loss: float | None
    seconds: float
    was_finished: bool
    """The run was finished before; nothing was done."""
    notes: tuple[str, ...] = ()
    """What a user should know of the data; in the run's ``notes.txt`` as well."""


def train_student(
    store: str,
    run: str,
    recipe: Recipe,
    *,
    teachers: tuple[str, ...] = (),
    init_from: str = "",
    device: Device = "auto",
    on_progress: OnProgress = lambda event: None,
    on_note: OnNote = lambda note: None,
) -> TrainReport:
    """Train the recipe's student, or go on where an earlier session stopped.

    ``teachers`` are names in the store; none means all of them. ``init_from`` is a finished run
    whose encoder is the student's first. On a CPU, a run that was interrupted ends with the same
    losses and weights, bit for bit, as one that was not, if both had as many threads.

    Raises:
        InvalidValueError: The recipe does not fit the store, the encoder is another than that of
            ``init_from``, or the folder holds another run.
        StoreNotFoundError: There is no store, or ``init_from`` is no finished run.
        InterruptedRunError: A signal came; a checkpoint was written.
        TooManyFailuresError: Not one clip of a batch could be decoded.
    """
    started = time.monotonic()
    learner = open_learner(store, run, recipe, teachers, device, init_from)
    if learner.run.is_finished:
        report = _report(run, learner.run, learner.learning.teachers, started=started)
        _tell(report.notes, on_note)
        return report
    session = prepare_session(learner)
    _tell(session.notes, on_note)
    first_update = load_checkpoint(learner.run.checkpoints, session.state)
    with (
        watch_signals() as stop,
        _open_log(session, first_update) as log,
        closing(_run_updates(session, first_update, stop, log)) as events,
    ):
        for event in events:
            on_progress(event)
    if learner.accelerator.is_main_process:
        learning = learner.learning
        save_student(
            learner.run,
            learner.student,
            learning.shape,
            learning.needs.labels,
            initialised_from=learner.initial.describe() if learner.initial else None,
        )
        remove_checkpoints(learner.run.checkpoints)
    learner.accelerator.wait_for_everyone()
    return _report(
        run,
        learner.run,
        learner.learning.teachers,
        started=started,
        first_update=first_update,
        session=session,
    )


def train_seeds(
    store: str,
    run: str,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    teachers: tuple[str, ...] = (),
    init_from: str = "",
    device: Device = "auto",
    on_progress: Callable[[int, TrainEvent], None] = lambda seed, event: None,
    on_note: OnNote = lambda note: None,
) -> tuple[TrainReport, ...]:
    """Train the recipe with each seed, one after the other; several go to ``RUN/seed-N``.

    No seed is the recipe's own. ``init_from`` is a finished run, or a folder of seeds, of which
    each seed starts from its own. Raises what ``train_student`` raises.
    """
    chosen = tuple(dict.fromkeys(seeds)) or (recipe.seed,)
    firsts = choose_initial_runs(init_from, chosen)
    return tuple(
        train_student(
            store,
            run if len(chosen) == 1 else f"{run}/seed-{seed}",
            replace(recipe, seed=seed),
            teachers=teachers,
            init_from=first,
            device=device,
            on_progress=partial(on_progress, seed),
            on_note=on_note,
        )
        for seed, first in zip(chosen, firsts, strict=True)
    )


def _tell(notes: Sequence[str], on_note: OnNote) -> None:
    for note in notes:
        on_note(note)


def _run_updates(
    session: Session, first_update: int, stop: StopRequest, log: MetricsLog | None
) -> Generator[TrainEvent, None, None]:
    """Do what is left of the run, telling of every update after it is on record."""
    update, num_clips, validation_loss = first_update, 0, None
    started = time.monotonic()
    with closing(_batches_from(session, first_update)) as batches:
        for batch in batches:
            record = _update(session, batch, update)
            update += 1
            num_clips += len(batch.clip_ids) * session.learner.accelerator.num_processes
            _write(log, record)
            if update == session.num_updates or update % session.num_batches == 0:
                validation_loss = _validate(session, update, log)
            _keep(session, update, stop, log)
            yield TrainEvent(
                update=update,
                num_updates=session.num_updates,
                epoch=update // session.num_batches,
                loss=record["loss"],
                samples_per_second=num_clips / max(time.monotonic() - started, 1e-9),
                validation_loss=validation_loss,
            )


def _batches_from(session: Session, update: int) -> Generator[Batch, None, None]:
    """The batches of the updates from one on."""
    while update < session.num_updates:
        epoch, first_batch = divmod(update, session.num_batches)
        with closing(session.train.batches(epoch, first_batch)) as batches:
            for batch in batches:
                if update == session.num_updates:
                    return
                if batch is None:
                    raise TooManyFailuresError(
                        f"no sound of a whole batch could be decoded (update {update + 1}); "
                        "are the recordings still where the store says?"
                    )
                yield batch
                update += 1


def _update(session: Session, batch: Batch, update: int) -> dict[str, Any]:
    """One step of the optimiser, and its line of the log."""
    started = time.monotonic()
    learner, optimiser = session.learner, session.optimiser
    recipe, accelerator = learner.recipe, learner.accelerator
    rate = learning_rate(update, session.num_updates, recipe.schedule, recipe.optimiser)
    for group in session.state.optimiser.param_groups:
        group["lr"] = rate
    if recipe.seeding == "per_update":
        _seed_update(recipe.seed, update, accelerator.process_index)
    session.prepared.train()
    loss = learner.method.loss(session.prepared, batch.to(accelerator.device))
    total = float(loss.total.detach())
    _require_finite(total, update)
    accelerator.backward(loss.total)
    norm = accelerator.clip_grad_norm_(
        session.prepared.parameters(), recipe.optimiser.max_grad_norm or inf
    )
    optimiser.step()
    optimiser.zero_grad()
    return {
        "update": update + 1,
        "epoch": update // session.num_batches,
        "loss": total,
        "parts": {name: float(value) for name, value in loss.parts.items()},
        "learning_rate": rate,
        "grad_norm": float(norm),
        "num_clips": len(batch.clip_ids),
        "seconds": time.monotonic() - started,
    }


def _seed_update(seed: int, update: int, rank: int) -> None:
    """Fresh random numbers for each update: no state to keep, none that depends on the past."""
    state = np.random.SeedSequence([seed, update, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


def _require_finite(loss: float, update: int) -> None:
    if not isfinite(loss):
        raise InvalidValueError(
            f"the loss is {loss} at update {update + 1}; lower optimiser.learning_rate, "
            "set optimiser.max_grad_norm, or take precision=float32"
        )


def _validate(session: Session, update: int, log: MetricsLog | None) -> float | None:
    """The mean loss of the held-out clips, computed by the first process.

    Each part is the mean over the clips that have it, as labels.
    """
    if log is None or not len(session.validation.examples):
        return None
    learner = session.learner
    learner.student.eval()
    means = LossMeans()
    with torch.no_grad(), closing(session.validation.all_in_order()) as batches:
        for batch in batches:
            if batch is not None:
                loss = learner.method.loss(learner.student, batch.to(learner.accelerator.device))
                means.add(loss, len(batch.clip_ids))
    if not means.num_clips:
        return None
    _write(
        log,
        {
            "update": update,
            "epoch": (update - 1) // session.num_batches,
            "validation_loss": means.total,
            "validation_parts": means.parts,
        },
    )
    return means.total


def _keep(session: Session, update: int, stop: StopRequest, log: MetricsLog | None) -> None:
    """Write a checkpoint where one is due, or where a signal asks to stop."""
    is_stopping = _any_process(session, stop.received)
    if update == session.num_updates:
        return
    if is_stopping or update % session.learner.recipe.schedule.checkpoint_updates == 0:
        if log is not None:
            log.flush()
            save_checkpoint(session.learner.run.checkpoints, update, session.state)
        session.learner.accelerator.wait_for_everyone()
    if is_stopping:
        raise InterruptedRunError(
            f"stopped by a signal after update {update} of {session.num_updates}; "
            "the same command goes on from there"
        )


def _any_process(session: Session, flag: bool) -> bool:
    accelerator = session.learner.accelerator
    if accelerator.num_processes == 1:
        return flag
    flags = accelerator.gather(torch.tensor([int(flag)], device=accelerator.device))
    return bool(flags.any())


@contextmanager
def _open_log(session: Session, first_update: int) -> Iterator[MetricsLog | None]:
    """The log, for the first process only."""
    if not session.learner.accelerator.is_main_process:
        yield None
        return
    with open_metrics(session.learner.run, first_update) as log:
        yield log


def _write(log: MetricsLog | None, record: dict[str, Any]) -> None:
    if log is not None:
        log.write(record)


def _report(
    run: str,
    folder: RunDir,
    teachers: tuple[str, ...],
    *,
    started: float,
    first_update: int = 0,
    session: Session | None = None,
) -> TrainReport:
    records = read_metrics(folder.metrics_file)
    losses = [record for record in records if "loss" in record]
    validations = [r["validation_loss"] for r in records if "validation_loss" in r]
    return TrainReport(
        run=run,
        teachers=teachers,
        num_updates=losses[-1]["update"] if losses else 0,
        first_update=first_update,
        num_clips=len(session.train.examples) if session else 0,
        num_validation_clips=len(session.validation.examples) if session else 0,
        num_left_out=session.num_left_out if session else 0,
        loss=losses[-1]["loss"] if losses else None,
        validation_loss=validations[-1] if validations else None,
        seconds=time.monotonic() - started,
        was_finished=session is None,
        notes=session.notes if session else read_notes(folder),
    )
