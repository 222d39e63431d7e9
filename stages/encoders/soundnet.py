"""SoundNet's bodies (Aytar, Vondrick and Torralba, NIPS 2016), 8 and 5 layers deep.

Convolutions over the raw waveform; all but the heads are followed by batch normalisation and ReLU,
and pools are as wide as their stride, as in the released code (the paper's table prints another
stride, which does not give its lengths). A layer name means the map after its ReLU or its pooling.

Conventions: B clips, C channels, S samples, T columns.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import init

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.registry import Encoder, register_encoder, require_samples

SAMPLE_RATE = 22_050
INPUT_GAIN = 256.0
"""Takes [-1, 1] to the range of the released code: 32-bit samples times 2^-23."""
WEIGHT_SD = 0.01
GAMMA_SD = 0.02


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution or pool over time; a pool has no channels of its own."""

    name: str
    kernel: int
    stride: int
    padding: int = 0
    channels: int = 0

    def length(self, num_columns: int) -> int:
        """Columns out for columns in; 0 where not even one fits."""
        return max((num_columns + 2 * self.padding - self.kernel) // self.stride + 1, 0)


def conv(name: str, channels: int, kernel: int) -> Layer:
    """SoundNet's pattern: stride 2, padding of half the kernel."""
    return Layer(name=name, kernel=kernel, stride=2, padding=kernel // 2, channels=channels)


def pool(name: str, width: int) -> Layer:
    """Maximum over windows that do not overlap."""
    return Layer(name=name, kernel=width, stride=width)


EIGHT_LAYERS = (
    conv("conv1", 16, 64),
    pool("pool1", 8),
    conv("conv2", 32, 32),
    pool("pool2", 8),
    conv("conv3", 64, 16),
    conv("conv4", 128, 8),
    conv("conv5", 256, 4),
    pool("pool5", 4),
    conv("conv6", 512, 4),
    conv("conv7", 1024, 4),
)
FIVE_LAYERS = (
    conv("conv1", 32, 64),
    pool("pool1", 8),
    conv("conv2", 64, 32),
    pool("pool2", 8),
    conv("conv3", 128, 16),
    pool("pool3", 8),
    conv("conv4", 256, 8),
)


class SoundNet(Encoder):
    """A stack of convolutions and pools over the raw waveform."""

    def __init__(
        self, layers: tuple[Layer, ...], head: Layer, *, feature_layer: str, input_gain: float
    ) -> None:
        """Build the stack with the released code's initial weights.

        ``head.channels`` is not used: each head has its own number of classes.
        """
        super().__init__()
        self.layers = layers
        self.head = head
        self.layer_names = tuple(layer.name for layer in layers)
        self.head_layer = head.name
        self.feature_layer = feature_layer
        self.sample_rate = SAMPLE_RATE
        self.input_gain = input_gain
        self.blocks = nn.ModuleDict(_blocks(layers))
        self.min_samples = self._shortest(head.name)
        initialise(self)

    def features(self, waveform: Tensor, layer: str) -> Tensor:
        """The feature map (B, C, T) of one layer for waveforms in [-1, 1], first channel."""
        if layer not in self.blocks:
            raise UnknownNameError("layer", layer, self.layer_names)
        num_samples = waveform.shape[-1]
        if self.layer_lengths(num_samples)[layer] == 0:
            require_samples("SoundNet", layer, num_samples, self._shortest(layer))
        columns = waveform[:, :1] * self.input_gain
        for name, block in self.blocks.items():
            columns = block(columns)
            if name == layer:
                break
        return columns

    def num_channels(self, layer: str) -> int:
        """The channels of a layer; a pool has those of the convolution before it."""
        channels = 1
        for each in self.layers:
            channels = each.channels or channels
            if each.name == layer:
                return channels
        raise UnknownNameError("layer", layer, self.layer_names)

    def build_head(self, num_classes: int) -> nn.Module:
        """A last convolution: (B, C, T) to (B, num_classes, T'); it refuses too few columns."""
        trunk = self.num_channels(self.layer_names[-1])
        head = SoundNetHead(self.head, trunk, num_classes, min_samples=self.min_samples)
        initialise(head)
        return head

    def layer_lengths(self, num_samples: int) -> dict[str, int]:
        """Columns of every layer, the head included, for a waveform of that many samples."""
        lengths: dict[str, int] = {}
        columns = num_samples
        for layer in (*self.layers, self.head):
            columns = layer.length(columns) if columns else 0
            lengths[layer.name] = columns
        return lengths

    def _shortest(self, layer: str) -> int:
        """The fewest samples that give the layer a column; lengths never fall with samples."""
        return bisect_left(range(1 << 24), 1, key=lambda num: self.layer_lengths(num)[layer])


class SoundNetHead(nn.Module):
    """The last convolution, one for each teacher."""

    def __init__(
        self, layer: Layer, num_channels: int, num_classes: int, *, min_samples: int
    ) -> None:
        """A convolution of the layer's shape; ``min_samples`` is for the message only."""
        super().__init__()
        self.layer = layer
        self.min_samples = min_samples
        self.conv = _convolution(layer, num_channels, num_classes)

    def forward(self, trunk: Tensor) -> Tensor:
        """Logits (B, num_classes, T') over columns.

        Raises:
            InvalidValueError: The trunk has too few columns.
        """
        if self.layer.length(trunk.shape[-1]) == 0:
            raise InvalidValueError(
                f"{self.layer.name} gets {trunk.shape[-1]} columns, too few for its kernel of "
                f"{self.layer.kernel}; give at least {self.min_samples} samples (repeat short "
                "clips) or choose a smaller head_kernel"
            )
        logits: Tensor = self.conv(trunk)
        return logits


@register_encoder
def soundnet8(width: float = 1.0, head_kernel: int = 8, input_gain: float = INPUT_GAIN) -> SoundNet:
    """The 8-layer network; 20 s give 4 columns, one for each of 4 steps.

    ``width`` multiplies the channels (1 is the paper's); ``head_kernel`` 8 needs 9.5 s of sound, 4
    (the paper's for fine-tuning on 5 s) 3.6 s; the released evaluation scripts read features at
    twice the ``input_gain`` of training.
    """
    head = Layer(name="conv8", kernel=head_kernel, stride=2)
    layers = scale_channels(EIGHT_LAYERS, width)
    return SoundNet(layers, head, feature_layer="pool5", input_gain=input_gain)


@register_encoder
def soundnet5(width: float = 1.0, input_gain: float = INPUT_GAIN) -> SoundNet:
    """The 5-layer network; 20 s give 4 columns, 10 s two, 5 s one.

    Probes read conv4 by default: our choice, the paper names none; it has pool5's channels and
    columns in the 8-layer network.
    """
    head = Layer(name="conv5", kernel=16, stride=12, padding=4)
    layers = scale_channels(FIVE_LAYERS, width)
    return SoundNet(layers, head, feature_layer="conv4", input_gain=input_gain)


def scale_channels(layers: tuple[Layer, ...], width: float) -> tuple[Layer, ...]:
    """The same layers with channels times ``width``, never below 2.

    Raises:
        InvalidValueError: The width is not above 0.
    """
    if width <= 0:
        raise InvalidValueError(f"width {width:g} must be above 0; 1 is the paper's")
    return tuple(
        replace(layer, channels=max(2, round(layer.channels * width))) if layer.channels else layer
        for layer in layers
    )


def initialise(module: nn.Module) -> None:
    """Draw weights as the released code does: N(0, 0.01), gammas N(1, 0.02), zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d):
            assert part.bias is not None
            init.normal_(part.weight, 0.0, WEIGHT_SD)
            init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm1d):
            init.normal_(part.weight, 1.0, GAMMA_SD)
            init.zeros_(part.bias)


def _blocks(layers: tuple[Layer, ...]) -> dict[str, nn.Module]:
    blocks: dict[str, nn.Module] = {}
    channels = 1
    for layer in layers:
        if not layer.channels:
            blocks[layer.name] = nn.MaxPool1d(layer.kernel, layer.stride)
            continue
        blocks[layer.name] = nn.Sequential(
            _convolution(layer, channels, layer.channels),
            nn.BatchNorm1d(layer.channels),
            nn.ReLU(inplace=True),
        )
        channels = layer.channels
    return blocks


def _convolution(layer: Layer, channels_in: int, channels_out: int) -> nn.Conv1d:
    return nn.Conv1d(channels_in, channels_out, layer.kernel, layer.stride, layer.padding)
