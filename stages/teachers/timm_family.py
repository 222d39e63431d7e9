"""Any timm classifier: ``timm/<model>``."""

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.declaration import Preprocessing, Teacher, TeacherDeclaration
from avkd.stages.teachers.registry import register_teacher
from avkd.stages.teachers.request import TeacherRequest

if TYPE_CHECKING:
    from torch import nn

    from avkd.stages.teachers.checkpoint import StateDict


_HUB_FILE = "model.safetensors"


@register_teacher("timm")
class TimmFamily:
    """Weights from a file, or from timm's own hub where it can be reached."""

    summary = "timm/<model>: any timm classifier; --weights, or timm's own from its hub"

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        """Build the network to declare its widths."""
        from avkd.stages.teachers.network import declare_from

        return declare_from(self, request)

    def load(self, request: TeacherRequest) -> Teacher:
        """Load into the request's runtime."""
        from avkd.stages.teachers.network import load_from

        return load_from(self, request)

    def build(self, model: str, num_classes: int | None) -> "nn.Module":
        """Build without weights."""
        return self._create(model, num_classes=num_classes)

    def build_pretrained(self, model: str) -> "tuple[nn.Module, str]":
        """Build with the weights of timm's hub or its cache."""
        from avkd.stages.teachers.checkpoint import digest_state_dict

        _check_model(model)
        try:
            _check_hub(model)
            network = self._create(model, pretrained=True)
        except Exception as error:
            raise InvalidValueError(
                f"timm gives no weights for {model!r} ({type(error).__name__}: is its hub "
                "reachable?); give a file with --weights"
            ) from error
        return network, digest_state_dict(network.state_dict())

    def classifier_layer(self, network: "nn.Module") -> str:
        """Ask timm."""
        from avkd.stages.teachers.classifier import name_of_layer

        ask = getattr(network, "get_classifier", None)
        name = name_of_layer(network, ask()) if ask else ""
        if not name:
            raise InvalidValueError(
                f"timm's {type(network).__name__} has no single classifier layer; "
                "choose a model with a classification head"
            )
        return name

    def preprocessing(self, model: str, *, is_pretrained: bool) -> Preprocessing:
        """Take timm's configuration of the model."""
        import timm

        config = timm.get_pretrained_cfg(model, allow_unregistered=False)
        if config is None:
            raise InvalidValueError(f"timm knows no pictures for {model!r}; choose another model")
        num_channels, height, width = config.input_size
        if num_channels != 3:
            raise InvalidValueError(
                f"timm's {model!r} takes {num_channels} channels; choose a model that takes RGB"
            )
        return Preprocessing(
            height=height,
            width=width,
            crop_fraction=config.crop_pct,
            mean=_rgb(config.mean),
            std=_rgb(config.std),
        )

    def rename(self, state: "StateDict", _: "nn.Module") -> "StateDict":
        """Expect timm's names."""
        return state

    def _create(
        self, model: str, *, pretrained: bool = False, num_classes: int | None = None
    ) -> "nn.Module":
        import timm

        _check_model(model)
        network: nn.Module = timm.create_model(
            model, pretrained=pretrained, num_classes=num_classes
        )
        return network


def _rgb(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def _check_model(model: str) -> None:
    import timm

    if not timm.is_model(model):
        known = [f"timm/{name}" for name in timm.list_models()]
        raise UnknownNameError("teacher", f"timm/{model}", known)


def _check_hub(model: str) -> None:
    """Ask for the hub's address: without a network the hub's client tries on for 50 s."""
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    config = timm.get_pretrained_cfg(model)
    hub_id = config.hf_hub_id if config else None
    is_cached = hub_id and isinstance(try_to_load_from_cache(hub_id, _HUB_FILE), str)
    if not is_cached and not getproxies():
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, None)
