"""A classifier as a network from pictures to its logits and its embedding."""

import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.declaration import Preprocessing

OUTPUT_NAMES = ("logits", "embedding")


class Classifier(nn.Module):
    """uint8 frames (B, H, W, 3) to logits (B, C) and embedding (B, D), both float.

    The embedding is what enters the classifier layer, pooled over space where it has any. It is
    caught there because libraries agree on no other way to it.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, network: nn.Module, classifier_layer: str, preprocessing: Preprocessing
    ) -> None:
        """Wrap a network whose layer of that name gives the logits."""
        super().__init__()
        self.network = network
        self._embedding: torch.Tensor | None = None
        layer = network.get_submodule(classifier_layer)
        layer.register_forward_pre_hook(self._catch_embedding)
        mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
        std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
        self.register_buffer("scale", 1.0 / (255.0 * std))
        self.register_buffer("offset", -mean / std)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalise and classify."""
        pictures = frames.permute(0, 3, 1, 2).to(self.scale.dtype) * self.scale + self.offset
        logits = self.network(pictures)
        embedding = self._embedding
        assert embedding is not None, "the classifier layer did not run"
        self._embedding = None
        return logits, embedding.mean(dim=(2, 3)) if embedding.dim() == 4 else embedding

    def _catch_embedding(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._embedding = inputs[0]


def measure_layer(layer: nn.Module, family: str) -> tuple[int, int]:
    """Give the number of classes and the width of the embedding of a classifier layer.

    Raises:
        InvalidValueError: if it is neither linear nor a 1x1 convolution.
    """
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
        return layer.out_channels, layer.in_channels
    raise InvalidValueError(
        f"teacher {family!r} ends in {type(layer).__name__}, not in one linear classifier; "
        "choose a model with a classification head"
    )


def find_last_layer(network: nn.Module) -> str:
    """Name the last linear layer, or the last convolution of a network that has none linear."""
    modules = list(network.named_modules())
    for kind in (nn.Linear, nn.Conv2d):
        names = [str(name) for name, module in modules if isinstance(module, kind)]
        if names:
            return names[-1]
    return ""


def name_of_layer(network: nn.Module, layer: object) -> str:
    """Find under which name a network holds a layer; empty if it does not."""
    names = [name for name, module in network.named_modules() if module is layer]
    return str(names[0]) if names else ""
