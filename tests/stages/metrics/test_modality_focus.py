import numpy as np
import numpy.typing as npt
import pytest

from avkd.errors import InvalidValueError
from avkd.stages.metrics.modality_focus import (
    ModalityFocus,
    measure_modality_focus,
    out_of_fold_r2,
)

Array = npt.NDArray[np.float64]

NUM_RECORDINGS, NUM_CLIPS = 60, 240
RECORDINGS = [f"r{place % NUM_RECORDINGS}" for place in range(NUM_CLIPS)]


def make_features(num_features: int = 8, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((NUM_CLIPS, num_features))


def make_channels(features: Array, num_each: int = 6, noise: float = 0.5) -> Array:
    """Half of the channels are functions of the features, half are noise."""
    generator = np.random.default_rng(1)
    mixing = generator.standard_normal((features.shape[1], num_each)) / features.shape[1] ** 0.5
    heard = features @ mixing / np.linalg.norm(mixing, axis=0)
    heard += noise * generator.standard_normal(heard.shape)
    return np.hstack([generator.standard_normal((NUM_CLIPS, num_each)), heard])


def measure(features: Array, channels: Array, **options: int) -> ModalityFocus:
    return measure_modality_focus(features, channels, RECORDINGS, **options)


def test_half_of_the_channels_can_be_heard_where_half_are_functions_of_the_features() -> None:
    features = make_features()
    found = measure(features, make_channels(features))
    assert found.share_audible == 0.5
    assert {fit.name for fit in found.fits if fit.is_audible} == {"6", "7", "8", "9", "10", "11"}
    assert [fit.r2 for fit in found.fits] == sorted((fit.r2 for fit in found.fits), reverse=True)
    # A signal of deviation 1 under noise of 0.5 has R^2 1 / 1.25.
    for fit in found.fits:
        assert fit.r2 == pytest.approx(0.8 if fit.is_audible else 0.0, abs=0.12)
    assert abs(found.floor) < 0.1
    assert (found.num_clips, found.num_recordings) == (NUM_CLIPS, NUM_RECORDINGS)


def test_noise_is_not_heard() -> None:
    channels = np.random.default_rng(2).standard_normal((NUM_CLIPS, 20))
    found = measure(make_features(), channels)
    assert found.share_audible == 0.0
    assert max(fit.r2 for fit in found.fits) <= found.floor


def test_what_is_alike_within_recordings_only_is_not_heard() -> None:
    generator = np.random.default_rng(3)
    of = np.arange(NUM_CLIPS) % NUM_RECORDINGS
    offsets = 3 * generator.standard_normal((NUM_RECORDINGS, 28))
    both = offsets[of] + 0.1 * generator.standard_normal((NUM_CLIPS, 28))
    features, channels = both[:, :8], both[:, 8:]
    assert measure(features, channels).share_audible == 0.0
    # Maps that saw other clips of the same recordings would claim to hear it.
    ungrouped = generator.permutation(NUM_CLIPS)
    named = np.hstack([features, np.eye(NUM_RECORDINGS)[of]])
    leaking = out_of_fold_r2(named, channels, ungrouped, 5)
    assert leaking.min() > 0.9


def test_units_and_offsets_do_not_matter() -> None:
    features = make_features()
    channels = make_channels(features)
    plain = measure(features, channels)
    other = measure(1e-3 * features + 5, 1e4 * channels - 7)
    assert [fit.name for fit in other.fits] == [fit.name for fit in plain.fits]
    for one, two in zip(plain.fits, other.fits, strict=True):
        assert two.r2 == pytest.approx(one.r2, abs=1e-6)


def test_r2_is_that_of_a_plain_regression_where_little_is_shrunk() -> None:
    features = make_features()
    channels = make_channels(features, noise=0.1)[:, 6:]
    groups = np.arange(NUM_CLIPS) % NUM_RECORDINGS
    predicted = np.empty_like(channels)
    halves = groups % 2
    for half in (0, 1):
        train, test = halves != half, halves == half
        design = np.column_stack([features, np.ones(NUM_CLIPS)])
        weights, *_ = np.linalg.lstsq(design[train], channels[train], rcond=None)
        predicted[test] = design[test] @ weights
    expected = 1 - ((channels - predicted) ** 2).sum(axis=0) / (NUM_CLIPS * channels.var(axis=0))
    np.testing.assert_allclose(out_of_fold_r2(features, channels, groups, 2), expected, atol=0.01)


def test_constant_channels_are_named_and_left_out_of_the_share() -> None:
    features = make_features()
    channels = make_channels(features, num_each=1)
    channels = np.column_stack([np.zeros(NUM_CLIPS), channels])
    found = measure_modality_focus(
        features,
        channels.astype(np.float16),
        RECORDINGS,
        channel_names=("dead", "noise", "bark"),
    )
    assert found.constant_channels == ("dead",)
    assert [fit.name for fit in found.fits] == ["bark", "noise"]
    assert found.share_audible == 0.5


def test_one_channel_is_measured_as_several_are() -> None:
    features = make_features()
    channels = make_channels(features)
    alone = measure(features, channels[:, 6:7]).fits[0].r2
    among = [fit.r2 for fit in measure(features, channels).fits if fit.name == "6"]
    assert alone == pytest.approx(among[0])


def test_the_floor_follows_the_seed_and_is_never_below_zero() -> None:
    features = make_features()
    channels = make_channels(features, num_each=2)
    found = measure(features, channels)
    assert found == measure(features, channels)
    assert found.floor != measure(features, channels, seed=1).floor
    assert found.floor >= 0
    assert measure(features, channels[:, :1], seed=2).floor >= 0


@pytest.mark.parametrize("shared", [0.0, 3.0])
def test_chance_passes_the_floor_about_as_rarely_as_the_level_says(shared: float) -> None:
    passed = 0
    of = np.arange(80) // 4
    for seed in range(30):
        generator = np.random.default_rng(seed)
        rows = shared * generator.standard_normal((20, 8))[of] + generator.standard_normal((80, 8))
        names = [f"r{place}" for place in of]
        found = measure_modality_focus(
            rows[:, :4], rows[:, 4:], names, num_folds=2, num_permutations=4, level=0.8, seed=seed
        )
        passed += found.share_audible > 0
    # 6 of 30 are allowed; two binomial deviations are 4.
    assert passed <= 10


def test_what_cannot_be_measured_is_refused() -> None:
    features = make_features()
    channels = make_channels(features)
    with pytest.raises(InvalidValueError, match="239 rows of features, 240 of channels and 240"):
        measure(features[1:], channels)
    with pytest.raises(InvalidValueError, match=r"\(240, 12\) and 1 names do not fit"):
        measure_modality_focus(features, channels, RECORDINGS, channel_names=["bark"])
    with pytest.raises(InvalidValueError, match="not finite"):
        measure(np.where(features > 2, np.inf, features), channels)
    with pytest.raises(InvalidValueError, match="5 folds of 1 recordings"):
        measure_modality_focus(features, channels, ["one"] * NUM_CLIPS)
    with pytest.raises(InvalidValueError, match="5 folds of 0 recordings"):
        measure_modality_focus(features[:0], channels[:0], [])
    with pytest.raises(
        InvalidValueError, match=r"18 permutations cannot tell level 0\.95; take 19"
    ):
        measure(features, channels, num_permutations=18)
    with pytest.raises(InvalidValueError, match="level 1 must be between 0 and 1"):
        measure(features, channels, level=1)
    with pytest.raises(InvalidValueError, match="all 12 channels are constant"):
        measure(features, 0 * channels)
