"""Any torchvision classifier: ``torchvision/<model>``."""

from typing import TYPE_CHECKING, Any

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.declaration import Preprocessing, Teacher, TeacherDeclaration
from avkd.stages.teachers.registry import register_teacher
from avkd.stages.teachers.request import TeacherRequest

if TYPE_CHECKING:
    from torch import nn

    from avkd.stages.teachers.checkpoint import StateDict


@register_teacher("torchvision")
class TorchvisionFamily:
    """Weights from a file, or torchvision's default ones where they can be reached."""

    summary = "torchvision/<model>: any torchvision classifier; --weights, or torchvision's own"

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
        options = {} if num_classes is None else {"num_classes": num_classes}
        return self._create(model, weights=None, **options)

    def build_pretrained(self, model: str) -> "tuple[nn.Module, str]":
        """Build with torchvision's default weights from its cache or its site."""
        from avkd.stages.teachers.checkpoint import digest_state_dict

        entry = self._weights_entries(model).DEFAULT
        try:
            # torchvision opens its files without weights_only: look first, with it.
            entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
            network = self._create(model, weights=entry, progress=False)
        except Exception as error:
            raise InvalidValueError(
                f"torchvision gives no weights for {model!r} ({type(error).__name__}: is its site "
                "reachable?); give a file with --weights"
            ) from error
        return network, digest_state_dict(network.state_dict())

    def classifier_layer(self, network: "nn.Module") -> str:
        """Take the last layer: torchvision puts auxiliary heads before it."""
        from avkd.stages.teachers.classifier import find_last_layer

        return find_last_layer(network)

    def preprocessing(self, model: str, *, is_pretrained: bool) -> Preprocessing:
        """Take the pictures of the weights; a user's are taken for the model's first recipe."""
        entries = self._weights_entries(model)
        transforms = (entries.DEFAULT if is_pretrained else next(iter(entries))).transforms()
        height = width = transforms.crop_size[0]
        return Preprocessing(
            height=height,
            width=width,
            crop_fraction=height / transforms.resize_size[0],
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
        )

    def rename(self, state: "StateDict", _: "nn.Module") -> "StateDict":
        """Expect torchvision's names."""
        return state

    def _create(self, model: str, **options: object) -> "nn.Module":
        from torchvision import models

        self._weights_entries(model)
        network: nn.Module = models.get_model(model, **options)
        return network

    def _weights_entries(self, model: str) -> Any:
        """Give the enumeration of a model's weights."""
        from torchvision import models

        names = models.list_models(module=models)
        if model not in names:
            known = [f"torchvision/{name}" for name in names]
            raise UnknownNameError("teacher", f"torchvision/{model}", known)
        return models.get_model_weights(model)
