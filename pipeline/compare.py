"""Runs side by side: means over seeds, paired tests, and what the papers print.

Only numbers that were taken in one way are compared: the same split and labels, the same trials, or
the same probe.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path

from avkd.errors import UnknownNameError
from avkd.pipeline.comparison.groups import RunGroup, group_runs
from avkd.pipeline.comparison.measured import Protocol, Scored
from avkd.pipeline.comparison.pairing import Contender, PairedScores, compare_pair
from avkd.pipeline.comparison.papers import PaperTable, find_paper, find_papers
from avkd.pipeline.comparison.plot import draw_comparison
from avkd.pipeline.comparison.protocols import choose_protocol, find_evaluation
from avkd.pipeline.comparison.tables import PLOT_FILE, render_markdown
from avkd.pipeline.evaluation.rows import AGREEMENT
from avkd.pipeline.report_json import report_to_json
from avkd.pipeline.run_dir import write_text
from avkd.stages.metrics.classification import SeedSummary, summarise_seeds


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """What the runs of a group, or a stored teacher, scored."""

    name: str
    recipe: str
    """With its variant; empty of a stored teacher."""
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    values: dict[str, tuple[float, ...]]
    """By metric: one a run; NaN where it does not exist."""

    def summarise(self, metric: str) -> SeedSummary | None:
        """Mean and sd over seeds; None where a run lacks the metric."""
        values = self.values.get(metric, ())
        return summarise_seeds(values) if values and all(map(isfinite, values)) else None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Groups of runs that were evaluated in one way."""

    protocol: Protocol
    metric: str
    """That is tested and drawn."""
    metrics: tuple[str, ...]
    """That all of them have."""
    groups: tuple[GroupScores, ...]
    """The first is the baseline."""
    teachers: tuple[GroupScores, ...]
    """What stored teachers scored on the same rows."""
    pairs: tuple[PairedScores, ...]
    """Of every other group, and of every teacher, against the baseline."""
    papers: tuple[PaperTable, ...]
    notes: tuple[str, ...]

    def to_json(self) -> str:
        """Indented JSON; numbers that do not exist are null."""
        document = asdict(self)
        for place, scores in (
            *zip(document["groups"], self.groups, strict=True),
            *zip(document["teachers"], self.teachers, strict=True),
        ):
            summaries = {name: scores.summarise(name) for name in scores.values}
            place["summary"] = {n: None if s is None else asdict(s) for n, s in summaries.items()}
        return report_to_json(document)


def compare_runs(
    runs: Sequence[str], *, metric: str = "", split: str | None = None, paper: str = ""
) -> Comparison:
    """Compare runs, or folders of seeds, by their evaluations; the first is the baseline.

    ``split`` chooses among several evaluations: the split of the rows, the probe's dataset, or the
    name of the report. ``metric`` is the one to test, the evaluation's first by default. ``paper``
    names a recipe whose paper is to lie beside, in place of those of the runs' own recipes.

    Raises:
        StoreNotFoundError: There is no run somewhere.
        InvalidValueError: A run has no such evaluation, all is one run, or evaluations differ.
        UnknownNameError: No run has the metric, or there is no such paper.
    """
    groups = group_runs(runs)
    papers = find_paper(paper) if paper else find_papers([group.recipe.name for group in groups])
    protocol = choose_protocol(groups, split, metric)
    contenders = [_as_contender(group, protocol) for group in groups]
    teachers = _find_teachers(groups, protocol)
    metrics = tuple(contenders[0].scored[0].metrics)
    if metric and metric not in metrics:
        raise UnknownNameError(f"metric of {protocol}", metric, metrics)
    chosen = metric or metrics[0]
    baseline = contenders[0]
    return Comparison(
        protocol=protocol,
        metric=chosen,
        metrics=metrics,
        groups=tuple(
            _score(contender, group, metrics)
            for contender, group in zip(contenders, groups, strict=True)
        ),
        teachers=tuple(_score(teacher, None, metrics) for teacher in teachers),
        pairs=tuple(
            compare_pair(baseline, candidate, protocol, chosen)
            for candidate in (*contenders[1:], *teachers)
        ),
        papers=papers,
        notes=tuple(_find_notes(groups, protocol)),
    )


def write_comparison(comparison: Comparison, folder: str) -> tuple[str, ...]:
    """Write ``compare.md``, the plot beside it, and ``compare.json``; gives their paths.

    Raises:
        StoreUnwritableError: The folder cannot be written.
    """
    path = Path(folder)
    contents = {
        "compare.md": render_markdown(comparison),
        PLOT_FILE: draw_comparison(comparison).decode(),
        "compare.json": comparison.to_json(),
    }
    for name, text in contents.items():
        write_text(path / name, text)
    return tuple(str(path / name) for name in contents)


def _as_contender(group: RunGroup, protocol: Protocol) -> Contender:
    found = [find_evaluation(run, protocol).student for run in group.runs]
    return Contender(name=group.name, scored=tuple(found), seeds=group.seeds)


def _find_teachers(groups: Sequence[RunGroup], protocol: Protocol) -> list[Contender]:
    """Stored teachers that were scored beside the runs: each once where it is the same for all."""
    found: dict[str, list[tuple[RunGroup, int, Scored]]] = {}
    for group in groups:
        for run in group.runs:
            for name, scored in find_evaluation(run, protocol).teachers.items():
                found.setdefault(name, []).append((group, run.seed, scored))
    teachers = []
    for name, given in found.items():
        if len({_own_metrics(scored) for _, _, scored in given}) == 1:
            _, seed, scored = given[0]
            teachers.append(Contender(name=f"teacher {name}", scored=(scored,), seeds=(seed,)))
            continue
        for group_name in dict.fromkeys(group.name for group, _, _ in given):
            own = [(seed, scored) for each, seed, scored in given if each.name == group_name]
            teachers.append(
                Contender(
                    name=f"teacher {name} of {group_name}",
                    scored=tuple(scored for _, scored in own),
                    seeds=tuple(seed for seed, _ in own),
                )
            )
    return teachers


def _own_metrics(scored: Scored) -> str:
    """What does not depend on the student beside it; text, in which NaN equals NaN."""
    return repr({name: v for name, v in scored.metrics.items() if name != AGREEMENT})


def _score(side: Contender, group: RunGroup | None, metrics: Sequence[str]) -> GroupScores:
    return GroupScores(
        name=side.name,
        recipe=f"{group.recipe.name}/{group.recipe.variant}" if group else "",
        runs=tuple(run.path for run in group.runs) if group else (),
        seeds=side.seeds,
        values={name: tuple(each.metrics[name] for each in side.scored) for name in metrics},
    )


def _find_notes(groups: Sequence[RunGroup], protocol: Protocol) -> Iterator[str]:
    stores = {find_evaluation(run, protocol).store: group for group in groups for run in group.runs}
    if len(stores) > 1:
        yield f"rows are of {len(stores)} stores: {', '.join(sorted(stores))}"
    seeds = {len(group.runs) for group in groups}
    if len(seeds) > 1:
        told = ", ".join(f"{group.name} {len(group.runs)}" for group in groups)
        yield f"numbers of seeds differ: {told}"
