"""What `avkd train-teacher` shares among the tasks that learn from pictures of a corpus."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

from avkd.cli.console import print_json, show_progress
from avkd.cli.teacher_requests import parse_size, parse_stream
from avkd.errors import InvalidValueError

if TYPE_CHECKING:
    from avkd.pipeline.detector_training.training import TrainingFacts
    from avkd.pipeline.picture_training.running import OnProgress
    from avkd.pipeline.segmenter_training.training import SegmenterFacts

PictureFacts: TypeAlias = "TrainingFacts | SegmenterFacts"


def read_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give fields of a recipe's data for options as texts; None is the recipe's own.

    Raises:
        InvalidValueError: a value cannot be read.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "stream" in given:
        given["stream"], given["value_range"] = parse_stream(given["stream"])
    if "picture_size" in given:
        given["picture_size"] = parse_size("--picture-size", given["picture_size"])
    if "classes" in given:
        given["classes"] = tuple(given["classes"])
    return given


def require_truth(truth: str, what: str) -> None:
    """Refuse to learn from nothing.

    Raises:
        InvalidValueError: there is no table.
    """
    if not truth:
        raise InvalidValueError(f"no truth to learn from; give the table of {what} with --truth")


def train_and_print(
    train: "Callable[[OnProgress], Sequence[Any]]",
    print_report: Callable[[Any], None],
    *,
    as_json: bool,
) -> None:
    """Train, and print each report; for machines one as it is, several as ``runs``."""
    with show_progress() as show:
        reports = train(show)
    if as_json:
        values = [asdict(report) for report in reports]
        print_json(values[0] if len(values) == 1 else {"runs": values})
        return
    for report in reports:
        print_report(report)


def say_class(name: str, kinds: Sequence[str]) -> str:
    """A class, and what of the truth it stands for where that has other names."""
    return name if tuple(kinds) in ((name,), ("",)) else f"{name} ({', '.join(kinds)})"


def say_recordings(facts: PictureFacts, stream: str) -> str:
    """How many recordings there are of what use."""
    return (
        f"{facts.num_recordings} learned from, {facts.num_held_out_recordings} held out, "
        f"{facts.num_without_truth} without truth, {facts.num_without_stream} without {stream}"
    )


def say_pictures(facts: PictureFacts, learned: str) -> str:
    """How many pictures there are of what use; ``learned`` says those that are learned from."""
    thinned = f", 1 of {facts.every} taken" if facts.every > 1 else ""
    return (
        f"{learned}, {facts.num_held_out_pictures} held out, {facts.num_failed_pictures} not "
        f"decoded{thinned}"
    )
