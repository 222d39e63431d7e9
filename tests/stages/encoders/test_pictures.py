import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.encoders.pictures import (
    IMAGENET_MEAN,
    Normalise,
    PictureAugment,
    PictureEncoder,
    pictures,
)
from avkd.stages.encoders.streams import InputShape

SHAPES = {"frames": InputShape(shape=(3, 32, 48, 3)), "lite": InputShape(shape=(3, 6))}


def build(**options: object) -> PictureEncoder:
    torch.manual_seed(0)
    return pictures(SHAPES, **{"widths": (8, 16), **options})  # type: ignore[arg-type]


def frames(num_clips: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (num_clips, 3, 32, 48, 3), generator=generator)
    return pixels.to(torch.uint8)


def augment(**options: float) -> PictureAugment:
    off: dict[str, float] = {"rand_augment": 0, "magnitude": 9, "flip": 0.0, "erase": 0.0}
    return PictureAugment(**{**off, **options}).train()  # type: ignore[arg-type]


def test_the_mean_colour_of_imagenet_becomes_zero_with_channels_first() -> None:
    grey = (255 * torch.tensor(IMAGENET_MEAN)).round().to(torch.uint8).expand(2, 4, 5, 3)
    normal = Normalise()(grey)
    assert normal.shape == (2, 3, 4, 5)
    assert normal.abs().max() < 0.01
    white = torch.full((1, 1, 1, 3), 255, dtype=torch.uint8)
    # The usual numbers on a scale from 0 to 1: (1 - mean) / sd.
    expected = torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])
    torch.testing.assert_close(Normalise()(white)[0, :, 0, 0], expected)


@torch.no_grad()
def test_the_embedding_is_the_mean_over_real_frames() -> None:
    encoder, shown = build().eval(), frames()
    vectors = encoder.network(encoder.normalise(shown.flatten(0, 1))).reshape(2, 3, 16)
    found = encoder({"frames": shown}, torch.tensor([3, 1]))
    torch.testing.assert_close(found, torch.stack([vectors[0].mean(dim=0), vectors[1, 0]]))


@torch.no_grad()
def test_every_frame_of_a_real_step_is_seen_where_a_step_has_several() -> None:
    generator = torch.Generator().manual_seed(0)
    shown = torch.randint(0, 256, (2, 6, 32, 48, 3), generator=generator).to(torch.uint8)
    shapes = {"frames": InputShape(shape=(6, 32, 48, 3), frames_per_step=2)}
    encoder = pictures(shapes, widths=(8, 16)).eval()
    vectors = encoder.network(encoder.normalise(shown.flatten(0, 1))).reshape(2, 6, 16)
    found = encoder({"frames": shown}, torch.tensor([3, 1]))
    expected = torch.stack([vectors[0].mean(dim=0), vectors[1, :2].mean(dim=0)])
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_every_frame_of_a_real_step_is_changed_while_training() -> None:
    shapes = {"frames": InputShape(shape=(6, 32, 48, 3), frames_per_step=2)}
    shown, num_steps = frames(4).repeat(1, 2, 1, 1, 1), torch.tensor([3, 1, 2, 3])
    said = []
    for flip, each in ((1.0, shown), (0.0, shown.flip(3))):
        torch.manual_seed(0)
        encoder = pictures(shapes, widths=(8, 16), flip=flip).train()
        said.append(encoder({"frames": each}, num_steps))
    assert torch.equal(*said)


def test_padding_does_not_shift_the_statistics_of_training() -> None:
    shown = frames()
    black = shown.clone()
    black[1, 1:] = 0
    means = []
    for each in (shown, black):
        encoder = build().train()
        encoder({"frames": each}, torch.tensor([3, 1]))
        means.append(encoder.state_dict()["network.blocks.0.1.running_mean"])
    assert torch.equal(*means)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t"])
@torch.no_grad()
def test_networks_of_timm_are_bodies_of_their_own_width(name: str) -> None:
    encoder = build(body=f"timm/{name}").eval()
    assert encoder({"frames": frames()}, torch.tensor([3, 1])).shape == (2, encoder.embedding_size)
    assert encoder.training is False
    assert build(body=f"timm/{name}").network.training


def test_flips_turn_all_frames_of_a_clip() -> None:
    shown = frames(32)
    flipped = augment(flip=0.5)(shown, torch.full((32,), 3))
    turned = (flipped == shown.flip(3)).flatten(1).all(dim=1)
    kept = (flipped == shown).flatten(1).all(dim=1)
    assert torch.equal(turned, ~kept)
    assert 4 < turned.sum() < 28


def test_erased_boxes_are_grey_and_in_one_place_of_a_clip() -> None:
    shown = frames(8)
    erased = augment(erase=1.0)(shown, torch.full((8,), 3))
    changed = (erased != shown).any(dim=-1)
    assert torch.equal(erased[changed].unique(dim=0), torch.tensor([[124, 116, 104]]).byte())
    # A few pixels had that very grey before.
    for clip in changed:
        assert 0.01 < clip.float().mean() < 0.4
        rows, columns = clip.any(dim=0).any(dim=1), clip.any(dim=0).any(dim=0)
        assert clip[:, rows][:, :, columns].float().mean() > 0.98


def test_rand_augment_repeats_with_the_seed_and_leaves_padding_alone() -> None:
    shown, num_steps = frames(8), torch.tensor([3, 2, 1, 3, 3, 3, 3, 3])
    change = augment(rand_augment=2)
    torch.manual_seed(4)
    first = change(shown, num_steps)
    torch.manual_seed(4)
    assert torch.equal(first, change(shown, num_steps))
    assert not torch.equal(first, change(shown, num_steps))
    assert torch.equal(first[1, 2:], shown[1, 2:])
    assert first.dtype == torch.uint8
    assert torch.equal(shown, frames(8))


def test_nothing_changes_outside_training() -> None:
    shown, num_steps = frames(), torch.tensor([3, 3])
    assert augment(rand_augment=2, flip=1.0, erase=1.0).eval()(shown, num_steps) is shown
    assert augment()(shown, num_steps) is shown


@torch.no_grad()
def test_an_encoder_is_shown_changed_pictures_while_it_trains() -> None:
    inputs, num_steps = {"frames": frames()}, torch.tensor([3, 3])
    changed, plain = build(flip=1.0), build()
    mirrored = {"frames": inputs["frames"].flip(3)}
    assert torch.equal(changed.train()(inputs, num_steps), plain.train()(mirrored, num_steps))
    assert not torch.equal(changed(inputs, num_steps), plain(inputs, num_steps))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stream": "lite"}, "'lite' has rows of shape"),
        ({"body": "large"}, "body 'large' is not known; use 'small' or 'timm/NAME'"),
        ({"body": "timm/resnet99"}, "timm has no network 'resnet99'"),
        ({"body": "timm/vit_tiny_patch16_224"}, "set img_size there"),
        ({"body": "timm/resnet10t", "body_options": {"colour": 1}}, "does not take pictures"),
        ({"body_options": {"img_size": 64}}, "small has widths"),
        ({"widths": ()}, "widths"),
        ({"widths": (8, 0)}, "widths"),
        ({"pool": "last"}, "pool 'last'"),
        ({"dropout": 1.0}, "dropout 1"),
        ({"rand_augment": -1}, "rand_augment -1"),
        ({"rand_augment": 1, "magnitude": 31}, "magnitude 31"),
        ({"flip": 1.5}, "flip 1.5"),
        ({"erase": -0.5}, "erase -0.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build(**options)


def test_pictures_of_another_type_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"torch.float32 .* but must be uint8"):
        build()({"frames": frames().float()}, torch.tensor([3, 3]))
