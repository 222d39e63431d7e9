"""A comparison as tables of text: for the terminal, and as a page of Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avkd.pipeline.comparison.pairing import PairedScores
from avkd.pipeline.comparison.papers import PaperTable

if TYPE_CHECKING:
    from avkd.pipeline.compare import Comparison, GroupScores

NONE = "-"
PLOT_FILE = "compare.svg"


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Cells as they are printed."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def scores_table(comparison: "Comparison") -> TextTable:
    """A row a group, then one a stored teacher: mean (sd) of every metric."""
    return TextTable(
        header=("run", "seeds", *comparison.metrics),
        rows=tuple(
            (scores.name, seeds, *(mean_with_sd(scores, name) for name in comparison.metrics))
            for some, stored in ((comparison.groups, False), (comparison.teachers, True))
            for scores in some
            for seeds in [NONE if stored and len(scores.seeds) == 1 else str(len(scores.seeds))]
        ),
    )


def pairs_table(comparison: "Comparison") -> TextTable:
    """A row a candidate: its differences from the baseline, over clips and over seeds."""
    return TextTable(
        header=(
            f"against {comparison.groups[0].name}",
            comparison.metric,
            "95 % over clips",
            "p clips",
            "over seeds (sd)",
            "p t-test",
            "p sign flips",
        ),
        rows=tuple((pair.candidate, *_pair_cells(pair)) for pair in comparison.pairs),
    )


def mean_with_sd(scores: "GroupScores", metric: str) -> str:
    """``0.861 (0.020)``; without sd for a single value, ``-`` for none."""
    summary = scores.summarise(metric)
    if summary is None:
        return NONE
    sd = f" ({summary.sd:.3f})" if summary.num_seeds > 1 else ""
    return f"{summary.mean:.3f}{sd}"


def list_notes(comparison: "Comparison") -> tuple[str, ...]:
    """All that a reader should know, each once."""
    told = [f"{pair.candidate}: {note}" for pair in comparison.pairs for note in pair.notes]
    return tuple(dict.fromkeys((*comparison.notes, *told)))


def render_markdown(comparison: "Comparison") -> str:
    """The whole comparison as a page, the plot beside it."""
    return "\n".join(_page(comparison)) + "\n"


def _page(comparison: "Comparison") -> Iterator[str]:
    yield f"# {comparison.metric}: {', '.join(group.name for group in comparison.groups)}"
    yield f"\n{comparison.protocol}; mean (sd) over seeds.\n"
    yield from _markdown(scores_table(comparison))
    yield f"\n![{comparison.metric} of every seed]({PLOT_FILE})\n"
    if comparison.pairs:
        yield from _markdown(pairs_table(comparison))
        yield ""
    yield from (f"- {note}" for note in list_notes(comparison))
    for table in comparison.papers:
        yield f"\n## Printed: {table.title}\n\n[{table.mark}]\n"
        yield from _markdown(paper_table(table))


def paper_table(table: PaperTable) -> TextTable:
    """What a paper prints; a line that says so where nothing could be found."""
    if table.is_unknown:
        return TextTable(header=("row", "value"), rows=(("all", "unknown"),))
    return TextTable(header=table.header, rows=table.rows)


def _markdown(table: TextTable) -> Iterator[str]:
    yield _row(table.header)
    yield _row(["---"] * len(table.header))
    yield from map(_row, table.rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _pair_cells(pair: PairedScores) -> tuple[str, ...]:
    clips, seeds = pair.over_clips, pair.over_seeds
    over_clips: tuple[str, ...] = (NONE, NONE, NONE)
    if clips is not None:
        interval = clips.difference
        over_clips = (
            f"{interval.value:+.3f}",
            f"{interval.low:+.3f} to {interval.high:+.3f}",
            _p_value(clips.p_value),
        )
    if seeds is None:
        return (*over_clips, NONE, NONE, NONE)
    difference = seeds.difference
    return (
        *over_clips,
        f"{difference.mean:+.3f} ({difference.sd:.3f})",
        NONE if seeds.t_p_value is None else _p_value(seeds.t_p_value),
        _p_value(seeds.sign_flip_p_value),
    )


def _p_value(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
