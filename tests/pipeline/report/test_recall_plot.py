from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from avkd.errors import InvalidValueError
from avkd.pipeline.report.content import PrecisionRecall
from avkd.pipeline.report.plots import DARK, LIGHT
from avkd.pipeline.report.recall_plot import recall_plot


def curve(name, group="all", precision=0.8, is_teacher=False):
    return PrecisionRecall(
        name=name, group=group, precisions=(precision,) * 101, is_teacher=is_teacher
    )


def amount(uri, colour):
    """Pixels of exactly this colour."""
    data = b64decode(uri.removeprefix("data:image/png;base64,"))
    picture = np.asarray(Image.open(BytesIO(data)).convert("RGBA"))
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((picture == [*wanted, 255]).all(axis=-1).sum())


def test_students_have_their_colours_in_both_themes_and_teachers_are_dashed():
    plot = recall_plot([curve("ear"), curve("teacher rgb", precision=0.4, is_teacher=True)])
    for theme, uri in ((LIGHT, plot.light), (DARK, plot.dark)):
        student, teacher = (amount(uri, colour) for colour in theme.series[:2])
        assert 0.5 * student < teacher < 0.9 * student


def test_every_group_has_a_panel():
    alone = recall_plot([curve("ear")])
    groups = ["all", *(f"light={name}" for name in ("day", "dusk", "night", "rain"))]
    several = recall_plot([curve("ear", group) for group in groups])
    widths, heights = zip(*(size_of(plot.light) for plot in (alone, several)), strict=True)
    assert widths[1] > widths[0]
    assert heights[1] > heights[0]
    assert "all recordings: ear 0.800; of light: day: ear 0.800" in several.alt


def size_of(uri):
    data = b64decode(uri.removeprefix("data:image/png;base64,"))
    return Image.open(BytesIO(data)).size


def test_the_text_tells_the_mean_over_seeds():
    plot = recall_plot([curve("ear", precision=0.4), curve("ear", precision=0.6), curve("mono")])
    assert plot.alt.endswith("all recordings: ear 0.500, mono 0.800.")


def test_the_same_curves_give_the_same_bytes():
    assert recall_plot([curve("ear")]) == recall_plot([curve("ear")])


@pytest.mark.parametrize("precisions", [(), (0.5,), (0.5, 1.5), (0.5, float("nan"))])
def test_what_is_no_curve_is_refused(precisions):
    with pytest.raises(InvalidValueError, match="precisions"):
        PrecisionRecall(name="ear", group="all", precisions=precisions)
