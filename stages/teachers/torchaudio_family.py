"""Speech and sound networks of torchaudio: ``torchaudio/<model>``, with the user's weights.

wav2vec 2.0, HuBERT and WavLM listen to 16 kHz. The output ``embedding`` is the mean over time of
their last layer; what such a network was fine-tuned to spell (``aux``) is left out, since letters
are no targets of a clip. Weights are never downloaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.audio_declaration import AnyTeacher, AudioDeclaration, declare_audio
from avkd.stages.teachers.declaration import digest_file
from avkd.stages.teachers.registry import register_teacher
from avkd.stages.teachers.request import RANDOM_WEIGHTS, TeacherRequest
from avkd.stages.types import TeacherOutput

if TYPE_CHECKING:
    from torch import nn

SAMPLE_RATE = 16_000
EMBEDDING = "embedding"


@dataclass(frozen=True, kw_only=True)
class SoundModel:
    """What is known of a model without building it."""

    embedding_size: int
    normalises: bool
    """Whether it was trained on waveforms of mean 0 and variance 1 (torchaudio's bundles say)."""


MODELS = {
    "hubert_base": SoundModel(embedding_size=768, normalises=False),
    "hubert_large": SoundModel(embedding_size=1024, normalises=True),
    "hubert_xlarge": SoundModel(embedding_size=1280, normalises=True),
    "wav2vec2_base": SoundModel(embedding_size=768, normalises=False),
    "wav2vec2_large": SoundModel(embedding_size=1024, normalises=False),
    "wav2vec2_large_lv60k": SoundModel(embedding_size=1024, normalises=True),
    "wav2vec2_xlsr_300m": SoundModel(embedding_size=1024, normalises=True),
    "wavlm_base": SoundModel(embedding_size=768, normalises=False),
    "wavlm_large": SoundModel(embedding_size=1024, normalises=True),
}
"""By the name of their builder in ``torchaudio.models``."""


@register_teacher("torchaudio")
class TorchaudioFamily:
    """Listens to each step, or with ``--per NAME=clip`` to a clip as a whole."""

    summary = "torchaudio/<model>: wav2vec 2.0, HuBERT or WavLM hears the sound; needs --weights"
    runtimes = ("torch",)

    def declare(self, request: TeacherRequest) -> AudioDeclaration:
        """Declare from a table; the weights are digested, not loaded."""
        if request.weights == RANDOM_WEIGHTS:
            return _declare(request, _digest_random(_build(request)))
        return _declare(request, digest_file(_find_weights(request)))

    def load(self, request: TeacherRequest) -> AnyTeacher:
        """Load into torch."""
        from avkd.stages.teachers.audio_loaded import LoadedAudioTeacher
        from avkd.stages.teachers.audio_network import Listener, MeanOverTime
        from avkd.stages.teachers.runtimes.by_torch import build_torch

        model = _build(request)
        is_random = request.weights == RANDOM_WEIGHTS
        declaration = _declare(
            request, _digest_random(model) if is_random else digest_file(_find_weights(request))
        )
        listener = Listener(MeanOverTime(model), normalises=_find_model(request).normalises)
        return LoadedAudioTeacher(
            declaration=declaration,
            run=build_torch(listener.eval(), (EMBEDDING,), request, is_channels_last=False),
        )


def _declare(request: TeacherRequest, weights_sha256: str) -> AudioDeclaration:
    model = _find_model(request)
    embedding = TeacherOutput(name=EMBEDDING, shape=(model.embedding_size,), axes=("feature",))
    return declare_audio(
        request,
        weights_sha256=weights_sha256,
        sample_rate=SAMPLE_RATE,
        outputs=(embedding,),
        unit=request.per or "step",
        normalises=model.normalises,
    )


def _find_model(request: TeacherRequest) -> SoundModel:
    name = request.family.partition("/")[2]
    if name not in MODELS:
        known = [f"torchaudio/{each}" for each in MODELS]
        raise UnknownNameError("teacher", request.family, known)
    return MODELS[name]


def _find_weights(request: TeacherRequest) -> Path:
    _find_model(request)
    path = Path(request.weights)
    if not request.weights or not path.is_file():
        raise InvalidValueError(
            f"teacher {request.name!r} comes without weights, and there are none at "
            f"{request.weights!r}; give the state dict of the torchaudio model with --weights "
            f"{request.name}=PATH"
        )
    return path


def _build(request: TeacherRequest) -> "nn.Module":
    """Build a model with the weights that the request names."""
    from torchaudio import models

    from avkd.stages.teachers.checkpoint import load_strictly, read_state_dict
    from avkd.stages.teachers.network import seeded

    _find_model(request)
    build = getattr(models, request.family.partition("/")[2])
    if request.weights == RANDOM_WEIGHTS:
        return seeded(build, request.seed).eval()
    path = _find_weights(request)
    state = {
        name: tensor
        for name, tensor in read_state_dict(path).items()
        if not name.startswith("aux.")
    }
    module: nn.Module = build()
    load_strictly(module, state, source=str(path))
    return module.eval()


def _digest_random(model: "nn.Module") -> str:
    from avkd.stages.teachers.checkpoint import digest_state_dict

    return digest_state_dict(model.state_dict())
