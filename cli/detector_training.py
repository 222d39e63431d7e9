"""How `avkd train-teacher --task detection` makes a recipe of options, and tells of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from avkd.cli.console import print_facts, print_json, print_result, show_progress
from avkd.cli.teacher_requests import parse_size, parse_stream
from avkd.cli.training_options import Device
from avkd.errors import InvalidValueError

if TYPE_CHECKING:
    from avkd.pipeline.detector_training.recipe import DetectorRecipe
    from avkd.pipeline.detector_training.training import DetectorReport, TrainingFacts


def train_detectors_and_tell(
    corpus: str,
    run: str,
    truth: str,
    options: Mapping[str, Any],
    settings: Sequence[str],
    seeds: Sequence[int],
    *,
    device: Device,
    as_json: bool,
) -> None:
    """Train a detector with each seed and print what came of it.

    Args:
        corpus: as `avkd extract-teacher` takes it.
        run: the folder.
        truth: the table of boxes.
        options: fields of the recipe's data as texts; None is the recipe's own.
        settings: of the form FIELD=VALUE.
        seeds: several go to RUN/seed-N each.
        device: where it trains.
        as_json: print for machines.

    Raises:
        InvalidValueError: there is no truth, or an option is wrong.
    """
    if not truth:
        raise InvalidValueError("no truth to learn from; give the table of boxes with --truth")
    recipe = build_recipe(options, settings)
    from avkd.pipeline.detector_training.training import DetectorRequest, train_detectors

    request = DetectorRequest(
        corpus=corpus, truth=truth, run=run, recipe=recipe, device=device.value
    )
    with show_progress() as show:
        reports = train_detectors(request, seeds, on_progress=show)
    if as_json:
        values = [asdict(report) for report in reports]
        print_json(values[0] if len(values) == 1 else {"runs": values})
        return
    for report in reports:
        _print_report(report)


def build_recipe(options: Mapping[str, Any], settings: Sequence[str]) -> "DetectorRecipe":
    """Make a recipe of options and settings; a setting wins.

    Raises:
        InvalidValueError: a value cannot be read, or is none that there may be.
    """
    from avkd.pipeline.detector_training.recipe import DetectorRecipe, with_settings

    given = {name: value for name, value in options.items() if value is not None}
    if "stream" in given:
        given["stream"], given["value_range"] = parse_stream(given["stream"])
    if "picture_size" in given:
        given["picture_size"] = parse_size("--picture-size", given["picture_size"])
    if "classes" in given:
        given["classes"] = tuple(given["classes"])
    plain = DetectorRecipe()
    return with_settings(replace(plain, data=replace(plain.data, **given)), settings)


def _print_report(report: "DetectorReport") -> None:
    if report.was_finished:
        print_result("nothing to do: the run is finished")
    facts = report.facts
    told: dict[str, object] = {
        "run": report.run,
        "stream": report.stream,
        "classes": ", ".join(_say_class(name, kinds) for name, kinds in facts.kinds.items()),
        "recordings": _say_recordings(facts, report.stream),
        "pictures": _say_pictures(facts),
        "boxes": f"{facts.num_boxes} to find, {facts.num_ignored_boxes} ignored",
        "updates": facts.num_updates,
    }
    if report.first_update:
        told["went on from update"] = report.first_update
    if facts.loss is not None:
        told["loss"] = f"{facts.loss:.4f}"
    for group, scores in facts.scores.items():
        if scores["ap50"] is not None:
            told[f"AP@0.5 held out, {group}"] = (
                f"{scores['ap50']:.3f} of {scores['num_boxes']} boxes"
            )
    if not facts.scores:
        told["AP@0.5 held out"] = "no recording was held out"
    print_facts(told)


def _say_class(name: str, kinds: Sequence[str]) -> str:
    return name if tuple(kinds) in ((name,), ("",)) else f"{name} ({', '.join(kinds)})"


def _say_recordings(facts: "TrainingFacts", stream: str) -> str:
    return (
        f"{facts.num_recordings} learned from, {facts.num_held_out_recordings} held out, "
        f"{facts.num_without_truth} without truth, {facts.num_without_stream} without {stream}"
    )


def _say_pictures(facts: "TrainingFacts") -> str:
    thinned = f", 1 of {facts.every} taken" if facts.every > 1 else ""
    return (
        f"{facts.num_pictures} learned from ({facts.num_pictures_without_row} without a row), "
        f"{facts.num_held_out_pictures} held out, {facts.num_failed_pictures} not decoded{thinned}"
    )
