"""An image network over the frames of a clip.

Only frames of real steps pass through the network, so padding neither costs time nor shifts the
statistics of batch normalisation.

Conventions: B clips, T frames of a clip (one a step, or several), H height, W width, D width of the
embedding, N real frames of a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.real_steps import StepPool, real_mask
from avkd.stages.encoders.stream_inputs import (
    require_amount,
    require_counts,
    require_share,
    take_stream,
)
from avkd.stages.encoders.streams import (
    InputShape,
    StreamEncoder,
    register_stream_encoder,
    require_stream,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
NUM_MAGNITUDES = 31
"""torchvision's bins for the strength of RandAugment's operations."""
TIMM = "timm/"


class Normalise(nn.Module):
    """Pictures uint8 (N, H, W, 3) to float32 (N, 3, H, W) about zero, as ImageNet is."""

    mean: Tensor
    sd: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("sd", 255 * torch.tensor(IMAGENET_SD), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Channels last in memory, which is faster on a CPU."""
        return ((pictures - self.mean) / self.sd).permute(0, 3, 1, 2)


class PictureAugment(nn.Module):
    """RandAugment, flips and erased boxes while training, one draw a clip for all its frames.

    RandAugment (Cubuk et al. 2020), random erasing (Zhong et al. 2020); torchvision draws from
    torch's global generator.
    """

    def __init__(self, *, rand_augment: int, magnitude: int, flip: float, erase: float) -> None:
        """Operations and their strength; probabilities of a flip and of an erased box."""
        super().__init__()
        self.change = _augmentation(rand_augment, magnitude, flip, erase)

    def forward(self, frames: Tensor, num_real: Tensor) -> Tensor:
        """uint8 (B, T, H, W, 3), the ``num_real`` (B,) first frames changed while training."""
        if not self.training or self.change is None:
            return frames
        changed = frames.clone()
        for number, real in enumerate(num_real.clamp(1, frames.shape[1]).tolist()):
            clip = frames[number, :real].permute(0, 3, 1, 2)
            changed[number, :real] = self.change(clip).permute(0, 2, 3, 1)
        return changed


class PictureEncoder(StreamEncoder):
    """A network over each frame of the real steps, pooled over them."""

    def __init__(
        self,
        network: nn.Module,
        stream: str,
        embedding_size: int,
        *,
        augment: PictureAugment,
        pool: str,
        dropout: float,
        frames_per_step: int = 1,
    ) -> None:
        """``network`` maps pictures (N, 3, H, W) to vectors (N, embedding_size)."""
        super().__init__()
        self.streams = (stream,)
        self.embedding_size = embedding_size
        self.frames_per_step = frames_per_step
        self.augment = augment
        self.normalise = Normalise()
        self.network = network
        self.pool = StepPool(pool, embedding_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, D) of uint8 frames (B, T, H, W, 3)."""
        frames = take_frames(inputs, self.streams[0])
        num_real = num_steps.clamp_min(1) * self.frames_per_step
        mask_BT = real_mask(num_real, frames.shape[1])
        pictures = self.normalise(self.augment(frames, num_real)[mask_BT])
        vectors = self.network(pictures).float()
        vectors_BTD = vectors.new_zeros((*mask_BT.shape, self.embedding_size))
        vectors_BTD[mask_BT] = vectors
        pooled: Tensor = self.dropout(self.pool(vectors_BTD, mask_BT))
        return pooled


class SmallNetwork(nn.Module):
    """Convolutions of stride 2, each with batch normalisation and ReLU; the mean over places."""

    def __init__(self, widths: Sequence[int]) -> None:
        """One block for each width."""
        super().__init__()
        blocks = [_block(before, after) for before, after in pairwise([3, *widths])]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, last width)."""
        maps: Tensor = self.blocks(pictures)
        return maps.mean(dim=(2, 3))


@register_stream_encoder
def pictures(
    shapes: Mapping[str, InputShape],
    stream: str = "frames",
    body: str = "small",
    widths: Sequence[int] = (32, 64, 128, 256),
    pool: str = "mean",
    dropout: float = 0.0,
    rand_augment: int = 0,
    magnitude: int = 9,
    flip: float = 0.0,
    erase: float = 0.0,
    body_options: Mapping[str, object] | None = None,
) -> PictureEncoder:
    """An image network with fresh weights over each frame, pooled by ``mean`` or ``attention``.

    ``body`` is ``small``, a block for each of ``widths``, or ``timm/NAME``, to which
    ``body_options`` go. While training, ``rand_augment`` operations of strength ``magnitude`` (of
    30) change a clip, and ``flip`` and ``erase`` are probabilities; 0 switches each off.

    Raises:
        InvalidValueError: There are no such frames or no such network, or an option is out of its
            range.
    """
    shape = frame_shape(shapes, stream)
    require_share("dropout", dropout)
    augment = PictureAugment(rand_augment=rand_augment, magnitude=magnitude, flip=flip, erase=erase)
    network, size = _build_network(body, widths, body_options or {}, shape)
    return PictureEncoder(
        network,
        stream,
        size,
        augment=augment,
        pool=pool,
        dropout=dropout,
        frames_per_step=shapes[stream].frames_per_step,
    )


def frame_shape(shapes: Mapping[str, InputShape], stream: str) -> tuple[int, int]:
    """Height and width of a stream of frames.

    Raises:
        InvalidValueError: There is no such stream, or it has no pictures.
    """
    shape = require_stream(shapes, stream).shape
    if len(shape) != 4 or shape[-1] != 3:
        raise InvalidValueError(
            f"{stream!r} has rows of shape {shape}, not frames (steps, height, width, 3); "
            "name the stream of the pictures"
        )
    return shape[1], shape[2]


def take_frames(inputs: Mapping[str, Tensor], stream: str) -> Tensor:
    """The frames of a batch.

    Raises:
        InvalidValueError: They are missing or no uint8 pictures.
    """
    frames = take_stream(inputs, stream, 5, "uint8 (clips, steps, height, width, 3)")
    if frames.dtype != torch.uint8 or frames.shape[-1] != 3:
        raise InvalidValueError(
            f"{stream!r} is {frames.dtype} of shape {tuple(frames.shape)} but must be uint8 "
            "(clips, steps, height, width, 3)"
        )
    return frames


def _build_network(
    body: str, widths: Sequence[int], options: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[nn.Module, int]:
    """A network and the width of its vectors."""
    if body == "small":
        require_counts("widths", widths)
        if options:
            raise InvalidValueError("body_options are for timm's networks; small has widths")
        return SmallNetwork(widths), widths[-1]
    if not body.startswith(TIMM):
        raise InvalidValueError(f"body {body!r} is not known; use 'small' or 'timm/NAME'")
    return _build_timm(body.removeprefix(TIMM), options, shape)


def _build_timm(
    name: str, options: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[nn.Module, int]:
    import timm

    if not timm.is_model(name):
        raise InvalidValueError(f"timm has no network {name!r}; timm.list_models() has the names")
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
        # timm's own counts do not always tell the width; a look at one picture does.
        with torch.no_grad():
            vectors = network.eval()(torch.zeros(1, 3, *shape))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidValueError(
            f"timm's {name} does not take pictures of {shape[0]} x {shape[1]} with body_options "
            f"{dict(options)}: {reason}; set img_size there, or choose another network"
        ) from error
    return network.train(), vectors.shape[-1]


def _augmentation(
    rand_augment: int, magnitude: int, flip: float, erase: float
) -> Callable[[Tensor], Tensor] | None:
    require_amount("rand_augment", rand_augment)
    if not 0 <= magnitude < NUM_MAGNITUDES:
        raise InvalidValueError(f"magnitude {magnitude} must be from 0 to {NUM_MAGNITUDES - 1}")
    for name, value in (("flip", flip), ("erase", erase)):
        if not 0 <= value <= 1:
            raise InvalidValueError(f"{name} {value:g} must be a probability from 0 to 1")
    if not (rand_augment or flip or erase):
        return None
    from torchvision.transforms import v2

    # Filled with grey, which is near zero once normalised.
    grey = [round(255 * mean) for mean in IMAGENET_MEAN]
    changes: list[Any] = []
    if rand_augment:
        changes.append(v2.RandAugment(rand_augment, magnitude, NUM_MAGNITUDES, fill=grey))
    if flip:
        changes.append(v2.RandomHorizontalFlip(flip))
    if erase:
        changes.append(v2.RandomErasing(erase, value=grey))
    return cast(Callable[[Tensor], Tensor], v2.Compose(changes))


def _block(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
