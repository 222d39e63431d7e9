"""What disturbs the pictures of several streams while a student trains.

MKE's perturbation T [R] for pictures: noise as on TwoMoon, in units of the picture's own mean
[S:MKE-code has that of the batch], brightness, and streams that are taken away. Everything is drawn
on the CPU from torch's global generator, so that one seed gives one run on every device.

Conventions: N pictures, C channels, H and W pixels, S streams.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.stream_inputs import require_amount, require_share


class PicturePerturbation(nn.Module):
    """Noise and brightness of each stream, and whole streams away, while training."""

    def __init__(
        self,
        streams: Sequence[str],
        *,
        input_noise: float | Mapping[str, float] = 0.0,
        brightness: float | Mapping[str, float] = 0.0,
        drop_stream: float | Mapping[str, float] = 0.0,
    ) -> None:
        """One amount for all streams, or those of some by name; 0 switches each off.

        Raises:
            InvalidValueError: An amount is out of its range, or of no stream.
        """
        super().__init__()
        self.input_noise = _spread("input_noise", input_noise, streams)
        self.brightness = _spread("brightness", brightness, streams)
        dropped = _spread("drop_stream", drop_stream, streams)
        for share in dropped:
            require_share("drop_stream", share)
        self.drop_stream = dropped if len(streams) > 1 else (0.0,)

    def forward(self, pictures: Sequence[Tensor]) -> list[Tensor]:
        """Pictures (N, C, H, W) in [0, 1] of each stream, changed while training.

        Noise is normal, its sd ``input_noise`` times the mean of the picture. Brightness is added
        to all of a picture, even up to ``brightness`` either way.
        """
        if not self.training:
            return list(pictures)
        changed = zip(pictures, self.input_noise, self.brightness, strict=True)
        return [_brighten(_add_noise(each, noise), shift) for each, noise, shift in changed]

    def keep(self, num_pictures: int) -> Tensor | None:
        """Bool (N, S): which streams of each picture are left; None where nothing is taken away.

        Of streams that would all be away the one whose draw was closest to staying is left.
        """
        if not self.training or not any(self.drop_stream):
            return None
        draws = torch.rand(num_pictures, len(self.drop_stream))
        above = draws - torch.tensor(self.drop_stream)
        return (above >= 0) | (above == above.max(dim=1, keepdim=True).values)


def _add_noise(pictures: Tensor, amount: float) -> Tensor:
    if not amount:
        return pictures
    scale = amount * pictures.mean(dim=(1, 2, 3), keepdim=True)
    return pictures + scale * torch.randn(pictures.shape).to(pictures)


def _brighten(pictures: Tensor, amount: float) -> Tensor:
    if not amount:
        return pictures
    shift = (2 * torch.rand(len(pictures), 1, 1, 1) - 1) * amount
    return pictures + shift.to(pictures)


def _spread(
    name: str, amount: float | Mapping[str, float], streams: Sequence[str]
) -> tuple[float, ...]:
    """The amount of each stream."""
    named = amount if isinstance(amount, Mapping) else dict.fromkeys(streams, amount)
    for stream, value in named.items():
        if stream not in streams:
            raise InvalidValueError(
                f"{name} of {stream!r}, which is not looked at; name one of {', '.join(streams)}"
            )
        require_amount(name, value)
    return tuple(float(named.get(stream, 0.0)) for stream in streams)
