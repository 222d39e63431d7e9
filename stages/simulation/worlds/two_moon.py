"""The two moons of MKE's first experiment (Xue et al., ICCV 2021): points as recordings.

Not a world of ours but the paper's own made data, exactly [S: TwoMoon/mke.ipynb at 7600bd5]: 500
points of scikit-learn's ``make_moons`` with noise 0.1, both coordinates standardised on all of
them, 40 % for testing, and of the rest 10 % labelled; every step with random_state 42. A point's
two coordinates are its two modalities, alpha and beta.

Conventions: coordinates are float32, as the networks are given them; points are in the order that
the splitting leaves them in, because the sums of a full batch depend on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Split: TypeAlias = Literal["labelled", "unlabelled", "test"]
RANDOM_STATE = 42
NUM_POINTS = 500
NOISE = 0.1
TEST_SHARE = 0.4
UNLABELLED_SHARE = 0.9
"""Of the points that are not for testing."""
VECTORS = ("alpha", "beta")


@dataclass(frozen=True, kw_only=True)
class MoonPoints:
    """The points of one split."""

    split: Split
    coordinates: npt.NDArray[np.float32]
    """(points, 2): alpha and beta."""
    moons: npt.NDArray[np.int64]
    """(points,): 0 for the upper, 1 for the lower."""


def make_points() -> tuple[MoonPoints, ...]:
    """The 30 labelled points (16 and 14 of a moon), 270 unlabelled (136, 134) and 200 for tests."""
    from sklearn.datasets import make_moons
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    points, moons = make_moons(n_samples=NUM_POINTS, noise=NOISE, random_state=RANDOM_STATE)
    points = StandardScaler().fit_transform(points)
    rest, test, rest_moons, test_moons = train_test_split(
        points, moons, test_size=TEST_SHARE, random_state=RANDOM_STATE
    )
    labelled, unlabelled, labelled_moons, unlabelled_moons = train_test_split(
        rest, rest_moons, test_size=UNLABELLED_SHARE, random_state=RANDOM_STATE
    )
    return (
        _points("labelled", labelled, labelled_moons),
        _points("unlabelled", unlabelled, unlabelled_moons),
        _points("test", test, test_moons),
    )


def write_two_moon(file: Path) -> Path:
    """Write the points as a corpus table, Parquet, one recording each, and return its path.

    Columns: ``recording_id``, ``split``, ``alpha``, ``beta``, ``label`` (of the labelled and the
    test points: what a student may not see is not there), ``truth`` (of all, for bounds).
    """
    import pyarrow as pa
    import pyarrow.parquet

    rows = [row for points in make_points() for row in _rows(points)]
    schema = pa.schema(
        [
            ("recording_id", pa.string()),
            ("split", pa.string()),
            *((name, pa.float32()) for name in VECTORS),
            ("label", pa.string()),
            ("truth", pa.string()),
        ]
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema), part)
    return part.replace(file)


def _points(split: Split, coordinates: npt.NDArray[np.float64], moons: object) -> MoonPoints:
    return MoonPoints(
        split=split,
        coordinates=coordinates.astype(np.float32),
        moons=np.asarray(moons, np.int64),
    )


def _rows(points: MoonPoints) -> Iterator[dict[str, object]]:
    pairs = zip(points.coordinates.tolist(), points.moons.tolist(), strict=True)
    for number, ((alpha, beta), moon) in enumerate(pairs):
        yield {
            "recording_id": f"{points.split}-{number:03d}",
            "split": points.split,
            "alpha": alpha,
            "beta": beta,
            "label": None if points.split == "unlabelled" else str(moon),
            "truth": str(moon),
        }
