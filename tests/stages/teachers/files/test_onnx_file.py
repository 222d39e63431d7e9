from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253

from avkd.errors import InvalidValueError
from avkd.stages.teachers.files.onnx_file import find_one_input, load_onnx


def write_model() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 4, 4])],
        [numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def test_flipped_bits_are_refused_in_words_or_leave_a_whole_file(tmp_path: Path) -> None:
    content, file = write_model(), tmp_path / "net.onnx"
    refusals = []
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            model, digests = load_onnx(file)
            find_one_input(model, file)
        except InvalidValueError as error:
            refusals.append(str(error))
        else:
            assert set(digests) == {"file"}
    assert len(refusals) > 2 * len(content)
    assert not any("\n" in refusal for refusal in refusals)
