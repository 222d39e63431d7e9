import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.classifier import OUTPUT_NAMES, Classifier
from avkd.stages.teachers.declaration import Preprocessing, Teacher, declare_classifier
from avkd.stages.teachers.loaded import LoadedTeacher, begin_predicting
from avkd.stages.teachers.request import TeacherRequest, parse_teacher
from avkd.stages.teachers.runtimes.build import build_runtime

# ONNX Runtime differed from torch by at most 2.5e-6 of the largest output; a wrong layer differs
# by tenths.
PARITY = 1e-4
SIZE = 32


class BatchMean(nn.Module):
    """Traces the batch axis as a constant."""

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = frames.float().mean(dim=(1, 2, 3)).reshape(int(frames.shape[0]), 1)
        return mean.reshape(1, 1), mean


class Untraceable(nn.Module):
    """Uses an operator that ONNX does not have."""

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.linalg.svdvals(frames.float()[:, :, :, 0])
        return values, values


def build_classifier() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 48, 3, stride=2, padding=1),
        nn.BatchNorm2d(48),
        nn.ReLU6(),
        nn.Conv2d(48, 48, 3, padding=1, groups=48),
        nn.Conv2d(48, 96, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(96, 10),
    )
    preprocessing = Preprocessing(
        height=SIZE, width=SIZE, crop_fraction=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    return Classifier(network.eval(), "7", preprocessing).eval()


def build_teacher(request: TeacherRequest, network: nn.Module | None = None) -> Teacher:
    declaration = declare_classifier(
        request,
        weights_sha256="",
        preprocessing=Preprocessing(
            height=SIZE, width=SIZE, crop_fraction=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
        ),
        num_classes=10,
        num_features=96,
        class_names=(),
    )
    run = build_runtime(network or build_classifier(), OUTPUT_NAMES, declaration, request)
    return LoadedTeacher(declaration=declaration, run=run)


def request_for(runtime: str, **options: object) -> TeacherRequest:
    request = parse_teacher("small", device="cpu", batch_size=4)
    return replace(request, runtime=runtime, **options)  # type: ignore[arg-type]


def draw_frames(seed: int, num_frames: int = 4) -> npt.NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (num_frames, SIZE, SIZE, 3), dtype=np.uint8)


def need(runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")


@pytest.fixture(params=["torch", "onnxruntime", "openvino"])
def teacher(request: pytest.FixtureRequest) -> Teacher:
    need(request.param)
    return build_teacher(request_for(request.param))


def test_outputs_are_float32_of_the_declared_shapes(teacher: Teacher) -> None:
    outputs = teacher.predict(draw_frames(0))
    declared = {output.name: (4, *output.shape) for output in teacher.declaration.outputs}
    assert {name: array.shape for name, array in outputs.items()} == declared
    assert all(array.dtype == np.float32 for array in outputs.values())


def test_frame_does_not_feel_its_neighbours(teacher: Teacher) -> None:
    frames, others = draw_frames(0), draw_frames(1)
    others[2] = frames[2]
    alone, among_others = teacher.predict(frames), teacher.predict(others)
    for name in OUTPUT_NAMES:
        assert np.array_equal(alone[name][2], among_others[name][2])
        assert not np.array_equal(alone[name][1], among_others[name][1])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_runtimes_agree(runtime: str) -> None:
    need(runtime)
    by_torch = build_teacher(request_for("torch")).predict(draw_frames(0))
    by_onnx = build_teacher(request_for(runtime)).predict(draw_frames(0))
    for name in OUTPUT_NAMES:
        largest = np.abs(by_torch[name]).max()
        assert np.abs(by_torch[name] - by_onnx[name]).max() < PARITY * largest


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_bfloat16_is_near_float32_but_not_it(runtime: str) -> None:
    need(runtime)
    exact = build_teacher(request_for(runtime)).predict(draw_frames(0))
    rounded = build_teacher(request_for(runtime, precision="bfloat16")).predict(draw_frames(0))
    gap = np.abs(exact["logits"] - rounded["logits"]).max() / np.abs(exact["logits"]).max()
    # bfloat16 keeps 8 bits: 0.4 % a rounding, a few roundings deep.
    assert 0 < gap < 0.05


@pytest.mark.parametrize(
    "frames",
    [
        draw_frames(0, num_frames=3),
        draw_frames(0).astype(np.float32),
        draw_frames(0)[:, :16],
    ],
)
def test_frames_of_another_shape_or_type_are_refused(
    teacher: Teacher, frames: npt.NDArray[np.uint8]
) -> None:
    with pytest.raises(InvalidValueError, match="pad the batch"):
        teacher.predict(frames)


def test_frames_may_be_read_only(teacher: Teacher) -> None:
    frames = draw_frames(0)
    frames.flags.writeable = False
    assert set(teacher.predict(frames)) == set(OUTPUT_NAMES)


@pytest.mark.parametrize("network", [BatchMean(), Untraceable()])
def test_network_that_does_not_export_offers_torch(network: nn.Module) -> None:
    with pytest.raises(InvalidValueError, match="--runtime torch") as caught:
        build_teacher(request_for("onnxruntime"), network)
    assert "\n" not in str(caught.value)


def test_what_was_begun_does_not_feel_what_the_caller_writes_next(teacher: Teacher) -> None:
    frames = draw_frames(0)
    expected = teacher.predict(frames)
    finish = begin_predicting(teacher, frames)
    frames[:] = 0
    others = begin_predicting(teacher, frames)
    for name in OUTPUT_NAMES:
        assert np.array_equal(finish()[name], expected[name])
        assert not np.array_equal(others()[name], expected[name])


def test_teacher_that_cannot_begin_looks_at_once() -> None:
    class Plain:
        declaration = build_teacher(request_for("torch")).declaration

        def predict(self, frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
            return {"sum": frames.astype(np.float32)}

    frames = draw_frames(0)
    finish = begin_predicting(Plain(), frames)
    expected = frames.copy()
    frames[:] = 0
    assert np.array_equal(finish()["sum"], expected)


def test_threads_of_one_worker_get_their_own_frames(teacher: Teacher) -> None:
    batches = [draw_frames(seed) for seed in range(6)]
    expected = [teacher.predict(frames) for frames in batches]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(teacher.predict, batches * 4))
    for place, predictions in enumerate(found):
        for name in OUTPUT_NAMES:
            assert np.array_equal(predictions[name], expected[place % 6][name])


def test_loading_openvino_reports_to_nobody(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    code = (
        "import sys\n"
        "from avkd.stages.teachers.runtimes.by_openvino import build_openvino\n"
        "try:\n"
        "    build_openvino(b'', ['y'], 1, 1)\n"
        "except Exception as error:\n"
        "    pass\n"
        "assert 'openvino' in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("CI", None)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environment)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_compiled_network_says_the_same() -> None:
    plain = build_teacher(request_for("torch")).predict(draw_frames(0))
    teacher = build_teacher(request_for("torch", is_compiled=True))
    compiled = teacher.predict(draw_frames(0))
    others = draw_frames(1)
    others[2] = draw_frames(0)[2]
    among_others = teacher.predict(others)
    for name in OUTPUT_NAMES:
        assert np.abs(plain[name] - compiled[name]).max() < PARITY * np.abs(plain[name]).max()
        assert np.array_equal(compiled[name][2], among_others[name][2])


class Wavering(nn.Module):
    """Goes another way as the picture wants it: two graphs, not one."""

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = frames.float().mean(dim=(1, 2))
        if values.max() > 100:
            values = values * 2
        return values, values


def test_network_of_several_graphs_is_not_compiled() -> None:
    teacher = build_teacher(request_for("torch", is_compiled=True), Wavering())
    with pytest.raises(InvalidValueError, match=r"as one graph .*leave --compile out") as caught:
        teacher.predict(draw_frames(0))
    assert "\n" not in str(caught.value)


def test_machine_without_a_compiler_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InvalidValueError, match=r"no compiler .*no-such-compiler.*--compile out"):
        build_teacher(request_for("torch", is_compiled=True))
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InvalidValueError, match=r"no compiler is found here \(g\+\+"):
        build_teacher(request_for("torch", is_compiled=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_missing_gpu_is_one_clear_line() -> None:
    with pytest.raises(InvalidValueError, match="--device cpu"):
        build_teacher(request_for("torch", device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_agrees_with_the_cpu() -> None:
    on_cpu = build_teacher(request_for("torch")).predict(draw_frames(0))
    on_gpu = build_teacher(request_for("torch", device="cuda")).predict(draw_frames(0))
    for name in OUTPUT_NAMES:
        assert np.abs(on_cpu[name] - on_gpu[name]).max() < PARITY * np.abs(on_cpu[name]).max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_gpu_keeps_batches_apart_that_are_under_way_at_once(precision: str) -> None:
    teacher = build_teacher(request_for("torch", device="cuda", precision=precision))
    batches = [draw_frames(seed) for seed in range(20)]
    expected = [teacher.predict(frames) for frames in batches]
    frames, finishes = np.empty_like(batches[0]), []
    for batch in batches:
        frames[:] = batch
        finishes.append(begin_predicting(teacher, frames))
    frames[:] = 0
    for finish, predictions in zip(finishes, expected, strict=True):
        for name in OUTPUT_NAMES:
            assert np.array_equal(finish()[name], predictions[name])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_float16_on_a_gpu_is_near_float32_but_not_it() -> None:
    exact = build_teacher(request_for("torch", device="cuda")).predict(draw_frames(0))
    request = request_for("torch", device="cuda", precision="float16")
    rounded = build_teacher(request).predict(draw_frames(0))
    gap = np.abs(exact["logits"] - rounded["logits"]).max() / np.abs(exact["logits"]).max()
    # float16 keeps 11 bits: 0.05 % a rounding, a few roundings deep.
    assert 0 < gap < 0.01
