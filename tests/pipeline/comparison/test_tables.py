from dataclasses import replace
from xml.etree import ElementTree

import pytest

from avkd.pipeline.compare import Comparison, GroupScores
from avkd.pipeline.comparison.measured import Protocol
from avkd.pipeline.comparison.pairing import PairedScores
from avkd.pipeline.comparison.papers import find_paper
from avkd.pipeline.comparison.plot import draw_comparison
from avkd.pipeline.comparison.tables import (
    list_notes,
    pairs_table,
    render_markdown,
    scores_table,
)
from avkd.stages.metrics.classification import Interval, SeedSummary
from avkd.stages.metrics.comparison import ClipComparison, SeedComparison

SVG = "{http://www.w3.org/2000/svg}"


def scores(name, *values, seeds=None, other=(0.5,)):
    return GroupScores(
        name=name,
        recipe="rows/tiny",
        runs=tuple(f"{name}/{place}" for place in range(len(values))),
        seeds=seeds or tuple(range(len(values))),
        values={"accuracy": values, "macro_accuracy": other * len(values)},
    )


def pair(candidate, **changes):
    return PairedScores(
        **{
            "candidate": candidate,
            "baseline": "alone",
            "metric": "accuracy",
            "over_clips": ClipComparison(
                difference=Interval(value=0.25, low=-0.0625, high=0.5, level=0.95),
                p_value=0.0004,
                num_clips=30,
                num_groups=15,
                num_seeds=2,
                resampled_seeds=False,
            ),
            "over_seeds": SeedComparison(
                difference=SeedSummary(mean=0.25, sd=0.125, num_seeds=2),
                t_p_value=None,
                sign_flip_p_value=0.5,
            ),
            "notes": (),
            **changes,
        }
    )


COMPARISON = Comparison(
    protocol=Protocol(kind="class", data="test", label_column="label"),
    metric="accuracy",
    metrics=("accuracy", "macro_accuracy"),
    groups=(scores("alone", 0.5, 0.75), scores("both", 1.0, other=(float("nan"),))),
    teachers=(scores("teacher sage", 0.875),),
    pairs=(pair("both"), pair("teacher sage", over_clips=None, over_seeds=None, notes=("few",))),
    papers=find_paper("mutual"),
    notes=("numbers of seeds differ",),
)


def test_scores_are_means_with_sd_where_there_are_seeds():
    table = scores_table(COMPARISON)
    assert table.header == ("run", "seeds", "accuracy", "macro_accuracy")
    assert table.rows == (
        ("alone", "2", "0.625 (0.177)", "0.500 (0.000)"),
        ("both", "1", "1.000", "-"),
        ("teacher sage", "-", "0.875", "0.500"),
    )


def test_differences_have_signs_and_what_is_missing_is_a_dash():
    table = pairs_table(COMPARISON)
    assert table.header[0] == "against alone"
    assert table.rows == (
        ("both", "+0.250", "-0.062 to +0.500", "<0.001", "+0.250 (0.125)", "-", "0.500"),
        ("teacher sage", "-", "-", "-", "-", "-", "-"),
    )


def test_notes_say_whom_they_are_about():
    assert list_notes(COMPARISON) == ("numbers of seeds differ", "teacher sage: few")


def test_the_page_holds_tables_notes_and_what_the_paper_prints():
    page = render_markdown(COMPARISON)
    assert "| alone | 2 | 0.625 (0.177) | 0.500 (0.000) |" in page
    assert "- teacher sage: few\n" in page
    assert "![accuracy of every seed](compare.svg)" in page
    printed = page.partition("## Printed: Mutual learning")[2]
    assert "[U; " in printed
    assert "| all | unknown |" in printed


def test_a_name_cannot_break_a_row():
    groups = (scores("a|b", 0.5, 0.5),)
    assert "| a/b | 2 |" in render_markdown(replace(COMPARISON, groups=groups, pairs=()))


def test_the_plot_has_a_point_for_every_seed_and_names_every_group():
    drawn = draw_comparison(COMPARISON).decode()
    assert drawn.lstrip().startswith("<?xml")
    for name in ("alone", "both", "teacher sage", "accuracy"):
        assert name in drawn
    groups = [each for each in ElementTree.fromstring(drawn).iter() if "id" in each.attrib]
    points = [each for each in groups if each.attrib["id"].startswith("PathCollection")]
    assert [len(list(each.iter(f"{SVG}use"))) for each in points] == [2, 1, 1]


def test_equal_comparisons_give_equal_plots():
    assert draw_comparison(COMPARISON) == draw_comparison(COMPARISON)


@pytest.mark.parametrize("values", [(), (float("nan"), 0.5)])
def test_what_does_not_exist_for_a_run_has_no_mean(values):
    assert scores("x", *values).summarise("accuracy") is None
