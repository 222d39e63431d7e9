import pytest
import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.sound import SoundEncoder, sound
from avkd.stages.encoders.streams import InputShape

SECOND = 22_050
WAVEFORM = InputShape(shape=(1, 4 * SECOND), sample_rate=22_050)
SHAPES = {"waveform": WAVEFORM, "frames": InputShape(shape=(4, 8, 8, 3))}
LOGMEL = {"body_options": {"widths": (8, 12, 16)}}
SOUNDNET = {"body": "soundnet8", "body_options": {"width": 0.125, "head_kernel": 4}}


def build(shapes: dict[str, InputShape] = SHAPES, **options: object) -> SoundEncoder:
    torch.manual_seed(0)
    return sound(shapes, **{**LOGMEL, **options})  # type: ignore[arg-type]


@torch.no_grad()
def test_the_embedding_is_the_mean_over_the_columns_of_real_steps() -> None:
    encoder = build().eval()
    waveform = 0.1 * torch.randn(2, 1, 4 * SECOND)
    columns = encoder.body(waveform)
    assert columns.shape == (2, 16, 17)
    found = encoder({"waveform": waveform}, torch.tensor([4, 2]))
    torch.testing.assert_close(found[0], columns[0].mean(dim=1))
    # 17 columns over 4 s: the middle of the ninth lies exactly at 2 s, and counts half to even.
    torch.testing.assert_close(found[1], columns[1, :, :8].mean(dim=1))


@torch.no_grad()
def test_without_stored_steps_the_longest_clip_of_a_batch_fills_its_waveform() -> None:
    known, unknown = build().eval(), build({"waveform": WAVEFORM}).eval()
    inputs = {"waveform": 0.1 * torch.randn(2, 1, 4 * SECOND)}
    full, short = torch.tensor([4, 2]), torch.tensor([2, 2])
    assert torch.equal(known(inputs, full), unknown(inputs, full))
    assert torch.equal(known(inputs, short)[1], known(inputs, full)[1])
    assert torch.equal(unknown(inputs, short)[0], known(inputs, full)[0])


@torch.no_grad()
def test_what_follows_a_clip_is_heard_at_its_border_only() -> None:
    encoder = build(body_options={"widths": (8, 12, 16), "normalisation": "fixed"}).eval()
    quiet = 0.1 * torch.randn(1, 1, 4 * SECOND)
    loud = torch.cat([quiet[..., : 3 * SECOND], torch.randn(1, 1, SECOND)], dim=-1)
    one, three = torch.tensor([1]), torch.tensor([3])
    assert torch.equal(encoder({"waveform": quiet}, one), encoder({"waveform": loud}, one))
    assert not torch.equal(encoder({"waveform": quiet}, three), encoder({"waveform": loud}, three))


def test_sound_is_changed_while_training_only_and_each_change_can_be_switched_off() -> None:
    inputs, num_steps = {"waveform": 0.1 * torch.randn(2, 1, 4 * SECOND)}, torch.tensor([4, 4])
    off = {"num_masks": 0, "max_shift_seconds": 0.0, "max_gain_decibels": 0.0}
    plain = build(**off).train()(inputs, num_steps)
    assert torch.equal(plain, build(**off).train()(inputs, num_steps))
    # The normalisation of log-mels by clip is blind to gain, so that it is tested with a fixed one.
    fixed = {"widths": (8, 12, 16), "normalisation": "fixed"}
    unchanged = build(**off, body_options=fixed).train()(inputs, num_steps)
    for name, value in {
        "num_masks": 1,
        "max_shift_seconds": 0.1,
        "max_gain_decibels": 6.0,
    }.items():
        changed = build(**(off | {name: value}), body_options=fixed).train()
        assert not torch.allclose(changed(inputs, num_steps), unchanged), name


@torch.no_grad()
def test_any_encoder_of_sound_is_a_body() -> None:
    encoder = build(**SOUNDNET, pool="attention").eval()
    assert encoder.embedding_size == 128
    inputs = {"waveform": 0.1 * torch.randn(2, 1, 4 * SECOND)}
    assert encoder(inputs, torch.tensor([4, 1])).shape == (2, 128)
    with pytest.raises(InvalidValueError, match="use longer clips or repeat them"):
        encoder({"waveform": torch.zeros(2, 1, 1000)}, torch.tensor([1, 1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"body_options": {"augment": False}}, "augment is an option of sound itself"),
        ({"body_options": {"depth": 3}}, "options of encoder 'logmel_resnet'"),
        ({"pool": "last"}, "pool 'last'"),
        ({"dropout": 1.0}, "dropout 1"),
        ({"num_masks": -1}, "num_masks -1"),
        ({"max_mels": 0}, "max_mels 0"),
        ({"max_columns_fraction": 1.5}, "max_columns_fraction 1.5"),
        ({"max_shift_seconds": -0.1}, "max_shift_seconds -0.1"),
        ({"max_gain_decibels": -6.0}, "max_gain_decibels -6"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build(**options)


def test_another_rate_or_body_is_refused_by_name() -> None:
    wrong = {"waveform": InputShape(shape=(1, 64_000), sample_rate=16_000)}
    with pytest.raises(
        InvalidValueError, match="waveform is at 16000 Hz but logmel_resnet hears 22050 Hz"
    ):
        build(wrong)
    with pytest.raises(UnknownNameError, match="did you mean soundnet8"):
        build(body="soundnet7")
