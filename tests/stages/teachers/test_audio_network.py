from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.audio_declaration import declare_audio
from avkd.stages.teachers.audio_loaded import LoadedAudioTeacher
from avkd.stages.teachers.audio_network import Listener
from avkd.stages.teachers.loaded import begin_predicting
from avkd.stages.teachers.request import TeacherRequest, resolve
from avkd.stages.teachers.runtimes.by_torch import build_torch
from avkd.stages.types import TeacherOutput

REQUEST = resolve(
    TeacherRequest(name="ear", family="x", runtime="torch", device="cpu", batch_size=3)
)
NOISE = np.random.default_rng(0).integers(-9_000, 9_000, (3, 1, 64), dtype=np.int16)


class Energy(nn.Module):
    """Two numbers of (B, samples): mean and mean square."""

    def forward(self, sound: Tensor) -> Tensor:
        return torch.stack([sound.mean(dim=-1), (sound**2).mean(dim=-1)], dim=-1)


def declared(samples: int = 0) -> LoadedAudioTeacher:
    declaration = declare_audio(
        REQUEST,
        weights_sha256="ab",
        sample_rate=8_000,
        samples_per_step=samples,
        outputs=(TeacherOutput(name="energy", shape=(2,), axes=("number",)),),
    )
    run = build_torch(Listener(Energy()), ("energy",), REQUEST, is_channels_last=False)
    return LoadedAudioTeacher(declaration=declaration, run=run)


def test_a_network_hears_sound_in_full_scale() -> None:
    energy = declared().predict(NOISE)["energy"]
    sound = NOISE[:, 0] / 32_768
    np.testing.assert_allclose(energy[:, 0], sound.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(energy[:, 1], (sound**2).mean(axis=1), rtol=1e-4)


def test_normalised_windows_have_no_level_of_their_own() -> None:
    listener = Listener(Energy(), normalises=True)
    (quiet,), (loud,) = (listener(torch.from_numpy(NOISE * factor)) for factor in (1, 3))
    torch.testing.assert_close(quiet, loud, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(loud[:, 1], torch.ones(3), rtol=1e-3, atol=0)


def test_a_window_does_not_depend_on_the_others_of_its_batch() -> None:
    alone = NOISE.copy()
    alone[1:] = 0
    teacher = declared()
    np.testing.assert_array_equal(
        teacher.predict(NOISE)["energy"][0], teacher.predict(alone)["energy"][0]
    )


@pytest.mark.parametrize(
    "windows", [NOISE[:2], NOISE.astype(np.float32), NOISE[:, :, :5], np.repeat(NOISE, 2, axis=1)]
)
def test_what_was_not_declared_is_refused(windows: np.ndarray) -> None:
    with pytest.raises(InvalidValueError, match=r"takes int16 windows of shape \(3, 1, 64\)"):
        declared(64).predict(windows)


def test_what_was_begun_does_not_feel_what_the_caller_writes_next() -> None:
    teacher, windows = declared(), NOISE.copy()
    expected = teacher.predict(NOISE)["energy"]
    finish = begin_predicting(teacher, windows)
    windows[:] = 0
    np.testing.assert_array_equal(finish()["energy"], expected)
    with pytest.raises(InvalidValueError, match="pad the batch"):
        begin_predicting(teacher, windows[:2])


def test_threads_of_one_worker_get_their_own_windows_and_leave_torch_its_threads() -> None:
    teacher = declared()
    batches = [NOISE // (seed + 1) for seed in range(6)]
    expected = [teacher.predict(windows)["energy"] for windows in batches]
    before = torch.get_num_threads()
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(teacher.predict, batches * 4))
    assert torch.get_num_threads() == before
    for place, predictions in enumerate(found):
        np.testing.assert_array_equal(predictions["energy"], expected[place % 6])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_float16_on_a_gpu_is_near_float32_but_not_it() -> None:
    torch.manual_seed(0)
    network = Listener(torch.nn.Linear(64, 8)).eval()
    said = {}
    for precision in ("float32", "float16"):
        request = replace(REQUEST, device="cuda", precision=precision)
        said[precision] = build_torch(network, ("out",), request)(NOISE)["out"]
    gap = np.abs(said["float32"] - said["float16"]).max() / np.abs(said["float32"]).max()
    assert 0 < gap < 0.01
