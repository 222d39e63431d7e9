"""How trainings from pictures run: which recordings, which device, which seeds, when to stop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import torch
from torch import nn

from avkd.errors import CorpusError, InterruptedRunError
from avkd.pipeline.signals import StopRequest
from avkd.storage.schema import Recording

Device: TypeAlias = Literal["auto", "cpu"]
OnProgress: TypeAlias = Callable[[str, int, int, str], None]
"""Told what is done, how much of it, of how much, and a remark."""

Network = TypeVar("Network", bound=nn.Module)
Recipe = TypeVar("Recipe")
Facts = TypeVar("Facts")
Report = TypeVar("Report")


@dataclass(frozen=True, kw_only=True)
class TrainingRequest(Generic[Recipe]):
    """One training; equal requests are the same run."""

    corpus: str
    """Folder, glob, table or URL (storage/corpus.py)."""
    truth: str
    """Table of what is true of the pictures."""
    run: str
    """Folder, new or to go on with."""
    recipe: Recipe
    device: Device = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainingReport(Generic[Facts]):
    """What a training did."""

    run: str
    stream: str
    class_names: tuple[str, ...]
    facts: Facts
    first_update: int
    """Where this session began: above 0 when it went on from a checkpoint."""
    seconds: float
    was_finished: bool
    """The run was finished before; nothing was done."""


def choose_recordings(
    source: str, recordings: Sequence[Recording], split: str | None
) -> tuple[Recording, ...]:
    """Give the recordings of a split, or all.

    Raises:
        CorpusError: there is none.
    """
    if split is None:
        return tuple(recordings)
    chosen = tuple(each for each in recordings if each.metadata.get("split") == split)
    if not chosen:
        splits = sorted({str(each.metadata.get("split")) for each in recordings})
        raise CorpusError(
            f"{source} has no recording of split {split!r}; its column split has "
            f"{', '.join(splits)}"
        )
    return chosen


def stoppable(stop: StopRequest, on_progress: OnProgress) -> OnProgress:
    """End the run where it has nothing to keep yet."""

    def tell(what: str, done: int, total: int, remark: str) -> None:
        on_progress(what, done, total, remark)
        if stop.received:
            raise InterruptedRunError(
                f"stopped by a signal at picture {done} of {total}; the same command begins again"
            )

    return tell


def find_device(asked: Device) -> torch.device:
    """Give the device to train on."""
    has_cuda = asked == "auto" and torch.cuda.is_available()
    return torch.device("cuda" if has_cuda else "cpu")


def build_seeded(seed: int, build: Callable[[], Network]) -> Network:
    """Build with first weights of that seed; the process's own random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def train_each(
    request: TrainingRequest[Any],
    seeds: Sequence[int],
    train: Callable[[TrainingRequest[Any]], Report],
) -> tuple[Report, ...]:
    """Train with each seed, one after the other; several go to ``RUN/seed-N``.

    No seed is the recipe's own.
    """
    chosen = tuple(dict.fromkeys(seeds)) or (request.recipe.seed,)
    return tuple(
        train(
            replace(
                request,
                run=request.run if len(chosen) == 1 else f"{request.run}/seed-{seed}",
                recipe=replace(request.recipe, seed=seed),
            )
        )
        for seed in chosen
    )
