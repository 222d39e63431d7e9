import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.stages.simulation.drawing import (
    CANVAS_UNITS,
    Canvas,
    Paint,
    arc_points,
    ball,
    gradient,
    shade,
    smooth_points,
    vary,
)


def test_a_drawn_rectangle_covers_its_box_and_nothing_else() -> None:
    canvas = Canvas()
    canvas.rectangle((40, 60, 120, 200), (10, 200, 30))
    alpha = np.asarray(canvas.finish().getchannel("A"))
    assert alpha[61:199, 41:119].min() == 255
    assert alpha[:59].max() == 0
    assert alpha[:, 123:].max() == 0


def test_edges_are_smoothed_by_supersampling() -> None:
    canvas = Canvas()
    canvas.ellipse((20, 20, 236, 236), (255, 0, 0))
    alpha = np.asarray(canvas.finish().getchannel("A"))
    partial = ((alpha > 0) & (alpha < 255)).sum()
    assert 100 < partial < 3_000
    assert abs((alpha / 255).sum() / (np.pi * 108**2) - 1) < 0.02


def test_a_rounded_corner_is_left_out() -> None:
    canvas = Canvas()
    canvas.rectangle((20, 20, 220, 220), (0, 0, 0), radius=40)
    alpha = np.asarray(canvas.finish().getchannel("A"))
    assert alpha[24, 24] == 0
    assert alpha[120, 22] == 255
    assert alpha[22, 120] == 255


def test_a_ball_is_lighter_in_the_middle_than_at_its_rim() -> None:
    canvas = Canvas()
    canvas.ellipse((28, 28, 228, 228), ball((120, 120, 120)))
    pixels = np.asarray(canvas.finish(relief=0).convert("L"), dtype=int)
    assert pixels[128, 128] > pixels[128, 80] > pixels[128, 34]


def test_relief_darkens_the_lower_right_edge() -> None:
    def drawn(relief: float) -> np.ndarray:
        canvas = Canvas()
        canvas.rectangle((60, 60, 200, 200), (200, 200, 200))
        return np.asarray(canvas.finish(relief=relief).convert("L"), dtype=int)

    assert drawn(0.5)[62, 62] < drawn(0.0)[62, 62]
    assert drawn(0.5)[130, 130] == drawn(0.0)[130, 130]


def test_text_leaves_ink_around_its_centre() -> None:
    canvas = Canvas()
    canvas.text((128, 128), "8", (0, 0, 0), 60)
    rows, columns = np.nonzero(np.asarray(canvas.finish().getchannel("A")))
    assert abs(rows.mean() - 128) < 10
    assert abs(columns.mean() - 128) < 10


def test_lines_and_rings_have_the_asked_width() -> None:
    canvas = Canvas()
    canvas.line([(10, 50), (240, 50)], (0, 0, 0), 10)
    canvas.ring((60, 100, 200, 240), (0, 0, 0), 8)
    alpha = np.asarray(canvas.finish().getchannel("A")) / 255
    assert alpha[30:70, 128].sum() == pytest.approx(10, abs=1.5)
    assert alpha[170, 50:110].sum() == pytest.approx(8, abs=1.5)


def test_a_gradient_runs_from_the_first_colour_on_the_left_to_the_last() -> None:
    paint = Paint(colours=((0, 0, 0), (255, 0, 0), (255, 255, 255)), axis="across")
    row = np.asarray(gradient(paint, (64, 8)), dtype=int)[4]
    assert row[0].sum() < 40
    assert row[32, 0] > 200
    assert row[32, 1] < 40
    assert row[-1].sum() > 725


def test_an_arc_starts_at_three_o_clock_and_goes_down() -> None:
    points = arc_points((0, 0, 200, 100), 0, 90, 2)
    np.testing.assert_allclose(points, [(200, 50), (100, 100)], atol=1e-9)


def test_a_smooth_curve_passes_through_its_knots() -> None:
    knots = [(10.0, 10.0), (200.0, 30.0), (180.0, 220.0), (20.0, 180.0)]
    curve = smooth_points(knots, per_segment=5)
    assert len(curve) == 20
    np.testing.assert_allclose(curve[::5], knots, atol=1e-9)


@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3), factor=st.floats(0, 2), seed=st.integers(0, 2**31)
)
def test_colours_stay_in_range(colour: tuple[int, int, int], factor: float, seed: int) -> None:
    for made in (shade(colour, factor), vary(np.random.default_rng(seed), colour, 60)):
        assert all(0 <= value <= 255 for value in made)


def test_the_canvas_is_square() -> None:
    assert Canvas().finish().size == (CANVAS_UNITS, CANVAS_UNITS)
