import os

import numpy as np
import onnx  # noqa: TID253
import pytest
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253

from avkd.errors import InvalidValueError
from avkd.stages.teachers.request import RuntimeName, TeacherRequest
from avkd.stages.teachers.runtimes.sessions import build_session, count_threads

BATCH, SIZE, WIDTH = 3, 40, 32


def write_model() -> bytes:
    """Bytes to two layers of convolution and their mean, wide enough for several threads."""
    rng = np.random.default_rng(0)
    weights = {
        "first": rng.standard_normal((WIDTH, 3, 3, 3)).astype(np.float32),
        "second": rng.standard_normal((WIDTH, WIDTH, 3, 3)).astype(np.float32) / WIDTH,
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["values", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["y"]),
    ]
    shape = [BATCH, SIZE, SIZE, 3]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [BATCH, WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_bits_do_not_depend_on_the_number_of_threads(runtime: RuntimeName) -> None:
    pytest.importorskip(runtime)
    request = TeacherRequest(name="t", family="f", runtime=runtime, device="cpu")
    frames = np.random.default_rng(1).integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
    said = [
        build_session(
            write_model(), ["y"], request, batch_size=BATCH, num_threads=num_threads, way_out=""
        )(frames)["y"]
        for num_threads in (1, 2, 4)
    ]
    assert np.array_equal(said[0], said[1])
    assert np.array_equal(said[0], said[2])


def test_what_does_not_run_is_one_clear_line() -> None:
    request = TeacherRequest(name="t", family="f", runtime="onnxruntime", device="cpu")
    with pytest.raises(InvalidValueError, match=r"'t' does not run under ONNX Runtime .*; go") as e:
        build_session(b"no model", ["y"], request, batch_size=1, num_threads=1, way_out="go")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(("asked", "expected"), [("3", 3), ("", 2), ("0", 2), ("4,2", 2)])
def test_threads_are_those_the_worker_was_told_or_one_a_core(
    monkeypatch: pytest.MonkeyPatch, asked: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert count_threads() == expected
