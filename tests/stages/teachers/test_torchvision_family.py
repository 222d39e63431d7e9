from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.registry import declare_teacher, load_teacher
from avkd.stages.teachers.request import parse_teacher
from avkd.stages.teachers.torchvision_family import TorchvisionFamily

Draw = Callable[[int, int], npt.NDArray[np.uint8]]


def test_users_weights_are_taken_for_the_first_recipe() -> None:
    family = TorchvisionFamily()
    theirs = family.preprocessing("resnet50", is_pretrained=False)
    newest = family.preprocessing("resnet50", is_pretrained=True)
    assert theirs.crop_fraction == 224 / 256
    assert newest.crop_fraction == 224 / 232
    assert theirs.mean == (0.485, 0.456, 0.406)


def test_misspelt_model_offers_close_matches() -> None:
    for weights in ("", "random"):
        with pytest.raises(UnknownNameError, match="did you mean torchvision/resnet18"):
            declare_teacher(parse_teacher("torchvision/resnet19", weights=weights))


def test_weights_out_of_reach_offer_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import MobileNet_V3_Small_Weights

    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(MobileNet_V3_Small_Weights, "get_state_dict", fail)
    with pytest.raises(InvalidValueError, match="--weights") as caught:
        declare_teacher(parse_teacher("torchvision/mobilenet_v3_small"))
    assert "\n" not in str(caught.value)


def test_own_weights_are_first_read_as_tensors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import MobileNet_V3_Small_Weights, mobilenet_v3_small

    state = mobilenet_v3_small().state_dict()
    asked = []

    def read(*_: object, **options: object) -> dict[str, torch.Tensor]:
        asked.append(options.get("weights_only"))
        return state

    monkeypatch.setattr(MobileNet_V3_Small_Weights, "get_state_dict", read)
    declaration = declare_teacher(parse_teacher("torchvision/mobilenet_v3_small"))
    assert asked[0] is True
    assert declaration.outputs[0].shape == (1000,)


def test_network_that_ends_in_a_convolution_is_a_classifier_too(draw_noise: Draw) -> None:
    request = parse_teacher(
        "torchvision/squeezenet1_1", weights="random", batch_size=1, device="cpu"
    )
    teacher = load_teacher(request)
    outputs = teacher.predict(draw_noise(224, 1))
    assert outputs["logits"].shape == (1, 1000)
    assert outputs["embedding"].shape == (1, 512)
