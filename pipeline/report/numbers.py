"""Numbers for people: one way to write each kind, in the report and on the command line."""

from collections.abc import Sequence
from statistics import fmean, stdev


def percent(fraction: float) -> str:
    """Write 0.7834 as ``78.3 %``."""
    return f"{100 * fraction:.1f} %"


def percent_with_sd(mean: float, sd: float) -> str:
    """Write a mean and its standard deviation, both fractions, as ``78.3 ± 2.1 %``."""
    return f"{100 * mean:.1f} \N{PLUS-MINUS SIGN} {100 * sd:.1f} %"


def count(number: int) -> str:
    """Write 12345 as ``12,345``."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """Write a count with its noun: ``1 clip``, ``2 clips``, ``2 boxes``."""
    plural = "es" if noun.endswith("x") else "s"
    return f"{count(number)} {noun}{'' if number == 1 else plural}"


def size(num_bytes: float) -> str:
    """Write bytes in the decimal unit that keeps at most three digits before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """Write seconds as ``3.2 s``, ``4 min 05 s`` or ``2 h 03 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def instant(seconds: float) -> str:
    """Write a place in a recording as ``1:02.5``."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 // 10:02d}.{tenths % 10}"


def shape(sizes: tuple[int, ...]) -> str:
    """Write (4, 1000) as ``4 x 1000`` with a multiplication sign; a scalar as ``1``."""
    return " \N{MULTIPLICATION SIGN} ".join(str(one) for one in sizes) or "1"


def labels(labels_per_class: int) -> str:
    """Write a number of labels a class, 0 for all."""
    return (
        "all labels" if labels_per_class == 0 else f"{counted(labels_per_class, 'label')} a class"
    )


def mean_with_sd(values: Sequence[float], digits: int = 3) -> str:
    """Write numbers of several seeds as ``0.412 (0.013)``, the sd of the sample; of one alone."""
    mean = f"{fmean(values):.{digits}f}"
    return f"{mean} ({stdev(values):.{digits}f})" if len(values) > 1 else mean


def name_group(group: str) -> str:
    """Write ``light=night`` as ``light: night``, and ``all`` as ``all recordings``."""
    column, _, value = group.partition("=")
    return f"{column.replace('_', ' ')}: {value}" if value else f"{group} recordings"


def sentence(note: str) -> str:
    """Write a note with a capital letter and a full stop."""
    return f"{note[:1].upper()}{note[1:].removesuffix('.')}."
