import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.teachers import request as request_module
from avkd.stages.teachers.request import TeacherRequest, parse_teacher, resolve


def test_default_name_is_the_last_part_of_the_family() -> None:
    request = parse_teacher("timm/resnet18.a1_in1k")
    assert (request.name, request.family) == ("resnet18.a1_in1k", "timm/resnet18.a1_in1k")


def test_name_before_the_equals_sign_is_the_stored_name() -> None:
    request = parse_teacher("places=torchvision/resnet18", weights="w.pth", seed=3)
    assert (request.name, request.family) == ("places", "torchvision/resnet18")
    assert (request.weights, request.seed) == ("w.pth", 3)


@pytest.mark.parametrize("text", ["", "=timm/resnet18", "../up=timm/resnet18", "a b=x", "timm/"])
def test_name_that_is_no_folder_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="NAME=FAMILY"):
        parse_teacher(text)


@given(
    seed=st.integers(0, 2**31),
    batch_size=st.integers(1, 512),
    runtime=st.sampled_from(["auto", "torch", "onnxruntime", "openvino"]),
    weights=st.text(max_size=20),
)
def test_request_survives_json(seed: int, batch_size: int, runtime: str, weights: str) -> None:
    request = TeacherRequest(
        name="a",
        family="timm/x",
        seed=seed,
        batch_size=batch_size,
        runtime=runtime,  # type: ignore[arg-type]
        weights=weights,
    )
    assert TeacherRequest(**json.loads(json.dumps(asdict(request)))) == request


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"runtime": "tensorrt"}, "runtime"),
        ({"precision": "int4"}, "precision"),
        ({"device": "tpu"}, "device"),
        ({"batch_size": 0}, "batch size"),
    ],
)
def test_unknown_choice_names_its_field(options: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidValueError, match=field):
        TeacherRequest(name="a", family="b", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "precision", "runtime"),
    [
        ("cpu", "float32", "onnxruntime"),
        ("cpu", "bfloat16", "torch"),
        ("cuda", "float32", "torch"),
        ("cuda", "bfloat16", "torch"),
    ],
)
def test_runtime_follows_device_and_precision(device: str, precision: str, runtime: str) -> None:
    request = parse_teacher("x", device=device, precision=precision)  # type: ignore[arg-type]
    assert resolve(request).runtime == runtime


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"precision": "bfloat16"}])
def test_onnxruntime_off_its_ground_is_refused(options: dict[str, object]) -> None:
    request = parse_teacher("x", runtime="onnxruntime", **{"device": "cpu", **options})  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="--runtime torch"):
        resolve(request)


@pytest.mark.parametrize(
    ("torch_version", "num_devices", "device"),
    [("2.14.1+cu130", 2, "cuda"), ("2.14.1+cu130", 0, "cpu"), ("2.14.1+cpu", 2, "cpu")],
)
def test_auto_device_wants_a_gpu_and_a_torch_that_can_use_it(
    monkeypatch: pytest.MonkeyPatch, torch_version: str, num_devices: int, device: str
) -> None:
    monkeypatch.setattr(request_module, "version", lambda _: torch_version)
    monkeypatch.setattr(request_module, "_num_nvidia_devices", lambda: num_devices)
    assert resolve(parse_teacher("x")).device == device


class FakeNvml:
    """The driver's library with three devices."""

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetCount_v2(self, count: object) -> int:  # noqa: N802
        count._obj.value = 3  # type: ignore[attr-defined]
        return 0


@pytest.mark.parametrize(("visible", "num_devices"), [(None, 3), ("0", 3), ("", 0), ("-1", 0)])
def test_hidden_devices_do_not_count(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, num_devices: int
) -> None:
    monkeypatch.setattr(request_module.ctypes, "CDLL", lambda _: FakeNvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert request_module._num_nvidia_devices() == num_devices


def test_machine_without_a_driver_has_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise OSError("no such library")

    monkeypatch.setattr(request_module.ctypes, "CDLL", fail)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert request_module._num_nvidia_devices() == 0


def test_paths_are_made_absolute_and_random_is_no_path() -> None:
    resolved = resolve(parse_teacher("x", weights="w.pth", classes="c.txt", device="cpu"))
    assert resolved.weights.endswith("/w.pth")
    assert resolved.weights != "/w.pth"
    assert resolved.classes.endswith("/c.txt")
    assert resolve(parse_teacher("x", weights="random", device="cpu")).weights == "random"


def test_resolving_twice_changes_nothing() -> None:
    resolved = resolve(parse_teacher("x", weights="w.pth"))
    assert resolve(resolved) == resolved


def test_looks_survive_json() -> None:
    request = TeacherRequest(
        name="t",
        family="f",
        stream="thermal",
        value_range=(0.0, 9.5),
        picture_size=(64, 32),
        maps=("attention", "features_0"),
        map_channels=4,
    )
    assert TeacherRequest(**json.loads(json.dumps(asdict(request)))) == request


def test_family_that_does_not_export_runs_torch_on_a_cpu() -> None:
    request = parse_teacher("x", device="cpu")
    assert resolve(request, runtimes=("torch",)).runtime == "torch"
    with pytest.raises(InvalidValueError, match="does not run under onnxruntime; use --runtime t"):
        resolve(parse_teacher("x", device="cpu", runtime="onnxruntime"), runtimes=("torch",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, "float16 is for device cuda"),
        ({"precision": "float16", "runtime": "openvino"}, "float16 is for device cuda"),
        ({"device": "cuda", "runtime": "openvino"}, "runtime openvino works on device cpu"),
        ({"is_compiled": True, "runtime": "openvino"}, "a compiler of its own"),
        ({"is_compiled": True, "runtime": "onnxruntime"}, "a compiler of its own"),
    ],
)
def test_what_a_runtime_does_not_do_is_refused(options: dict[str, object], message: str) -> None:
    request = TeacherRequest(name="a", family="x", **{"device": "cpu", **options})  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=message):
        resolve(request)


def test_float16_runs_torch_on_cuda() -> None:
    request = TeacherRequest(name="a", family="x", device="cuda", precision="float16")
    assert resolve(request).runtime == "torch"


def test_compiling_runs_torch() -> None:
    request = TeacherRequest(name="a", family="x", device="cpu", is_compiled=True)
    assert resolve(request).runtime == "torch"


def test_openvino_that_is_not_installed_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InvalidValueError, match=r"pip install 'avkd\[openvino\]'"):
        resolve(TeacherRequest(name="a", family="x", device="cpu", runtime="openvino"))


def test_a_runtime_of_cpus_takes_the_cpu_of_a_machine_with_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_module, "_find_device", lambda: "cuda")
    settled = resolve(TeacherRequest(name="a", family="x", runtime="onnxruntime"))
    assert (settled.device, settled.runtime) == ("cpu", "onnxruntime")
    sessions = ("onnxruntime", "openvino")
    settled = resolve(TeacherRequest(name="a", family="x"), runtimes=sessions)
    assert (settled.device, settled.runtime) == ("cpu", "onnxruntime")
    with pytest.raises(InvalidValueError, match="leave --compile out"):
        resolve(TeacherRequest(name="a", family="x", is_compiled=True), runtimes=sessions)
