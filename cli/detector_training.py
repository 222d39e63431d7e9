"""How `avkd train-teacher --task detection` makes a recipe of options, and tells of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from avkd.cli.console import print_facts, print_result
from avkd.cli.picture_training import (
    read_options,
    require_truth,
    say_class,
    say_pictures,
    say_recordings,
    train_and_print,
)
from avkd.cli.training_options import Device

if TYPE_CHECKING:
    from avkd.pipeline.detector_training.recipe import DetectorRecipe
    from avkd.pipeline.detector_training.training import DetectorReport


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
    require_truth(truth, "boxes")
    recipe = build_recipe(options, settings)
    from avkd.pipeline.detector_training.training import DetectorRequest, train_detectors

    request = DetectorRequest(
        corpus=corpus, truth=truth, run=run, recipe=recipe, device=device.value
    )
    train_and_print(
        lambda show: train_detectors(request, seeds, on_progress=show),
        _print_report,
        as_json=as_json,
    )


def build_recipe(options: Mapping[str, Any], settings: Sequence[str]) -> "DetectorRecipe":
    """Make a recipe of options and settings; a setting wins.

    Raises:
        InvalidValueError: a value cannot be read, or is none that there may be.
    """
    from avkd.pipeline.detector_training.recipe import DetectorRecipe
    from avkd.pipeline.picture_training.recipe_values import with_settings

    plain = DetectorRecipe()
    data = replace(plain.data, **read_options(options))
    return with_settings(replace(plain, data=data), settings)


def _print_report(report: "DetectorReport") -> None:
    if report.was_finished:
        print_result("nothing to do: the run is finished")
    facts = report.facts
    told: dict[str, object] = {
        "run": report.run,
        "stream": report.stream,
        "classes": ", ".join(say_class(name, kinds) for name, kinds in facts.kinds.items()),
        "recordings": say_recordings(facts, report.stream),
        "pictures": say_pictures(
            facts,
            f"{facts.num_pictures} learned from ({facts.num_pictures_without_row} without a row)",
        ),
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
