"""Networks of a few ONNX operators behind a description, as the family runs or refuses them."""

from pathlib import Path

import numpy as np
import onnx  # noqa: TID253
import pytest
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253

from avkd.errors import AvkdError
from avkd.stages.teachers.registry import declare_teacher, load_teacher
from avkd.stages.teachers.request import TeacherRequest, parse_teacher

PICTURES: list[object] = ["n", 3, 4, 6]


def request_for(place: Path) -> TeacherRequest:
    return parse_teacher(f"net={place}", batch_size=4, device="cpu")


def _graph(
    nodes: list[onnx.NodeProto],
    shape: list[object],
    output: list[object],
    kind: int = TensorProto.FLOAT,
    *,
    domain: str = "",
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
    )
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def write_graph(folder: Path, model: onnx.ModelProto, kind: str = "map") -> TeacherRequest:
    onnx.save(model, folder / "g.onnx")
    (folder / "g.toml").write_text(
        f'file = "g.onnx"\nwidth = 6\nheight = 4\n[outputs.o]\nfrom = "y"\nkind = "{kind}"\n'
    )
    return request_for(folder / "g.toml")


def assert_refused(request: TeacherRequest, *words: str) -> None:
    for use in (declare_teacher, load_teacher):
        with pytest.raises(AvkdError) as caught:
            use(request)
        assert "\n" not in str(caught.value)
        for word in words:
            assert word in str(caught.value)


def test_gray_values_become_fractions_of_their_range(tmp_path: Path) -> None:
    identity = _graph([helper.make_node("Identity", ["x"], ["y"])], ["n", 3, 4, 6], ["n", 3, 4, 6])
    onnx.save(identity, tmp_path / "same.onnx")
    (tmp_path / "t.toml").write_text(
        'file = "same.onnx"\nstream = "depth"\nwidth = 6\nheight = 4\nfit = "stretch"\n'
        "[input]\nvalue_range = [100, 300]\nmean = [0.5, 0.0, 0.0]\nstd = [0.5, 1.0, -2.0]\n"
        '[outputs.depths]\nfrom = "y"\nkind = "map"\n'
    )
    teacher = load_teacher(request_for(tmp_path / "t.toml"))
    frame_format = teacher.declaration.frame_format  # type: ignore[union-attr]
    assert (frame_format.pixels, frame_format.fit) == ("gray16", "stretch")
    assert teacher.declaration.outputs[0].axes == ("channel", "height", "width")
    frames = np.zeros((4, 4, 6, 1), np.uint16)
    frames[0, 0, :, 0] = [0, 100, 200, 250, 300, 60_000]
    found = teacher.predict(frames)["depths"][0, :, 0]
    fractions = np.array([0, 0, 0.5, 0.75, 1, 1])
    np.testing.assert_allclose(found[0], (fractions - 0.5) / 0.5, atol=1e-6)
    np.testing.assert_allclose(found[1], fractions, atol=1e-6)
    np.testing.assert_allclose(found[2], fractions / -2, atol=1e-6)


def test_bytes_go_to_a_network_that_takes_bytes(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)]
    model = _graph(nodes, ["n", 4, 6, 3], ["n", 4, 6, 3], TensorProto.UINT8)
    onnx.save(model, tmp_path / "same.onnx")
    (tmp_path / "t.toml").write_text(
        'file = "same.onnx"\nwidth = 6\nheight = 4\n[input]\ndtype = "uint8"\nlayout = "NHWC"\n'
        '[outputs.same]\nfrom = "y"\nkind = "map"\n'
    )
    frames = np.random.default_rng(0).integers(0, 256, (4, 4, 6, 3), dtype=np.uint8)
    found = load_teacher(request_for(tmp_path / "t.toml")).predict(frames)
    assert np.array_equal(found["same"], frames.astype(np.float32))


@pytest.mark.parametrize(
    ("nodes", "domain", "message"),
    [
        ([("RandomNormalLike", ["x"], ["y"])], "", "RandomNormalLike, whose results change"),
        ([("Mine", ["x"], ["y"], "of.mine")], "of.mine", "of.mine::Mine, which comes in a library"),
        ([("NoSuch", ["x"], ["y"])], "", "does not run under ONNX Runtime"),
    ],
)
def test_operators_that_are_not_of_onnx_are_refused(
    tmp_path: Path, nodes: list[tuple[str, list[str], list[str]]], domain: str, message: str
) -> None:
    made = [helper.make_node(each[0], each[1], each[2], domain=domain) for each in nodes]
    model = _graph(made, PICTURES, PICTURES, domain=domain)
    assert_refused(write_graph(tmp_path, model), message)


def test_random_operator_in_a_branch_is_found(tmp_path: Path) -> None:
    def branch(kind: str) -> onnx.GraphProto:
        node = helper.make_node(kind, ["x"], ["b"])
        info = helper.make_tensor_value_info("b", TensorProto.FLOAT, PICTURES)
        return helper.make_graph([node], kind, [], [info])

    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node(
            "If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("RandomUniformLike")
        ),
    ]
    request = write_graph(tmp_path, _graph(nodes, PICTURES, PICTURES))
    assert_refused(request, "RandomUniformLike, whose results change")


def test_network_in_training_is_refused(tmp_path: Path) -> None:
    names = ["scale", "offset", "mean", "var"]
    node = helper.make_node("BatchNormalization", ["x", *names], ["y", "m", "v"], training_mode=1)
    model = _graph([node], PICTURES, PICTURES)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ones(3, np.float32), name) for name in names
    )
    assert_refused(write_graph(tmp_path, model), "BatchNormalization as in training")


def test_weights_outside_that_onnx_does_not_read_are_refused(tmp_path: Path) -> None:
    model = _graph([helper.make_node("Relu", ["x"], ["y"])], PICTURES, PICTURES)
    tensor = model.graph.sparse_initializer.add().values
    tensor.name, tensor.data_type, tensor.data_location = "w", TensorProto.FLOAT, 1
    tensor.dims.append(1)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "w.data"
    (tmp_path / "w.data").write_bytes(bytes(4))
    request = write_graph(tmp_path, _graph([helper.make_node("Relu", ["x"], ["y"])], [1], [1]))
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    assert_refused(request, "save it in one file")


@pytest.mark.parametrize(
    ("nodes", "output", "kind", "message"),
    [
        ([("Relu", {})], ["n", 3, 4, 6], "logits", "'y' of the file is (3, 4, 6) a picture"),
        ([("GlobalMaxPool", {}), ("Flatten", {})], ["n", 3], "map", "is (3,) a picture"),
        (
            [("ReduceMax", {"axes": [0], "keepdims": 1})],
            [1, 3, 4, 6],
            "map",
            "traced as a constant",
        ),
        ([("ReduceMax", {"keepdims": 0})], [], "map", "traced as a constant"),
    ],
)
def test_shapes_that_are_not_those_of_their_kind_are_refused(
    tmp_path: Path,
    nodes: list[tuple[str, dict[str, object]]],
    output: list[object],
    kind: str,
    message: str,
) -> None:
    values = ["x", *[f"v{number}" for number in range(1, len(nodes))], "y"]
    made = [
        helper.make_node(each, [values[place]], [values[place + 1]], **more)  # type: ignore[arg-type]
        for place, (each, more) in enumerate(nodes)
    ]
    request = write_graph(tmp_path, _graph(made, PICTURES, output), kind)
    assert_refused(request, message)


def test_numbers_of_classes_are_no_logits(tmp_path: Path) -> None:
    nodes = [helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)]
    model = _graph(nodes, PICTURES, ["n", 4, 6])
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    assert_refused(write_graph(tmp_path, model), "'y' is int64, not float")
