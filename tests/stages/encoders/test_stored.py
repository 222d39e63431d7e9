import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.stored import StoredEncoder, stored
from avkd.stages.encoders.streams import InputShape

SHAPES = {
    "lite": InputShape(shape=(3, 6)),
    "clipwise": InputShape(shape=(6,)),
    "waveform": InputShape(shape=(1, 100), sample_rate=10),
}


def build(stream: str = "lite", **options: object) -> StoredEncoder:
    torch.manual_seed(0)
    return stored(SHAPES, stream=stream, **options)  # type: ignore[arg-type]


@torch.no_grad()
def test_it_is_a_perceptron_over_the_mean_of_real_steps() -> None:
    encoder = build(hidden_size=5, layer_norm=False).eval()
    embeddings = torch.randn(2, 3, 6)
    means = torch.stack([embeddings[0].mean(dim=0), embeddings[1, :2].mean(dim=0)])
    expected = encoder.layers[0](means).relu()
    found = encoder({"lite": embeddings}, torch.tensor([3, 2]))
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_one_embedding_a_clip_is_as_good_as_one_in_every_step() -> None:
    clipwise, stepwise = build("clipwise").eval(), build("lite").eval()
    embeddings, num_steps = torch.randn(2, 6), torch.tensor([3, 1])
    torch.testing.assert_close(
        clipwise({"clipwise": embeddings}, num_steps),
        stepwise({"lite": embeddings[:, None].expand(2, 3, 6)}, num_steps),
    )


@torch.no_grad()
def test_layer_norm_makes_it_blind_to_the_teachers_scale() -> None:
    embeddings, num_steps = torch.randn(2, 3, 6), torch.tensor([3, 3])
    encoder = build().eval()
    torch.testing.assert_close(
        encoder({"lite": 100 * embeddings}, num_steps),
        encoder({"lite": embeddings}, num_steps),
        rtol=1e-3,
        atol=1e-4,
    )


def test_noise_disturbs_training_only() -> None:
    inputs, num_steps = {"lite": torch.randn(2, 3, 6)}, torch.tensor([3, 3])
    encoder = build(dropout=0.0, input_noise=1.0)
    assert not torch.equal(encoder.train()(inputs, num_steps), encoder(inputs, num_steps))
    clean = build(dropout=0.0).train()
    assert torch.equal(encoder.eval()(inputs, num_steps), clean(inputs, num_steps))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stream": "waveform"}, "'waveform' has rows of shape"),
        ({"hidden_size": 0}, "hidden_size 0"),
        ({"num_layers": 0}, "num_layers 0"),
        ({"dropout": -0.1}, "dropout -0.1"),
        ({"input_noise": -1.0}, "input_noise -1"),
        ({"pool": "last"}, "pool 'last'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build(**options)  # type: ignore[arg-type]


def test_embeddings_of_another_teacher_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="'lite' has vectors of 7"):
        build()({"lite": torch.zeros(2, 3, 7)}, torch.tensor([3, 3]))
