"""A student that says the class of every pixel of every step.

Conventions: B clips, T steps, N real steps of a batch, K classes, H and W pixels of a class map.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from avkd.stages.encoders.picture_maps import MAP_STRIDE, PictureMapsEncoder
from avkd.stages.encoders.real_steps import real_mask


class DenseStudent(nn.Module):
    """An encoder of pictures, and a class for each pixel of a teacher's maps."""

    def __init__(
        self,
        encoder: PictureMapsEncoder,
        *,
        class_names: tuple[str, ...],
        teacher: str,
        map_size: tuple[int, int],
    ) -> None:
        """``class_names`` are the teacher's, ``map_size`` (H, W) is that of its maps."""
        super().__init__()
        self.encoder = encoder
        # Every pixel of a place has its own word (sub-pixel convolution; Shi et al., CVPR 2016).
        self.head = nn.Conv2d(encoder.map_channels, MAP_STRIDE**2 * len(class_names), 1)
        self.class_names = class_names
        self.teacher = teacher
        self.map_size = map_size

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs that it reads."""
        return self.encoder.streams

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """Logits (N, K, H, W) of the real steps, in order; ``num_steps`` (B,) of a clip are."""
        places = self.head(self.encoder.encode_maps(inputs, num_steps))
        height, width = self.encoder.picture_size
        logits: Tensor = functional.pixel_shuffle(places, MAP_STRIDE)[..., :height, :width]
        if logits.shape[-2:] == self.map_size:
            return logits
        return functional.interpolate(
            logits, size=self.map_size, mode="bilinear", align_corners=False
        )

    @torch.no_grad()
    def say_class_maps(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """uint8 (B, T, H, W): places in ``class_names``, 0 in steps that are not real."""
        logits = self(inputs, num_steps)
        mask_BT = real_mask(num_steps.to(logits.device), inputs[self.streams[0]].shape[1])
        maps = torch.zeros(
            (*mask_BT.shape, *self.map_size), dtype=torch.uint8, device=logits.device
        )
        maps[mask_BT] = logits.max(dim=1).indices.to(torch.uint8)
        return maps

    def describe(self) -> dict[str, object]:
        """What student.json says of it, as JSON can hold it."""
        return {
            "streams": self.streams,
            "embedding_size": self.encoder.embedding_size,
            "teacher": self.teacher,
            "map_classes": self.class_names,
            "map_size": self.map_size,
        }
