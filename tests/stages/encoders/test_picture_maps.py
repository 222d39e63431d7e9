import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.picture_maps import PictureMapsEncoder, picture_maps
from avkd.stages.encoders.picture_perturbation import PicturePerturbation
from avkd.stages.encoders.streams import InputShape

HEIGHT, WIDTH, NUM_STEPS = 13, 18, 3
SHAPES = {
    "frames_rgb": InputShape(shape=(NUM_STEPS, HEIGHT, WIDTH, 3)),
    "frames_depth": InputShape(shape=(NUM_STEPS, HEIGHT, WIDTH, 1)),
    "frames_thermal": InputShape(shape=(NUM_STEPS, HEIGHT, 2 * WIDTH, 1)),
    "frames_often": InputShape(shape=(6, HEIGHT, WIDTH, 1), frames_per_step=2),
    "lite": InputShape(shape=(NUM_STEPS, 24)),
}
BOTH = ("frames_rgb", "frames_depth")
STEPS = torch.tensor([3, 1])


def build(streams=BOTH, **options: object) -> PictureMapsEncoder:
    torch.manual_seed(0)
    chosen = {"widths": (8, 12, 16), "decoder_width": 8, "fine_width": 6, **options}
    return picture_maps(SHAPES, streams=streams, **chosen)


def pictures(seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randint(
            0, 256, (2, *SHAPES[name].shape), generator=generator, dtype=torch.uint8
        )
        for name in BOTH
    }


@torch.no_grad()
@pytest.mark.parametrize("widths", [(8, 12), (8, 12, 16), (4, 4, 4, 4, 4, 4)])
def test_every_real_step_becomes_features_at_half_the_size_whatever_that_is(widths):
    encoder = build(widths=widths).eval()
    maps = encoder.encode_maps(pictures(), STEPS)
    assert maps.shape == (4, 6, 7, 9)  # of 13 by 18 pixels: the last row is half outside
    assert encoder(pictures(), STEPS).shape == (2, encoder.embedding_size)
    torch.testing.assert_close(encoder(pictures(), STEPS)[1], maps[3].mean(dim=(1, 2)))


@torch.no_grad()
def test_each_stream_is_looked_at_and_what_is_not_real_is_not():
    encoder, inputs = build().eval(), pictures()
    expected = encoder.encode_maps(inputs, STEPS)
    for name in BOTH:
        changed = {**inputs, name: pictures(seed=2)[name]}
        assert not torch.allclose(encoder.encode_maps(changed, STEPS), expected)
    for name in BOTH:
        inputs[name][1, 1:] = 77
    assert torch.equal(encoder.encode_maps(inputs, STEPS), expected)


@torch.no_grad()
def test_a_stream_alone_needs_no_other():
    encoder = build(streams=("frames_depth",), drop_stream=0.9)
    assert encoder.encode_maps(pictures(), STEPS).shape == (4, 6, 7, 9)
    assert encoder.perturbation.keep(5) is None


@torch.no_grad()
def test_disturbance_is_for_training_alone_and_one_seed_gives_one():
    options = {"input_noise": 0.5, "brightness": 0.2, "drop_stream": 0.5, "dropout": 0.5}
    encoder = build(**options)

    def encode(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return encoder.encode_maps(pictures(), STEPS)

    assert torch.equal(encode(1), encode(1))
    assert not torch.equal(encode(1), encode(2))
    encoder.eval()
    assert torch.equal(encode(1), encode(2))


def test_noise_is_in_units_of_the_pictures_mean_and_of_its_stream_alone():
    change = PicturePerturbation(BOTH, input_noise={"frames_rgb": 0.5})
    rgb = torch.cat([torch.full((1, 3, 64, 64), 0.2), torch.full((1, 3, 64, 64), 0.8)])
    depth = torch.rand(2, 1, 64, 64)
    torch.manual_seed(0)
    noisy, same = change([rgb, depth])
    assert torch.equal(same, depth)
    torch.testing.assert_close(
        (noisy - rgb).std(dim=(1, 2, 3)), torch.tensor([0.1, 0.4]), rtol=0.05, atol=0
    )


def test_brightness_moves_all_of_a_picture_by_one_amount():
    change = PicturePerturbation(("frames_rgb",), brightness=0.25)
    before = torch.rand(200, 3, 4, 4)
    torch.manual_seed(0)
    (after,) = change([before])
    moved = (after - before).flatten(1)
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), rtol=0, atol=1e-6)
    assert moved.abs().max() <= 0.25 + 1e-6
    assert moved[:, 0].std() == pytest.approx(0.25 / 3**0.5, rel=0.15)


def test_streams_are_taken_away_with_their_probability_but_never_all():
    change = PicturePerturbation(BOTH, drop_stream=0.3)
    torch.manual_seed(0)
    kept = change.keep(4_000)
    assert kept is not None
    assert kept.any(dim=1).all()
    # Both would be away with 0.09, half of which is given back to each.
    assert kept.float().mean(dim=0).tolist() == pytest.approx([0.745, 0.745], abs=0.02)
    assert change.eval().keep(5) is None


def test_some_streams_are_taken_away_more_often_than_others_and_one_stays():
    torch.manual_seed(0)
    rgb_alone = PicturePerturbation(BOTH, drop_stream={"frames_rgb": 0.3}).keep(4_000)
    assert rgb_alone is not None
    assert rgb_alone[:, 1].all()
    assert float(rgb_alone[:, 0].float().mean()) == pytest.approx(0.7, abs=0.02)
    uneven = PicturePerturbation(BOTH, drop_stream={"frames_rgb": 0.8, "frames_depth": 0.5})
    kept = uneven.keep(4_000)
    assert kept is not None
    assert kept.any(dim=1).all()
    # Both would be away with 0.8 * 0.5; in 0.5 * 0.5 / 2 of all RGB is the nearer to staying.
    given_back = 0.5 * 0.5 / 2, 0.8 * 0.5 - 0.5 * 0.5 / 2
    expected = [0.2 + given_back[0], 0.5 + given_back[1]]
    assert kept.float().mean(dim=0).tolist() == pytest.approx(expected, abs=0.025)


@torch.no_grad()
def test_a_stream_that_is_taken_away_leaves_no_trace():
    encoder = build(drop_stream=0.5)
    kept = torch.tensor([[True, False]] * 4)
    encoder.perturbation.keep = lambda num_pictures: kept  # type: ignore[method-assign]
    changed = {**pictures(), "frames_depth": pictures(seed=2)["frames_depth"]}
    torch.manual_seed(0)
    one = encoder.encode_maps(pictures(), STEPS)
    torch.manual_seed(0)
    assert torch.equal(encoder.encode_maps(changed, STEPS), one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"streams": "frames_rgb"}, "one or more names"),
        ({"streams": ("frames_rgb", "frames_rgb")}, "each once"),
        ({"streams": ("lite",)}, "not pictures"),
        ({"streams": ("frames_often",)}, "--frames-per-step 1"),
        ({"streams": ("frames_rgb", "frames_thermal")}, "frames_rgb 18x13, frames_thermal 36x13"),
        ({"streams": ("frames_heat",)}, "no input 'frames_heat'"),
        ({"input_noise": -1.0}, "input_noise -1"),
        ({"input_noise": {"frames_heat": 1.0}}, "'frames_heat', which is not looked at"),
        ({"drop_stream": 1.0}, "drop_stream 1"),
        ({"drop_stream": {"frames_depth": 1.0}}, "drop_stream 1"),
        ({"drop_stream": {"frames_heat": 0.5}}, "'frames_heat', which is not looked at"),
        ({"widths": ()}, "widths"),
        ({"widths": (8,)}, "two or more"),
        ({"decoder_width": 0}, "decoder_width"),
        ({"num_blocks": -1}, "num_blocks"),
    ],
)
def test_what_cannot_be_built_is_refused(options, words):
    with pytest.raises(InvalidValueError, match=words):
        build(**options)


def test_pictures_of_another_store_are_refused():
    inputs = pictures()
    inputs["frames_depth"] = inputs["frames_depth"][:, :, :-1]
    with pytest.raises(InvalidValueError, match=r"'frames_depth' is torch.uint8 of \(12, 18, 1\)"):
        build().encode_maps(inputs, STEPS)
