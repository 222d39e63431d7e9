import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx  # noqa: TID253
import pytest
import torch
from onnx import TensorProto, numpy_helper  # noqa: TID253
from torch import nn

from avkd.errors import AvkdError, InvalidValueError, UnknownNameError
from avkd.stages.teachers.declaration import Preprocessing
from avkd.stages.teachers.network import build_network
from avkd.stages.teachers.registry import declare_teacher, load_teacher, settle_teacher
from avkd.stages.teachers.request import TeacherRequest, parse_teacher
from avkd.stages.teachers.timm_family import TimmFamily

SIZE = 32
NUM_CLASSES = 10
WIDTH = 12
# Two ways to the same sums; a wrong layout or a wrong mean differs by tenths.
PARITY = 1e-4
TOML = """
file = "{file}"
width = 32
height = 32

[input]
mean = [0.5, 0.4, 0.3]
std = [0.2, 0.3, 0.25]
{more}

[outputs.logits]
from = "{logits}"
kind = "logits"

[outputs.embedding]
from = "{embedding}"
kind = "embedding"
"""
Frames = npt.NDArray[np.uint8]

# Of torch's exporter to ONNX, to its own developers and users.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
]


class Net(nn.Module):
    """Pictures to logits and an embedding."""

    def __init__(self, *, takes_nhwc: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.takes_nhwc = takes_nhwc
        self.body = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Linear(WIDTH, NUM_CLASSES)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.takes_nhwc:
            pictures = pictures.permute(0, 3, 1, 2)
        embedding = self.body(pictures)
        return self.head(embedding), embedding


def to_onnx(path: Path, network: nn.Module, shape: tuple[int, ...], *, is_free: bool) -> None:
    names = ["pictures", "scores", "features"]
    torch.onnx.export(
        network.eval(),
        (torch.zeros(shape),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=names[:1],
        output_names=names[1:],
        dynamic_axes={name: {0: "n"} for name in names} if is_free else None,
    )


def to_pt2(path: Path, network: nn.Module, shape: tuple[int, ...], *, is_free: bool) -> None:
    axes = ({0: torch.export.Dim("n")},) if is_free else None
    program = torch.export.export(network.eval(), (torch.zeros(shape),), dynamic_shapes=axes)
    torch.export.save(program, path)


SAVE: Mapping[str, Callable[..., None]] = {".onnx": to_onnx, ".pt2": to_pt2}


def write_file(folder: Path, suffix: str, *, is_free: bool = True, is_nhwc: bool = False) -> Path:
    """Give the place of a description with its network beside it."""
    shape = (SIZE, SIZE, 3) if is_nhwc else (3, SIZE, SIZE)
    file = folder / f"net{suffix}"
    SAVE[suffix](file, Net(takes_nhwc=is_nhwc), (2 if is_free else 1, *shape), is_free=is_free)
    names = ("scores", "features") if suffix == ".onnx" else ("0", "1")
    more = 'layout = "NHWC"' if is_nhwc else ""
    text = TOML.format(file=file.name, logits=names[0], embedding=names[1], more=more)
    place = folder / "teacher.toml"
    place.write_text(text, encoding="utf-8")
    return place


def request_for(place: Path, **options: object) -> TeacherRequest:
    request = parse_teacher(f"net={place}", batch_size=4, device="cpu")
    return replace(request, is_trusted=True, **options)  # type: ignore[arg-type]


def draw(num_frames: int = 4, seed: int = 0) -> Frames:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (num_frames, SIZE, SIZE, 3), dtype=np.uint8)


def expect(frames: Frames) -> dict[str, npt.NDArray[np.float32]]:
    """What the network says of pictures that were normalised by hand."""
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.25])
    values = ((frames / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.inference_mode():
        logits, embedding = Net().eval()(torch.from_numpy(np.ascontiguousarray(values)))
    return {"logits": logits.numpy(), "embedding": embedding.numpy()}


def assert_close(found: Mapping[str, npt.NDArray[np.float32 | np.uint8]], frames: Frames) -> None:
    for name, expected in expect(frames).items():
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - expected).max() < PARITY * np.abs(expected).max()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("is_nhwc", [False, True])
def test_onnx_file_says_what_its_network_says(tmp_path: Path, runtime: str, is_nhwc: bool) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    place = write_file(tmp_path, ".onnx", is_nhwc=is_nhwc)
    teacher = load_teacher(request_for(place, runtime=runtime))
    assert_close(teacher.predict(draw()), draw())


@pytest.mark.parametrize("is_nhwc", [False, True])
def test_exported_program_says_what_its_network_says(tmp_path: Path, is_nhwc: bool) -> None:
    teacher = load_teacher(request_for(write_file(tmp_path, ".pt2", is_nhwc=is_nhwc)))
    assert teacher.declaration.fingerprint["runtime"] == "torch"
    assert_close(teacher.predict(draw()), draw())


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_declaration_is_that_of_the_loaded_teacher(tmp_path: Path, suffix: str) -> None:
    request = request_for(write_file(tmp_path, suffix))
    declared = declare_teacher(request)
    assert declared == load_teacher(request).declaration
    assert [output.shape for output in declared.outputs] == [(NUM_CLASSES,), (WIDTH,)]
    assert [output.activation for output in declared.outputs] == ["softmax", "none"]
    assert declared.fingerprint == json.loads(json.dumps(declared.fingerprint))
    assert declared.batch_size == 4


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_file_of_one_batch_size_runs_in_it(tmp_path: Path, suffix: str) -> None:
    request = request_for(write_file(tmp_path, suffix, is_free=False))
    teacher = load_teacher(request)
    assert teacher.declaration.batch_size == declare_teacher(request).batch_size == 1
    assert teacher.declaration.fingerprint["batch_size"] == 1
    assert_close(teacher.predict(draw(1)), draw(1))
    with pytest.raises(InvalidValueError, match="pad the batch"):
        teacher.predict(draw(4))


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_frame_does_not_feel_its_neighbours(tmp_path: Path, suffix: str) -> None:
    teacher = load_teacher(request_for(write_file(tmp_path, suffix)))
    frames, others = draw(), draw(seed=1)
    others[2] = frames[2]
    alone, among_others = teacher.predict(frames), teacher.predict(others)
    for name in ("logits", "embedding"):
        assert np.array_equal(alone[name][2], among_others[name][2])
        assert not np.array_equal(alone[name][1], among_others[name][1])


def test_file_of_a_built_in_network_says_what_the_built_in_teacher_says(tmp_path: Path) -> None:
    built_in = parse_teacher("timm/test_resnet", weights="random", batch_size=4, device="cpu")
    network = build_network(TimmFamily(), built_in)
    looks = network.preprocessing
    file = tmp_path / "resnet.onnx"
    torch.onnx.export(
        network.module,
        (torch.zeros(1, 3, looks.height, looks.width),),
        str(file),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
    )
    (tmp_path / "resnet.toml").write_text(_describe(looks))
    teacher = load_teacher(request_for(tmp_path / "resnet.toml"))
    declared = declare_teacher(built_in)
    assert teacher.declaration.frame_format == declared.frame_format  # type: ignore[union-attr]
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (4, looks.height, looks.width, 3), dtype=np.uint8)
    expected = load_teacher(built_in).predict(frames)["logits"]
    found = teacher.predict(frames)["logits"]
    assert np.abs(found - expected).max() < PARITY * np.abs(expected).max()


def _describe(looks: Preprocessing) -> str:
    return (
        f'file = "resnet.onnx"\nwidth = {looks.width}\nheight = {looks.height}\n'
        f"crop_fraction = {looks.crop_fraction}\n"
        f"[input]\nmean = {list(looks.mean)}\nstd = {list(looks.std)}\n"
        '[outputs.logits]\nfrom = "y"\nkind = "logits"\n'
    )


def test_moved_and_commented_files_are_the_same_teacher(tmp_path: Path) -> None:
    place = write_file(tmp_path, ".onnx")
    before = declare_teacher(request_for(place)).fingerprint
    there = tmp_path / "there"
    there.mkdir()
    for file in (place, tmp_path / "net.onnx"):
        file.rename(there / file.name)
    (there / place.name).write_text("# said again\n" + (there / place.name).read_text())
    assert declare_teacher(request_for(there / place.name)).fingerprint == before


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("0.4", "0.45", "preprocessing"),
        ('kind = "logits"', 'kind = "logits"\nactivation = "sigmoid"', "outputs"),
        ("width = 32", 'width = 32\nfit = "stretch"', "preprocessing"),
        ("width = 32", 'width = 32\nstream = "thermal"', "stream"),
    ],
)
def test_other_words_are_another_teacher(tmp_path: Path, old: str, new: str, field: str) -> None:
    place = write_file(tmp_path, ".onnx")
    before = declare_teacher(request_for(place)).fingerprint
    place.write_text(place.read_text().replace(old, new))
    after = declare_teacher(request_for(place)).fingerprint
    assert {name for name in before if before[name] != after[name]} == {field}


def test_other_weights_are_another_teacher(tmp_path: Path) -> None:
    place = write_file(tmp_path, ".onnx")
    before = declare_teacher(request_for(place)).fingerprint
    model = onnx.load(tmp_path / "net.onnx")
    weights = numpy_helper.to_array(model.graph.initializer[0]) + 1
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(weights, model.graph.initializer[0].name)
    )
    onnx.save(model, tmp_path / "net.onnx")
    after = declare_teacher(request_for(place)).fingerprint
    assert {name for name in before if before[name] != after[name]} == {"weights_sha256"}


def test_weights_beside_the_file_are_read_and_digested(tmp_path: Path) -> None:
    place = write_file(tmp_path, ".onnx")
    expected = load_teacher(request_for(place)).predict(draw())
    model = onnx.load(tmp_path / "net.onnx")
    onnx.save(
        model,
        tmp_path / "net.onnx",
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    teacher = load_teacher(request_for(place))
    assert np.array_equal(teacher.predict(draw())["logits"], expected["logits"])
    digests = teacher.declaration.fingerprint["weights_sha256"]
    assert isinstance(digests, dict)
    assert set(digests) == {"file", "net.data"}


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "link", "gone"])
def test_weights_from_elsewhere_are_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(4096))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    toml = write_file(folder, ".onnx")
    model = onnx.load(folder / "net.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    assert_refused(request_for(toml), "the file of weights", "copy the file there")


def assert_refused(request: TeacherRequest, *words: str) -> None:
    for use in (declare_teacher, load_teacher):
        with pytest.raises(AvkdError) as caught:
            use(request)
        assert "\n" not in str(caught.value)
        for word in words:
            assert word in str(caught.value)


def test_damaged_weights_beside_the_file_are_one_clear_line(tmp_path: Path) -> None:
    place = write_file(tmp_path, ".onnx")
    model = onnx.load(tmp_path / "net.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "w.data"), ("offset", "-4"), ("length", "8")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (tmp_path / "w.data").write_bytes(bytes(4096))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert_refused(request_for(place), "is no whole ONNX file")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width = 32", "width = 48", "mend width, height, layout or mean"),
        ("std =", 'layout = "NHWC"\nstd =', "mend width, height, layout or mean"),
        ("std =", 'dtype = "float16"\nstd =', "is not that of the file's input 'pictures', float"),
        ("std =", 'name = "picture"\nstd =', "unknown input of"),
        ('from = "scores"', 'from = "score"', "did you mean scores?"),
        ('file = "net.onnx"', 'file = "nets.onnx"', "is not in"),
    ],
)
def test_words_that_do_not_fit_the_file_are_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    place = write_file(tmp_path, ".onnx")
    place.write_text(place.read_text().replace(old, new))
    assert_refused(request_for(place), message)


def test_names_of_other_classes_are_refused(tmp_path: Path) -> None:
    place = write_file(tmp_path, ".onnx")
    names = [f"bird{number}" for number in range(NUM_CLASSES)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    place.write_text(place.read_text().replace('"logits"\n', '"logits"\nclasses = "names.txt"\n'))
    assert declare_teacher(request_for(place)).outputs[0].class_names == tuple(names)
    (tmp_path / "names.txt").write_text("\n".join(names[1:]))
    assert_refused(request_for(place), "names 9 classes, but 'scores' of the file has 10")


@pytest.mark.parametrize(
    "content", [b"", b"no network at all", bytes(100)], ids=["empty", "text", "zeros"]
)
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_damaged_file_is_one_clear_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    place = write_file(tmp_path, suffix)
    (tmp_path / f"net{suffix}").write_bytes(content)
    assert_refused(request_for(place), f"net{suffix}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "w.pt"}, "leave --weights, --classes and --maps out"),
        ({"maps": ("attention",)}, "leave --weights, --classes and --maps out"),
        ({"stream": "depth"}, "leave --stream and --picture-size out"),
        ({"picture_size": (64, 64)}, "leave --stream and --picture-size out"),
        ({"runtime": "torch"}, "runs under onnxruntime or openvino, not torch"),
        ({"device": "cuda"}, "works on device cpu"),
        ({"is_compiled": True}, "leave --compile out"),
    ],
)
def test_options_that_the_description_settles_are_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    place = write_file(tmp_path, ".onnx")
    with pytest.raises(InvalidValueError, match=message):
        settle_teacher(request_for(place, **options))


def test_onnx_runs_on_the_cpu_of_a_machine_with_a_gpu(tmp_path: Path) -> None:
    place = write_file(tmp_path, ".onnx")
    request = replace(request_for(place), device="auto")
    assert settle_teacher(request).device == "cpu"
    assert settle_teacher(replace(request, precision="bfloat16")).runtime == "openvino"


def test_file_that_torch_may_run_code_of_wants_a_word_of_trust(tmp_path: Path) -> None:
    request = replace(request_for(write_file(tmp_path, ".pt2")), is_trusted=False)
    assert_refused(request, "may run code", "--trust net")


class Attack:
    """What a hostile archive does when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def change_archive(path: Path, change: Callable[[str, bytes], dict[str, bytes]]) -> None:
    """Write every entry again as what ``change`` makes of it."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            root, _, inner = name.partition("/")
            for other, new in change(inner, content).items():
                archive.writestr(f"{root}/{other}", new)


def test_archive_with_a_pickle_as_its_example_is_refused_and_does_nothing(tmp_path: Path) -> None:
    place, harm = write_file(tmp_path, ".pt2"), tmp_path / "harm"
    evil = pickle.dumps(Attack(harm))

    def change(name: str, content: bytes) -> dict[str, bytes]:
        return {name: evil if name == "data/sample_inputs/model.pt" else content}

    change_archive(tmp_path / "net.pt2", change)
    assert_refused(request_for(place), "does not load by torch.export")
    assert not harm.exists()


def test_output_that_a_program_does_not_give_is_named(tmp_path: Path) -> None:
    place = write_file(tmp_path, ".pt2")
    place.write_text(place.read_text().replace('from = "1"', 'from = "2"'))
    with pytest.raises(UnknownNameError, match="unknown output of"):
        declare_teacher(request_for(place))


def test_teacher_is_named_after_its_description() -> None:
    assert parse_teacher("models/birds.toml").name == "birds"


def test_onnx_teacher_is_declared_without_torch(tmp_path: Path) -> None:
    place = write_file(tmp_path, ".onnx")
    code = (
        "import sys\n"
        "from avkd.stages.teachers.registry import declare_teacher\n"
        "from avkd.stages.teachers.request import parse_teacher\n"
        f"assert declare_teacher(parse_teacher('n={place}')).outputs[0].shape == (10,)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
