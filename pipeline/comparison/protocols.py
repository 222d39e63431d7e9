"""Which evaluations of runs may stand in one table: those that were taken in one way."""

from collections.abc import Sequence

from avkd.errors import InvalidValueError
from avkd.pipeline.comparison.groups import RunGroup
from avkd.pipeline.comparison.measured import Evaluation, MeasuredRun, Protocol


def find_evaluation(run: MeasuredRun, protocol: Protocol) -> Evaluation:
    """The run's report that was taken in that way."""
    return next(each for each in run.evaluations if each.protocol == protocol)


def choose_protocol(groups: Sequence[RunGroup], split: str | None, metric: str) -> Protocol:
    """The one way in which all runs were evaluated.

    ``split`` chooses among several: a split, a probe's dataset or the name of a report. So does
    ``metric``, where only one has it.

    Raises:
        InvalidValueError: A run has no such evaluation, or there is none or several in common.
    """
    runs = [run for group in groups for run in group.runs]
    offered = [
        {
            e.protocol: e
            for e in run.evaluations
            if split is None or split in (e.protocol.data, e.name)
        }
        for run in runs
    ]
    for run, offers in zip(runs, offered, strict=True):
        if not offers:
            others = "; ".join(str(each.protocol) for each in run.evaluations)
            raise InvalidValueError(
                f"{run.path} has no evaluation of split {split!r} (it has: {others}); make one "
                f"with avkd evaluate {run.path} STORE --split {split}"
            )
    common = [each for each in offered[0] if all(each in offers for offers in offered)]
    if not common:
        raise InvalidValueError(_explain_mixture(runs, offered))
    fitting = [p for p in common if not metric or metric in offered[0][p].student.metrics] or common
    if len(fitting) > 1:
        listed = "; ".join(f"{offered[0][each].name} is {each}" for each in fitting)
        raise InvalidValueError(
            f"the runs were evaluated in {len(fitting)} ways ({listed}); choose by --split NAME"
        )
    return fitting[0]


def _explain_mixture(
    runs: Sequence[MeasuredRun], offered: Sequence[dict[Protocol, Evaluation]]
) -> str:
    """Name two runs that have nothing in common, or the first that breaks it."""
    first = offered[0]
    for run, offers in zip(runs, offered, strict=True):
        if not first.keys() & offers.keys():
            one, other = ("; ".join(map(str, each)) for each in (first, offers))
            return (
                f"{runs[0].path} was evaluated on {one} but {run.path} on {other}: these do not "
                "compare; evaluate both in one way"
            )
    return (
        "no evaluation is common to all runs, though any two have one; "
        "evaluate all of them in one way"
    )
