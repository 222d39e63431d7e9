"""A report as one HTML page that needs nothing beside it."""

from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from avkd.errors import StoreUnwritableError
from avkd.pipeline.report import numbers
from avkd.pipeline.report.content import ReportContent
from avkd.pipeline.report.plots import confusion_plot, loss_plot
from avkd.pipeline.report.probe_plot import probe_plot
from avkd.pipeline.report.recall_plot import recall_plot
from avkd.pipeline.report.thumbnails import STILL_PIXELS, data_uri, thumbnail_uri

TEMPLATE = "report.html.jinja"


def build_report(content: ReportContent) -> str:
    """Render the page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(_filters())
    source = files(__package__ or "avkd.pipeline.report").joinpath(TEMPLATE).read_text("utf-8")
    return environment.from_string(source).render(
        content=content,
        plots=_plots(content),
        made_on=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
    )


def write_report(content: ReportContent, path: str) -> str:
    """Write the page to ``path`` and give its absolute path."""
    target = Path(path).absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(build_report(content), encoding="utf-8")
    except OSError as error:
        raise StoreUnwritableError(
            f"cannot write the report to {target}: {error.strerror or error}; choose another --out"
        ) from error
    return str(target)


def _plots(content: ReportContent) -> Mapping[str, object]:
    return {
        "probes": probe_plot(content.probes, content.chance) if content.probes else None,
        "losses": loss_plot(content.losses) if content.losses else None,
        "confusion": confusion_plot(content.confusion) if content.confusion else None,
        "recalls": [
            recall_plot(each.curves) if each.curves else None
            for each in (content.boxes.evaluations if content.boxes else ())
        ],
    }


def _filters() -> Mapping[str, object]:
    return {
        "percent": numbers.percent,
        "count": numbers.count,
        "counted": numbers.counted,
        "size": numbers.size,
        "duration": numbers.duration,
        "instant": numbers.instant,
        "shape": numbers.shape,
        "labels": numbers.labels,
        "sentence": numbers.sentence,
        "thumbnail": thumbnail_uri,
        "still": lambda picture: thumbnail_uri(picture, STILL_PIXELS),
        "video": lambda data: data_uri(data, "video/mp4"),
        "unbroken": lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%"),
    }
