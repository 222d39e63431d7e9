from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from avkd.errors import InvalidValueError
from avkd.stages.encoders.streams import InputShape
from avkd.stages.encoders.vectors import VectorEncoder, vectors

SHAPES = {"alpha": InputShape(shape=(1,)), "beta": InputShape(shape=(1,))}
NONE = torch.ones(())


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(seed: int = 0, **options: object) -> VectorEncoder:
    torch.manual_seed(seed)
    return vectors(SHAPES, **options)  # type: ignore[arg-type]


def test_layers_and_head_are_drawn_from_first_to_last() -> None:
    torch.manual_seed(3)
    first, second, head = nn.Linear(2, 5), nn.Linear(5, 5), nn.Linear(5, 2)
    encoder = build(3, streams=("alpha", "beta"), hidden_size=5)
    our_head = nn.Linear(encoder.embedding_size, 2)
    points = torch.randn(4, 2)
    expected = head(second(first(points).relu()).relu())
    inputs = {"alpha": points[:, :1], "beta": points[:, 1:]}
    assert torch.equal(our_head(encoder.eval()(inputs, NONE)), expected)


def test_noise_is_the_papers_and_drawn_in_its_order() -> None:
    encoder = build(streams=("alpha", "beta"), input_noise=0.7, hidden_noise=0.3, dropout=0.5)
    x = torch.randn(6, 2)
    torch.manual_seed(11)
    found = encoder({"alpha": x[:, :1], "beta": x[:, 1:]}, NONE)
    torch.manual_seed(11)
    noisy = x + 0.7 * x.abs().mean() * torch.randn(6, 2)
    y = encoder.layers[0](noisy).relu()
    y = nn.functional.dropout(y + 0.3 * y.abs().mean() * torch.randn(6, 32), 0.5)
    assert torch.equal(found, nn.functional.dropout(encoder.layers[1](y).relu(), 0.5))


def test_noise_of_amount_zero_is_drawn_while_training_only() -> None:
    encoder = build()
    x = torch.randn(5, 1)
    torch.manual_seed(2)
    trained = encoder.train()({"alpha": x}, NONE)
    after = torch.randn(3)
    torch.manual_seed(2)
    torch.randn(5, 1)
    torch.randn(5, 32)
    assert torch.equal(after, torch.randn(3))
    assert torch.equal(trained, encoder.eval()({"alpha": x}, NONE))


def two_moons() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """30 labelled points and labels, 270 points without, 200 to test on and theirs."""
    from sklearn.datasets import make_moons
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    points, labels = make_moons(n_samples=500, noise=0.1, random_state=42)
    points = StandardScaler().fit_transform(points)
    rest, test, rest_labels, test_labels = train_test_split(
        points, labels, test_size=0.4, random_state=42
    )
    few, many, few_labels, _ = train_test_split(rest, rest_labels, test_size=0.9, random_state=42)
    few, many, test = (torch.tensor(part, dtype=torch.float32) for part in (few, many, test))
    return few, torch.tensor(few_labels), many, test, torch.tensor(test_labels)


def fit(
    points: Tensor, labels: Tensor, *, seed: int, num_epochs: int, **options: object
) -> tuple[VectorEncoder, nn.Linear]:
    """Plain gradient descent on all points at once, as the released experiment does it."""
    encoder = build(seed, **options)
    head = nn.Linear(encoder.embedding_size, 2)
    optimiser = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.01)
    inputs = streams_of(points)
    for _ in range(num_epochs):
        optimiser.zero_grad()
        cross_entropy(head(encoder(inputs, NONE)), labels).backward()
        optimiser.step()
    return encoder.eval(), head


def streams_of(points: Tensor) -> dict[str, Tensor]:
    return {"alpha": points[:, :1], "beta": points[:, 1:]}


@torch.no_grad()
def classify(model: tuple[VectorEncoder, nn.Linear], points: Tensor) -> Tensor:
    encoder, head = model
    return head(encoder(streams_of(points), NONE)).argmax(dim=1)


def percent(found: Tensor, labels: Tensor) -> float:
    return 100 * (found == labels).double().mean().item()


@pytest.mark.usefixtures("one_thread")
def test_the_two_moons_come_out_as_published() -> None:
    few, few_labels, many, test, test_labels = two_moons()
    teacher = fit(few, few_labels, seed=39, num_epochs=1000, hidden_size=32)
    assert percent(classify(teacher, test), test_labels) == pytest.approx(69.5, abs=1.0)
    student = fit(
        many,
        classify(teacher, many),
        seed=81,
        num_epochs=2000,
        streams=("alpha", "beta"),
        hidden_size=16,
        input_noise=1.0,
    )
    assert percent(classify(student, test), test_labels) == pytest.approx(77.0, abs=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"streams": ()}, "streams"),
        ({"streams": "alpha"}, "streams"),
        ({"streams": ("alpha", "alpha")}, "each once"),
        ({"hidden_size": 0}, "hidden_size 0"),
        ({"num_layers": 0}, "num_layers 0"),
        ({"input_noise": -1.0}, "input_noise -1"),
        ({"hidden_noise": -1.0}, "hidden_noise -1"),
        ({"dropout": 1.0}, "dropout 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build(**options)


def test_vectors_of_another_width_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"'alpha' has vectors of 3 but .* built for 1"):
        build()({"alpha": torch.zeros(2, 3)}, NONE)
