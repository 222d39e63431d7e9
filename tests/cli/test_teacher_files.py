"""Networks in files, from the description in the documentation to the store."""

import re
from pathlib import Path

import numpy as np
import onnx  # noqa: TID253
import pytest
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253

from avkd.storage.store import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "teachers.md"
CLASSES = ("wren", "robin", "crow")


def write_network(path, batch="n"):
    """The mean colour of a picture, and three sums of it."""
    weights = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["pictures"], ["means"]),
        helper.make_node("Flatten", ["means"], ["features"]),
        helper.make_node("Gemm", ["features", "w"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "birds",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, [batch, 3, 64, 96])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3])
            for name in ("scores", "features")
        ],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


@pytest.fixture
def described(tmp_path):
    """The page's own TOML, beside a network that it describes."""
    text, _ = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "birds.toml").write_text(text, encoding="utf-8")
    (folder / "birds.txt").write_text("\n".join(CLASSES))
    write_network(folder / "birds.onnx")
    return folder / "birds.toml"


def extract(avkd, videos, store, described, *more):
    steps = ("--clip-seconds=2", "--step-seconds=1", "--rows-per-shard=4", "--inputs=none")
    teacher = f"--teacher=birds={described}"
    return avkd("extract-teacher", videos, store, teacher, *steps, "--json", *more)


def test_the_description_of_the_page_extracts(avkd, videos, described, tmp_path):
    outcome = extract(avkd, videos, tmp_path / "store", described)
    assert outcome.exit_code == 0, outcome.err
    assert outcome.json["status"]["birds"]["ok"] == 8
    store = Store.open(str(tmp_path / "store"))
    logits, embedding = store.producers()["birds"].outputs
    assert (logits.shape, logits.class_names) == ((2, 3), CLASSES)
    assert (embedding.shape, embedding.axes) == ((2, 3), ("step", "feature"))
    assert logits.attributes["activation"] == "softmax"
    again = extract(avkd, videos, tmp_path / "store", described)
    assert again.json["num_shards_done"] == 0


def test_batches_of_one_store_the_same_values(avkd, videos, described, tmp_path):
    sizes, embeddings = [], []
    for batch in ("n", 1):
        write_network(described.parent / "birds.onnx", batch)
        place = tmp_path / f"store_{batch}"
        outcome = extract(avkd, videos, place, described)
        assert outcome.exit_code == 0, outcome.err
        store = Store.open(str(place))
        sizes.append(store.producers()["birds"].fingerprint["batch_size"])
        embeddings.append(store.read_rows("birds", "embedding", 0, 8))
    assert sizes == [32, 1]
    assert np.abs(embeddings[0]).max() > 0.1
    np.testing.assert_allclose(*embeddings, atol=1e-3)


def test_a_changed_network_is_not_mixed_in(avkd, videos, described, tmp_path):
    place = tmp_path / "store"
    assert extract(avkd, videos, place, described).exit_code == 0
    write_network(described.parent / "birds.onnx", batch=1)
    extract(avkd, videos, place, described).assert_refused(4, "birds", "weights_sha256")


def test_a_wrong_description_plans_nothing(avkd, videos, described, tmp_path):
    described.write_text(described.read_text().replace("width = 96", "width = 97"))
    outcome = extract(avkd, videos, tmp_path / "store", described)
    outcome.assert_refused(2, "birds.toml", "width")
    assert not (tmp_path / "store").exists()


def test_the_list_of_teachers_tells_of_files(avkd):
    outcome = avkd("list", "teachers")
    assert "PATH.toml" in outcome.out
