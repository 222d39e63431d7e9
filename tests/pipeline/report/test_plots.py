from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from avkd.pipeline.report.content import ConfusionMatrix, LossCurve, ProbeResult
from avkd.pipeline.report.plots import (
    DARK,
    KNOWN_SERIES,
    LIGHT,
    confusion_plot,
    loss_plot,
    running_mean,
)
from avkd.pipeline.report.probe_plot import probe_plot


def pixels(uri):
    data = b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(BytesIO(data)).convert("RGBA"))


def has_colour(picture, colour):
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return bool((picture == [*wanted, 255]).all(axis=-1).any())


def test_each_theme_draws_each_series_in_its_own_colour():
    names = KNOWN_SERIES[:4]
    plot = probe_plot([ProbeResult(name=name, accuracies=(0.5,)) for name in names], None)
    for theme, uri in ((LIGHT, plot.light), (DARK, plot.dark)):
        picture = pixels(uri)
        assert all(has_colour(picture, colour) for colour in theme.series[:4])


def test_series_of_other_names_never_share_a_colour_with_known_ones():
    names = ("distilled", "scratch", "scratch_softmax", "teacher", "mine")
    plot = probe_plot([ProbeResult(name=name, accuracies=(0.5,)) for name in names], None)
    picture = pixels(plot.light)
    assert sum(has_colour(picture, colour) for colour in LIGHT.series) == len(names)


def test_bars_are_as_high_as_their_means():
    def height(accuracy):
        plot = probe_plot([ProbeResult(name="distilled", accuracies=(accuracy,))], None)
        blue = [int(LIGHT.series[0][place : place + 2], 16) for place in (1, 3, 5)]
        rows = (pixels(plot.light)[..., :3] == blue).all(axis=-1).sum(axis=1)
        return int((rows > rows.max() / 2).sum())

    assert height(0.8) / height(0.4) == pytest.approx(2.0, rel=0.05)


def test_the_text_of_a_probe_plot_tells_the_numbers():
    probes = [
        ProbeResult(name="distilled", accuracies=(0.5, 0.6), labels_per_class=1),
        ProbeResult(name="mfcc", accuracies=(0.25,)),
    ]
    alt = probe_plot(probes, 0.1).alt
    assert "distilled, 1 label a class: 55.0 percent" in alt
    assert "mfcc, all labels: 25.0 percent" in alt


def test_the_same_content_gives_the_same_bytes():
    curves = [LossCurve(name="distilled", updates=(1, 2), losses=(2.0, 1.0))]
    assert loss_plot(curves) == loss_plot(curves)


def test_a_loss_plot_tells_where_the_curves_end():
    curve = LossCurve(name="seed 3", updates=(1, 2), losses=(2.0, 1.25))
    assert "seed 3 ends at 1.25" in loss_plot([curve]).alt


def test_the_running_mean_keeps_a_straight_line():
    line = np.linspace(5.0, 1.0, 101)
    np.testing.assert_allclose(running_mean(line), line)


def test_the_running_mean_calms_noise_and_keeps_the_length():
    noise = np.random.default_rng(0).normal(size=400)
    calm = running_mean(noise)
    assert calm.shape == noise.shape
    assert calm.std() < noise.std() / 2


def test_a_confusion_plot_counts_what_is_right():
    matrix = ConfusionMatrix(class_names=("a", "b"), counts=np.array([[3, 1], [0, 4]]))
    plot = confusion_plot(matrix)
    assert "7 of 8 right" in plot.alt
    assert has_colour(pixels(plot.light), LIGHT.high)


def test_a_class_that_never_comes_leaves_an_empty_row():
    matrix = ConfusionMatrix(class_names=("a", "b"), counts=np.array([[3, 1], [0, 0]]))
    assert "3 of 4 right" in confusion_plot(matrix).alt
