"""An encoder of sound over time, made to say one thing of a clip.

Conventions: B clips, C channels, S samples, T columns, D width of the embedding.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.augment import SpecAugment, WaveformAugment
from avkd.stages.encoders.logmel import LogMelEncoder
from avkd.stages.encoders.real_steps import (
    StepPool,
    real_columns,
    real_mask,
    real_samples,
    samples_per_step,
)
from avkd.stages.encoders.registry import Encoder, build_encoder
from avkd.stages.encoders.stream_inputs import (
    require_amount,
    require_count,
    require_share,
    require_waveform,
    take_stream,
)
from avkd.stages.encoders.streams import InputShape, StreamEncoder, register_stream_encoder


class SoundEncoder(StreamEncoder):
    """The columns of a body's last layer that lie in real steps, pooled."""

    def __init__(
        self,
        body: Encoder,
        stream: str,
        *,
        augment: WaveformAugment,
        pool: str,
        dropout: float,
        samples_per_step: float,
    ) -> None:
        """``samples_per_step`` 0: the longest clip of a batch fills its waveform."""
        super().__init__()
        self.streams = (stream,)
        self.embedding_size = body.num_channels(body.layer_names[-1])
        self.body = body
        self.augment = augment
        self.pool = StepPool(pool, self.embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.samples_per_step = samples_per_step

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, D) of the first channel."""
        waveform = take_stream(inputs, self.streams[0], 3, "(clips, channels, samples)")
        columns_BCT = self.body(self.augment(waveform))
        num_samples, num_columns = waveform.shape[-1], columns_BCT.shape[-1]
        num_real = real_samples(num_steps, num_samples, self.samples_per_step)
        mask = real_mask(real_columns(num_real, num_samples, num_columns), num_columns)
        pooled: Tensor = self.dropout(self.pool(columns_BCT.transpose(1, 2), mask))
        return pooled


@register_stream_encoder
def sound(
    shapes: Mapping[str, InputShape],
    body: str = "logmel_resnet",
    stream: str = "waveform",
    pool: str = "mean",
    dropout: float = 0.0,
    num_masks: int = 2,
    max_mels: int = 8,
    max_columns_fraction: float = 0.1,
    max_shift_seconds: float = 0.25,
    max_gain_decibels: float = 6.0,
    body_options: Mapping[str, object] | None = None,
) -> SoundEncoder:
    """Any encoder of sound over time, its real columns pooled by ``mean`` or ``attention``.

    While training, sound is turned and made louder or softer, and ``num_masks`` bands of a log-mel
    are masked (a body without one is not masked); these options stand in for the body's own
    ``augment``, and 0 switches each off. ``body_options`` go to the body.

    Raises:
        InvalidValueError: There is no such stream, its rate is not the body's, or an option is out
            of its range.
    """
    if body_options and (stray := sorted({"augment", "max_shift_seconds"} & set(body_options))):
        raise InvalidValueError(f"{stray[0]} is an option of sound itself, not of body_options")
    encoder = build_encoder(body, **dict(body_options or {}))
    require_waveform(shapes, stream, body, encoder.sample_rate)
    require_share("dropout", dropout)
    require_amount("num_masks", num_masks)
    require_count("max_mels", max_mels)
    require_share("max_columns_fraction", max_columns_fraction)
    require_amount("max_shift_seconds", max_shift_seconds)
    require_amount("max_gain_decibels", max_gain_decibels)
    if isinstance(encoder, LogMelEncoder):
        encoder.augment_waveform = WaveformAugment(max_shift=0, max_gain_decibels=0.0)
        encoder.augment_logmel = SpecAugment(
            num_masks=num_masks, max_mels=max_mels, max_columns_fraction=max_columns_fraction
        )
    return SoundEncoder(
        encoder,
        stream,
        augment=WaveformAugment(
            max_shift=round(max_shift_seconds * encoder.sample_rate),
            max_gain_decibels=max_gain_decibels,
        ),
        pool=pool,
        dropout=dropout,
        samples_per_step=samples_per_step(shapes, stream),
    )
