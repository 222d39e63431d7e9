from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.classifier import OUTPUT_NAMES, Classifier
from avkd.stages.teachers.declaration import Preprocessing, Teacher, declare_classifier
from avkd.stages.teachers.request import TeacherRequest, parse_teacher
from avkd.stages.teachers.runtime import LoadedTeacher, build_runtime

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


@pytest.fixture(params=["torch", "onnxruntime"])
def teacher(request: pytest.FixtureRequest) -> Teacher:
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


def test_runtimes_agree() -> None:
    by_torch = build_teacher(request_for("torch")).predict(draw_frames(0))
    by_onnx = build_teacher(request_for("onnxruntime")).predict(draw_frames(0))
    for name in OUTPUT_NAMES:
        largest = np.abs(by_torch[name]).max()
        assert np.abs(by_torch[name] - by_onnx[name]).max() < PARITY * largest


def test_bfloat16_is_near_float32_but_not_it() -> None:
    exact = build_teacher(request_for("torch")).predict(draw_frames(0))
    rounded = build_teacher(request_for("torch", precision="bfloat16")).predict(draw_frames(0))
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
