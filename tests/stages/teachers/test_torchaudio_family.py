from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers import torchaudio_family
from avkd.stages.teachers.audio_declaration import AudioDeclaration
from avkd.stages.teachers.registry import declare_teacher, load_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.torchaudio_family import MODELS, SAMPLE_RATE, SoundModel

FEW_FRAMES = [(8, 10, 5), (8, 8, 4)]


def build_tiny(aux_num_out: int | None = None) -> nn.Module:
    from torchaudio.models import wav2vec2_model

    return wav2vec2_model(
        extractor_mode="group_norm",
        extractor_conv_layer_config=FEW_FRAMES,
        extractor_conv_bias=False,
        encoder_embed_dim=12,
        encoder_projection_dropout=0.1,
        encoder_pos_conv_kernel=8,
        encoder_pos_conv_groups=2,
        encoder_num_layers=2,
        encoder_num_heads=2,
        encoder_attention_dropout=0.1,
        encoder_ff_interm_features=16,
        encoder_ff_interm_dropout=0.1,
        encoder_dropout=0.1,
        encoder_layer_norm_first=False,
        encoder_layer_drop=0.1,
        aux_num_out=aux_num_out,
    )


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchaudio import models

    monkeypatch.setitem(
        torchaudio_family.MODELS, "tiny", SoundModel(embedding_size=12, normalises=False)
    )
    monkeypatch.setattr(models, "tiny", build_tiny, raising=False)


def asking(**options: object) -> TeacherRequest:
    fields = {"device": "cpu", "batch_size": 2, "weights": "random", **options}
    return TeacherRequest(name="ear", family="torchaudio/tiny", **fields)  # type: ignore[arg-type]


@pytest.fixture
def noise() -> npt.NDArray[np.int16]:
    return np.random.default_rng(0).integers(-9_000, 9_000, (2, 1, 800), dtype=np.int16)


def test_the_table_is_what_torchaudio_says_of_its_models() -> None:
    from torchaudio import models, pipelines

    for name, model in MODELS.items():
        if name == "tiny":
            continue
        bundle = getattr(pipelines, name.upper())
        assert callable(getattr(models, name))
        assert bundle._params["encoder_embed_dim"] == model.embedding_size, name
        assert bundle._normalize_waveform == model.normalises, name
        assert bundle.sample_rate == SAMPLE_RATE


def test_the_embedding_is_the_mean_of_the_last_layer_of_the_users_weights(
    tmp_path: Path, noise: npt.NDArray[np.int16]
) -> None:
    torch.manual_seed(1)
    # Fine-tuned to spell: its letters are left out.
    model = build_tiny(aux_num_out=5).eval()
    save_file(model.state_dict(), tmp_path / "ear.safetensors")
    teacher = load_teacher(asking(weights=str(tmp_path / "ear.safetensors")))
    said = teacher.predict(noise)["embedding"]
    with torch.inference_mode():
        sound = torch.from_numpy(noise[:, 0] / np.float32(32_768))
        features, _ = model.feature_extractor(sound, None)
        expected = model.encoder(features, None).mean(dim=1).numpy()
    np.testing.assert_allclose(said, expected, atol=1e-5)
    assert np.std(said, axis=1).min() > 0.01


def test_what_is_declared_is_what_is_loaded(noise: npt.NDArray[np.int16]) -> None:
    declaration = declare_teacher(asking())
    assert isinstance(declaration, AudioDeclaration)
    assert load_teacher(asking()).declaration == declaration
    assert declare_teacher(asking(seed=1)).fingerprint != declaration.fingerprint
    assert (declaration.waveform_format.sample_rate, declaration.num_channels) == (16_000, 1)
    assert declaration.unit == "step"
    assert declare_teacher(asking(per="clip")).unit == "clip"


def test_a_window_does_not_depend_on_its_batch(noise: npt.NDArray[np.int16]) -> None:
    teacher = load_teacher(asking())
    other = noise.copy()
    other[1] = 0
    both, one = (teacher.predict(each)["embedding"] for each in (noise, other))
    np.testing.assert_array_equal(both[0], one[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": ""}, "comes without weights"),
        ({"weights": "/nowhere.safetensors"}, "none at '/nowhere.safetensors'"),
        ({"views": 2}, "listens, and views are of pictures"),
        ({"stream": "depth"}, "does not take the stream 'depth'"),
        ({"picture_size": (8, 8)}, "does not take a picture size"),
        ({"runtime": "onnxruntime"}, "does not run under onnxruntime"),
    ],
)
def test_what_it_cannot_do_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        declare_teacher(asking(**options))


def test_an_unknown_model_offers_close_ones() -> None:
    with pytest.raises(UnknownNameError, match="torchaudio/hubert_base"):
        declare_teacher(TeacherRequest(name="ear", family="torchaudio/hubert_bose"))
