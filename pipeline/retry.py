"""Failed clips tried once more, by the teachers and inputs that the store knows of.

A store keeps how each teacher was asked for when it was declared first, so that its own words are
enough to ask again. Where they are not (the store is of an older avkd, or a file has moved), clips
are planned alone, and the command that made the store goes on with them as with all that is
missing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.pictures import StoredClassMaps
from avkd.pipeline.extraction.planning import make_forecast, plan_extraction, write_plan
from avkd.pipeline.extraction.request import ExtractForecast, ExtractRequest
from avkd.pipeline.extraction.retrying import FAILED_STATUSES as FAILED_STATUSES
from avkd.pipeline.extraction.worker import closing_worker
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import IS_TRUTH
from avkd.storage.schema import ProducerSpec
from avkd.storage.store import Store


def ask_again(
    url: str, statuses: Sequence[str], *, trusted: Sequence[str] = (), **choices: Any
) -> ExtractRequest:
    """Make the request of a retry: all that the store holds, over its own recordings.

    Args:
        url: of the store.
        statuses: of the clips to plan again.
        trusted: teachers whose files may run code while they are loaded; nobody stores that.
        choices: more fields of the request, such as ``executor``.

    Raises:
        InvalidValueError: the store does not say how a teacher was asked for.
    """
    specs = Store.open(url).producers()
    teachers, truths = [], []
    for spec in specs.values():
        if spec.kind == "teacher" and spec.outputs[0].attributes.get(IS_TRUTH):
            truths.append(_class_maps(spec))
        elif spec.kind == "teacher":
            teachers.append(_ask_teacher(spec, url, is_trusted=spec.name in trusted))
    return ExtractRequest(
        corpus=url,
        store=url,
        teachers=tuple(teachers),
        class_maps=tuple(truths),
        retry_statuses=tuple(statuses),
        **choices,
    )


def plan_retry(
    url: str,
    statuses: Sequence[str],
    *,
    dry_run: bool = False,
    on_recording: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> ExtractForecast:
    """Plan failed clips again, or only count them, and compute nothing: no teacher is needed."""
    request = ExtractRequest(corpus=url, store=url, retry_statuses=tuple(statuses))
    with closing_worker():
        plan = plan_extraction(request, on_recording=on_recording)
    forecast = make_forecast(plan)
    if not dry_run:
        write_plan(plan)
    return forecast


def _ask_teacher(spec: ProducerSpec, url: str, *, is_trusted: bool) -> TeacherRequest:
    asked = spec.about.get("request")
    way_out = (
        f"plan its clips with `avkd retry {url} --failed --plan-only`, then run the avkd "
        "extract-teacher command that made the store"
    )
    if not isinstance(asked, Mapping):
        raise InvalidValueError(
            f"{url} does not say how teacher {spec.name!r} was asked for; {way_out}"
        )
    try:
        request = TeacherRequest(**{**asked, "is_trusted": is_trusted})
    except TypeError:
        raise InvalidValueError(
            f"teacher {spec.name!r} of {url} was asked for in words of another avkd; {way_out}"
        ) from None
    for place in (request.family, request.weights, request.classes):
        if Path(place).is_absolute() and not Path(place).exists():
            raise InvalidValueError(
                f"teacher {spec.name!r} needs {place}, which is gone; {way_out}"
            )
    return request


def _class_maps(spec: ProducerSpec) -> StoredClassMaps:
    fields: Mapping[str, Any] = spec.fingerprint
    return StoredClassMaps(
        name=spec.name, stream=fields["stream"], size=(fields["width"], fields["height"])
    )
