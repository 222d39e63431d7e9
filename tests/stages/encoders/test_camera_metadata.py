import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.camera_metadata import CameraMetadata, build_metadata
from avkd.stages.encoders.streams import InputShape

SHAPES = {
    "camera": InputShape(shape=(3,)),
    "place": InputShape(shape=(2,)),
    "waveform": InputShape(shape=(2, 100), sample_rate=100),
}


def build(drop: float = 0.0, scale: float = 10.0) -> CameraMetadata:
    torch.manual_seed(0)
    built = build_metadata(SHAPES, ("camera", "place"), scale, drop)
    assert built is not None
    return built


def inputs(clips: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "camera": 10 * torch.randn(clips, 3, generator=generator),
        "place": 10 * torch.randn(clips, 2, generator=generator),
    }


def test_any_number_of_values_become_the_papers_128() -> None:
    assert build()(inputs()).shape == (4, 128)
    assert build_metadata(SHAPES, (), 10.0, 0.0) is None


@torch.no_grad()
def test_an_unknown_value_is_not_the_value_zero_and_its_rest_is_known() -> None:
    metadata, known = build().eval(), inputs()
    lacking, zero = ({name: value.clone() for name, value in known.items()} for _ in range(2))
    lacking["camera"][1, 2], zero["camera"][1, 2] = torch.nan, 0.0
    found, of_known, of_zero = metadata(lacking), metadata(known), metadata(zero)
    assert found.isfinite().all()
    assert not torch.equal(found[1], of_zero[1])
    torch.testing.assert_close(found[[0, 2, 3]], of_known[[0, 2, 3]])
    other = {name: value.clone() for name, value in lacking.items()}
    other["camera"][1, 0] = 3.0
    assert not torch.equal(metadata(other)[1], found[1])


def test_clips_that_are_told_nothing_are_as_those_without_values() -> None:
    metadata = build(drop=0.5).train()
    nothing = {name: torch.full_like(value, torch.nan) for name, value in inputs(64).items()}
    unknown = metadata(nothing)[0]
    torch.manual_seed(3)
    told = (metadata(inputs(64)) != unknown).any(dim=1)
    assert 16 < told.sum() < 48
    assert (metadata.eval()(inputs(64)) != unknown).any(dim=1).all()


def test_values_are_brought_to_the_scale_of_the_network() -> None:
    tenfold = {name: 10 * value for name, value in inputs().items()}
    torch.testing.assert_close(build(scale=100.0)(tenfold), build(scale=10.0)(inputs()))


@pytest.mark.parametrize(
    ("streams", "scale", "drop", "message"),
    [
        ("camera", 10.0, 0.0, "must be names of streams, each once"),
        (("camera", "camera"), 10.0, 0.0, "must be names of streams, each once"),
        (("height",), 10.0, 0.0, "the store has no input 'height'"),
        (("waveform",), 10.0, 0.0, "metadata needs one axis; name a column of numbers"),
        (("camera",), 0.0, 0.0, "metadata_scale 0 must be above 0"),
        (("camera",), 10.0, 1.0, "drop_metadata 1 must be at least 0 and below 1"),
    ],
)
def test_metadata_that_cannot_be_read_is_refused(
    streams: tuple[str, ...], scale: float, drop: float, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build_metadata(SHAPES, streams, scale, drop)
