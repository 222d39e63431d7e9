import socket

import pytest
import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers import timm_family
from avkd.stages.teachers.registry import declare_teacher
from avkd.stages.teachers.request import parse_teacher
from avkd.stages.teachers.timm_family import TimmFamily


def test_pictures_are_those_of_timms_configuration() -> None:
    preprocessing = TimmFamily().preprocessing("resnet18", is_pretrained=True)
    assert (preprocessing.height, preprocessing.width) == (224, 224)
    assert preprocessing.crop_fraction == 0.95
    assert preprocessing.mean == (0.485, 0.456, 0.406)


def test_misspelt_model_offers_close_matches() -> None:
    for weights in ("", "random"):
        with pytest.raises(UnknownNameError, match="did you mean timm/resnet18"):
            declare_teacher(parse_teacher("timm/resnt18", weights=weights))


def test_model_of_other_channels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    config = timm.get_pretrained_cfg("resnet18")
    config.input_size = (1, 64, 64)
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda *_, **__: config)
    with pytest.raises(InvalidValueError, match="1 channels"):
        TimmFamily().preprocessing("resnet18", is_pretrained=True)


def test_model_without_one_classifier_is_refused() -> None:
    request = parse_teacher("timm/deit_tiny_distilled_patch16_224", weights="random")
    with pytest.raises(InvalidValueError, match="classification head"):
        declare_teacher(request)
    with pytest.raises(InvalidValueError, match="Linear has no single classifier"):
        TimmFamily().classifier_layer(torch.nn.Linear(2, 2))


def test_hub_out_of_reach_offers_weights_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise socket.gaierror("no network")

    monkeypatch.setattr(timm_family, "getproxies", dict)
    monkeypatch.setattr(timm_family.socket, "getaddrinfo", fail)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(InvalidValueError, match="--weights") as caught:
        declare_teacher(parse_teacher("timm/resnet10t"))
    assert "\n" not in str(caught.value)


def test_cached_weights_need_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def fail(*_: object) -> None:
        raise socket.gaierror("no network")

    def create(model: str, *, pretrained: bool, num_classes: int | None) -> torch.nn.Module:
        assert pretrained
        return build(model, pretrained=False, num_classes=num_classes)

    build = timm.create_model
    monkeypatch.setattr(timm_family.socket, "getaddrinfo", fail)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: "/cache/file")
    monkeypatch.setattr(timm, "create_model", create)
    digest = declare_teacher(parse_teacher("timm/resnet10t")).fingerprint["weights_sha256"]
    assert len(str(digest)) == 64
