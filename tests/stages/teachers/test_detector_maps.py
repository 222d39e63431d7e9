import numpy as np
import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.detector_maps import (
    MapChoice,
    choose_maps,
    declare_maps,
    projection_fingerprint,
    projection_matrix,
)

SHAPES = ((256, 40, 72), (256, 20, 36), (128, 10, 18))


def test_attention_stands_for_every_level_and_a_map_comes_once() -> None:
    chosen = choose_maps("t", ["features_2", "attention_1", "attention"], SHAPES)
    assert [each.name for each in chosen] == [
        "features_2",
        "attention_1",
        "attention_0",
        "attention_2",
    ]


def test_a_level_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownNameError, match="map of teacher 't' 'features_3'; did you mean"):
        choose_maps("t", ["features_3"], SHAPES)


def test_an_attention_map_is_declared_with_a_float32_scale_after_it() -> None:
    chosen = choose_maps("t", ["attention_1", "features_0"], SHAPES)
    attention, scale, features = declare_maps(chosen, SHAPES, 0)
    assert (attention.name, attention.shape, attention.dtype) == (
        "attention_1",
        (20, 36),
        "float16",
    )
    assert attention.attributes == {"scale": scale.name}
    assert (scale.name, scale.shape, scale.dtype) == ("attention_1_scale", (), "float32")
    assert (features.shape, features.dtype) == ((256, 40, 72), "float16")


def test_a_projection_changes_features_alone() -> None:
    chosen = choose_maps("t", ["attention_0", "features_2"], SHAPES)
    shapes = {each.name: each.shape for each in declare_maps(chosen, SHAPES, 16)}
    assert shapes["features_2"] == (16, 10, 18)
    assert shapes["attention_0"] == (40, 72)


@pytest.mark.parametrize("num_channels", [128, 500])
def test_a_projection_that_saves_nothing_is_refused(num_channels: int) -> None:
    chosen = (MapChoice(kind="features", level=2),)
    with pytest.raises(InvalidValueError, match="not fewer than the 128 channels of features_2"):
        declare_maps(chosen, SHAPES, num_channels)


def test_a_projection_without_features_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="map_channels 8 projects feature maps, but none"):
        declare_maps(choose_maps("t", ["attention"], SHAPES), SHAPES, 8)


def test_a_projection_is_named_and_drawn_the_same_each_time() -> None:
    assert projection_fingerprint(32) == {"kind": "gaussian", "seed": 0, "num_channels": 32}
    assert projection_fingerprint(0) is None
    assert projection_matrix(256, 32).tobytes() == projection_matrix(256, 32).tobytes()
    # Written down: what is stored today must fit what is stored in a year.
    np.testing.assert_allclose(
        projection_matrix(3, 2).ravel()[:3], [-0.043694727, 0.143391386, -0.287523746], rtol=1e-6
    )


def test_a_projection_keeps_squared_distances_on_average() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(200, 512))
    ratio = (points @ projection_matrix(512, 64).T) ** 2
    ratio = ratio.sum(axis=1) / (points**2).sum(axis=1)
    # The squared length of one point has a relative variance of 2 / 64.
    assert ratio.mean() == pytest.approx(1, abs=0.08)
    assert ratio.std() == pytest.approx((2 / 64) ** 0.5, rel=0.3)
