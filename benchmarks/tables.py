"""The page of the extraction benchmarks, from raw rows that were measured and nothing else.

    python benchmarks/tables.py [docs/results/extraction]

A table is there when its raw rows are; without any there is no page.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from intervals import FEWEST_ROUNDS, Interval, bootstrap_median, median
from rows import Rounds, compare_rounds, read_rounds, summarise

Document: TypeAlias = Mapping[str, Any]
Render: TypeAlias = Callable[[Rounds, Document], list[str]]

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "extraction"
SCOPE = (
    "Synthetic media made by `benchmarks/media.py`, files in a warm page cache; where no GPU is at "
    "work it says nothing of GPU decoding or of GPU teachers, and nothing of disks or networks."
)
BYTES_NAME = "bytes.json"
_MB = 1e6
_TIMES = ("wall_seconds", "work_seconds")
_HOW = [
    "Contestants ran interleaved, in an order drawn anew in every round, after one round that only",
    "compared outputs. Numbers are medians over rounds, with the median deviation after the sign;",
    "ratios are of the pairs of a round, with their 95 % bootstrap interval. A ratio is called a",
    f"difference only where that interval leaves 1 out and rounds are {FEWEST_ROUNDS} or more.",
    "All rows are in the JSON files here; `benchmarks/README.md` says how to measure again.",
]


def render_page(folder: Path) -> str:
    """Make the page of all raw rows of a folder.

    Raises:
        ValueError: there are none, or some are of another version.
    """
    parts: list[str] = []
    machines: list[str] = []
    for kind, renders in _RENDERS.items():
        for path in sorted(folder.glob(f"{kind}-*.json")):
            rounds, document = read_rounds(path)
            machines.append(_machine(document))
            for render in renders:
                if rounds.num_rounds and (lines := render(rounds, document)):
                    parts += ["", *lines, "", *_origin(rounds, document)]
    if (folder / BYTES_NAME).exists():
        document = json.loads((folder / BYTES_NAME).read_text())
        machines.append(_machine(document))
        parts += ["", *_bytes(document), "", _where(document)]
    if not parts:
        raise ValueError(f"{folder} holds no raw rows; run benchmarks/extraction.py first")
    head = ["# Extraction, measured", "", SCOPE, "", *_HOW, "", *dict.fromkeys(machines)]
    return "\n".join([*head, *parts, ""])


def efficiency_of(
    rounds: Rounds, floors: Sequence[str], measure: str, *, with_start: bool
) -> Interval:
    """The bare costs together over ours, round by round.

    Args:
        rounds: of all of them.
        floors: their names.
        measure: of seconds.
        with_start: whether that measure has the start of Python in it: every bare cost has, and
            ours once, so that all but one are taken off.
    """
    parts = [rounds.values(name, measure) for name in floors]
    starts = rounds.values("start", measure)
    extra = (len(floors) - 1) * int(with_start)
    ratios = [
        (sum(bare) - extra * start) / ours
        for start, ours, *bare in zip(starts, rounds.values("ours", measure), *parts, strict=True)
    ]
    return bootstrap_median(ratios, seed=rounds.seed)


def fastest(rounds: Rounds, names: Sequence[str], measure: str) -> str:
    """Whose median is the smallest.

    Raises:
        ValueError: nobody is named.
    """
    return min(names, key=lambda name: median(rounds.values(name, measure)))


def _efficiency(rounds: Rounds, document: Document) -> list[str]:
    decoders = [name for name in rounds.names() if name.startswith("decode:")]
    decoder = fastest(rounds, decoders, "work_seconds")
    decode, model = (summarise(rounds, name, "work_seconds")[0] for name in (decoder, "model"))
    floors = ("start", "decode:", "scale", "model", "ours")
    names = [name for name in rounds.names() if name.startswith(floors)]
    lines = [
        f"## (a) Efficiency, {document['setting']['name']}",
        "",
        f"{document['setting']['why']}. The fastest decoder that gave the right pictures: "
        f"`{decoder.removeprefix('decode:')}`; of the time of decoding and the model together "
        f"decoding is {100 * decode / (decode + model):.0f} %.",
        "",
        "| | seconds of work | wall seconds | CPU seconds | peak MB |",
        "| --- | --- | --- | --- | --- |",
        *_rows(rounds, names, ("work_seconds", "wall_seconds", "cpu_seconds", "peak_bytes")),
        "",
        "| over ours | work | wall seconds | CPU seconds |",
        "| --- | --- | --- | --- |",
    ]
    for bare in ([decoder, "model"], [decoder, "scale", "model"]):
        said = " + ".join(name.partition(":")[0] for name in bare)
        cells = [_ratio(efficiency_of(rounds, bare, "work_seconds", with_start=False))]
        for measure in ("wall_seconds", "cpu_seconds"):
            cells.append(_ratio(efficiency_of(rounds, bare, measure, with_start=True)))
        lines.append(f"| {said} | {' | '.join(cells)} |")
    return lines


def _peers(rounds: Rounds, document: Document) -> list[str]:
    names = [name for name in rounds.names() if _kind(name)]
    if len(names) < 2:
        return []
    lines = [
        f"## (b) Against loops of others, {document['setting']['name']}",
        "",
        f"{document['setting']['why']}. {document['setting']['num_cores']} cores for each. "
        "Work is without the start of Python and imports, which wall seconds have in.",
        "",
        "| | wall seconds | times ours | seconds of work | times ours | CPU seconds | peak MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        cells = [name]
        for measure in _TIMES:
            cells += [_value(rounds, name, measure), _times_ours(rounds, name, measure)]
        cells += [_value(rounds, name, measure) for measure in ("cpu_seconds", "peak_bytes")]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| each side's best | wall: times ours | work: times ours |", "| --- " * 3 + "|"]
    for kind in ("vf", "vf-reencode", "cve"):
        layouts = [name for name in names if _kind(name) == kind]
        if layouts:
            bests = [fastest(rounds, layouts, measure) for measure in _TIMES]
            cells = [
                f"{best}: {_times_ours(rounds, best, measure)}"
                for best, measure in zip(bests, _TIMES, strict=True)
            ]
            lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


def _times_ours(rounds: Rounds, name: str, measure: str) -> str:
    return "1" if name == "ours" else _ratio(compare_rounds(rounds, name, "ours", measure))


def _kind(name: str) -> str:
    """Whose layout a contestant is."""
    kinds = ("ours", "vf-reencode", "vf", "cve")
    return next((kind for kind in kinds if name.startswith(kind)), "")


def _teachers(rounds: Rounds, document: Document) -> list[str]:
    return [
        f"## (c) Several teachers in one pass, {document['setting']['name']}",
        "",
        f"{document['setting']['why']}. Work is without imports, which wall seconds have in.",
        "",
        "| | seconds of work | wall seconds | CPU seconds | peak MB | times one pass, of work |",
        "| --- | --- | --- | --- | --- | --- |",
        *_rows(
            rounds,
            rounds.names(),
            ("work_seconds", "wall_seconds", "cpu_seconds", "peak_bytes"),
            "one-pass",
            "work_seconds",
        ),
        "",
        "Of wall seconds: "
        + _ratio(compare_rounds(rounds, "apart-pass", "one-pass", "wall_seconds"))
        + ".",
    ]


def _memory(rounds: Rounds, document: Document) -> list[str]:
    poll_seconds = document["setting"]["poll_seconds"]
    lines = [
        "## (d) Peak memory",
        "",
        f"Of the whole tree of processes, looked at every {poll_seconds} s: in the whole run, "
        "whose most may be the load of the teacher, and in its second half.",
        "",
        "| | peak MB | times the smallest | second half, MB | times the smallest | wall seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in rounds.names():
        cells = [name]
        for measure in ("peak_bytes", "late_peak_bytes"):
            ratio = compare_rounds(rounds, name, f"{name.split()[0]} x1", measure)
            cells += [_value(rounds, name, measure), f"{ratio.median:.2f}"]
        lines.append(f"| {' | '.join(cells)} | {_value(rounds, name, 'wall_seconds')} |")
    return lines


def _stores(rounds: Rounds, document: Document) -> list[str]:
    setting = document["setting"]
    moved = {
        row.name: row.told["mean_displacement"]
        for row in rounds.rows
        if "mean_displacement" in row.told
    }
    written = {row.name: row.told.get("output_bytes", 0) for row in rounds.rows}
    lines = [
        f"## (e) Stores, {setting['name']}",
        "",
        f"{setting['num_rows']} rows of {setting['row_bytes']} bytes, after all imports. Moved: "
        "how far a row comes from its place, over all rows; 0.33 is a whole shuffle. By "
        f"{', '.join(filter(None, setting['packages'].values()))}.",
        "",
        "| | seconds | rows a second | of npy | first epoch, seconds | of npy "
        "| CPU seconds, with imports | moved | MB on disk |",
        "| --- " * 9 + "|",
    ]
    has_epochs = setting["name"] == "epoch"
    for name in rounds.names():
        size = written.get(name, 0) / _MB
        per_second = setting["num_rows"] / summarise(rounds, name, "work_seconds")[0]
        cells = [name, _value(rounds, name, "work_seconds"), f"{per_second:,.0f}"]
        cells += [_of_floor(rounds, name, "work_seconds")]
        cells += _first_epoch(rounds, name) if has_epochs else ["-", "-"]
        cells += [_value(rounds, name, "cpu_seconds")]
        cells += [f"{moved[name]:.2f}" if name in moved else "-", f"{size:,.0f}" if size else "-"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _first_epoch(rounds: Rounds, name: str) -> list[str]:
    return [_value(rounds, name, "first_seconds"), _of_floor(rounds, name, "first_seconds")]


def _of_floor(rounds: Rounds, name: str, measure: str) -> str:
    """The speed of a store over that of the floor."""
    return _ratio(compare_rounds(rounds, "npy", name, measure)) if "npy" in rounds.names() else "-"


def _bytes(document: Document) -> list[str]:
    sizes = document["bytes_of_a_clip"]
    lines = [
        "## (e) Bytes and what sparse logits lose",
        "",
        f"Logits of `{document['teacher']}` on {document['num_pictures']} pictures, "
        f"{document['num_steps']} a clip, as they lie on the disk, compressed.",
        "",
        "| kept | bytes of a clip | of dense |",
        "| --- | --- | --- |",
    ]
    for kept, size in sizes.items():
        said = "all" if kept == "0" else kept
        lines.append(f"| {said} | {size:,.0f} | {size / sizes['0']:.3f} |")
    lines += [
        "",
        "KL in nats, all classes against the kept ones and one for the rest:",
        "",
        "| kept | temperature | student | dense | sparse | lost |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for gap in document["kl"]:
        lost = 1 - gap["sparse"] / gap["dense"] if gap["dense"] else 0.0
        lines.append(
            f"| {gap['top_k']} | {gap['temperature']:g} | {gap['student']} | {gap['dense']:.4f} "
            f"| {gap['sparse']:.4f} | {100 * lost:.1f} % |"
        )
    return lines


def _rows(
    rounds: Rounds,
    names: Sequence[str],
    measures: Sequence[str],
    base: str = "",
    ratio_measure: str = "",
) -> list[str]:
    return [_row(rounds, name, measures, base, ratio_measure) for name in names]


def _row(rounds: Rounds, name: str, measures: Sequence[str], base: str, ratio_measure: str) -> str:
    cells = [name, *(_value(rounds, name, measure) for measure in measures)]
    if base:
        ratio = compare_rounds(rounds, name, base, ratio_measure)
        cells.append("1" if name == base else _ratio(ratio))
    return f"| {' | '.join(cells)} |"


def _value(rounds: Rounds, name: str, measure: str) -> str:
    middle, deviation = summarise(rounds, name, measure)
    if measure.endswith("_bytes"):
        # Who is gone before anybody looks has none.
        return f"{middle / _MB:,.0f} ± {deviation / _MB:,.0f}" if middle else "-"
    return f"{middle:.3g} ± {deviation:.2g}"


def _ratio(ratio: Interval) -> str:
    sure = "" if ratio.excludes_one else ", no difference"
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}{sure})"


def _origin(rounds: Rounds, document: Document) -> Iterator[str]:
    loads = [row.load_before for row in rounds.rows]
    yield (
        f"{rounds.num_rounds} rounds, seed {rounds.seed}, load of the machine before a run "
        f"{median(loads):.1f} (at most {max(loads):.1f}). {_where(document)}"
    )
    for name, why in rounds.left_out.items():
        yield f"Left out: {name} ({why})."


def _where(document: Document) -> str:
    commit = document["machine"]["commit"]
    return f"`{document['command']}`, commit `{commit}`, {document['began_at']}."


def _machine(document: Document) -> str:
    machine = document["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['num_cores']} cores; {machine['system']}; "
        f"Python {machine['python']}, {packages}."
    )


_RENDERS: Mapping[str, tuple[Render, ...]] = {
    "speed": (_efficiency, _peers),
    "teachers": (_teachers,),
    "memory": (_memory,),
    "stores": (_stores,),
}


def main() -> None:
    """Write the page."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    page = render_page(folder)
    (folder / "README.md").write_text(page)


if __name__ == "__main__":
    main()
