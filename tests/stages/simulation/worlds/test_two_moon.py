from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from avkd.stages.simulation.worlds.two_moon import make_points, write_two_moon


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    file = write_two_moon(tmp_path_factory.mktemp("moons") / "deeper" / "points.parquet")
    rows: list[dict[str, object]] = pyarrow.parquet.read_table(file).to_pylist()
    return rows


def test_the_splits_have_the_papers_sizes_and_classes() -> None:
    counts = {points.split: np.bincount(points.moons).tolist() for points in make_points()}
    assert counts["labelled"] == [16, 14]
    assert counts["unlabelled"] == [136, 134]
    assert sum(counts["test"]) == 200


def test_both_coordinates_are_standardised_over_all_points() -> None:
    everything = np.concatenate([points.coordinates for points in make_points()]).astype(float)
    assert everything.dtype == np.float64
    assert everything.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert everything.std(axis=0) == pytest.approx([1, 1], abs=1e-6)


def test_points_keep_the_order_of_the_splitting(table: list[dict[str, object]]) -> None:
    from sklearn.datasets import make_moons
    from sklearn.model_selection import train_test_split

    _, moons = make_moons(n_samples=500, noise=0.1, random_state=42)
    rest, test = train_test_split(np.arange(500), test_size=0.4, random_state=42)
    labelled, unlabelled = train_test_split(rest, test_size=0.9, random_state=42)
    order = np.concatenate([labelled, unlabelled, test])
    assert [row["truth"] for row in table] == [str(moon) for moon in moons[order]]
    splits = [row["split"] for row in table]
    assert splits == ["labelled"] * 30 + ["unlabelled"] * 270 + ["test"] * 200


def test_the_table_holds_every_bit_of_a_float32(table: list[dict[str, object]]) -> None:
    written = np.array([[row["alpha"], row["beta"]] for row in table])
    made = np.concatenate([points.coordinates for points in make_points()])
    assert np.array_equal(written, made.astype(np.float64))


def test_unlabelled_points_have_a_truth_but_no_label(table: list[dict[str, object]]) -> None:
    for row in table:
        expected = None if row["split"] == "unlabelled" else row["truth"]
        assert row["label"] == expected
    assert len({row["recording_id"] for row in table}) == 500


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_two_moon(tmp_path / "points.parquet").read_bytes()
    assert write_two_moon(tmp_path / "points.parquet").read_bytes() == first
