from pathlib import Path

import pytest

from avkd.errors import AvkdError
from avkd.stages.teachers.files.description import read_file_description

GOOD = """
file = "net.onnx"
stream = "depth"
width = 64
height = 32
fit = "stretch"

[input]
name = "x"
layout = "NHWC"
dtype = "float16"
mean = [0.5]
std = [0.25]
value_range = [0, 5000]

[outputs.logits]
from = "scores"
kind = "logits"
activation = "sigmoid"
classes = "names.txt"

[outputs."features.1"]
from = "f"
kind = "map"
"""
PLAIN = 'file = "net.onnx"\nwidth = 8\nheight = 8\n'
OUTPUT = '[outputs.o]\nfrom = "o"\nkind = "map"\n'


def write(folder: Path, text: str) -> Path:
    (folder / "net.onnx").touch()
    (folder / "names.txt").write_text("cat\ndog\n")
    place = folder / "t.toml"
    place.write_text(text, encoding="utf-8")
    return place


def test_every_key_is_read(tmp_path: Path) -> None:
    found = read_file_description(write(tmp_path, GOOD))
    assert found.file == tmp_path / "net.onnx"
    assert (found.frame_format.width, found.frame_format.height) == (64, 32)
    assert (found.frame_format.pixels, found.frame_format.fit) == ("gray16", "stretch")
    assert found.told.input.value_range == (0.0, 5000.0)
    assert found.told.outputs["logits"].source == "scores"
    assert found.class_names == {"logits": ("cat", "dog")}


def test_what_is_not_said_is_the_usual(tmp_path: Path) -> None:
    told = read_file_description(write(tmp_path, PLAIN + OUTPUT)).told
    assert (told.stream, told.fit, told.crop_fraction) == ("rgb", "cover", 1.0)
    assert (told.input.layout, told.input.dtype, told.input.scale) == ("NCHW", "float32", None)
    assert (told.input.mean, told.input.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "file: Field required"),
        ("file =", "cannot be read as TOML"),
        ("[" * 100_000, "cannot be read as TOML"),
        ("a = 1\n" * 200_000, "more than 1000000 bytes"),
        (PLAIN, "outputs: Field required"),
        (PLAIN + "[outputs]\n", "none is named"),
        (PLAIN + "hight = 3\n" + OUTPUT, "'hight'; did you mean height"),
        (PLAIN + "[inputs]\n" + OUTPUT, "did you mean input"),
        (PLAIN + "[input]\nstd_dev = [1]\n" + OUTPUT, "[input] 'std_dev'"),
        (PLAIN + '[outputs.o]\nfrom = "o"\nkind = "map"\nshape = [1]\n', "[outputs.o] 'shape'"),
        (PLAIN + '[outputs.o]\nsource = "o"\nkind = "map"\n', "[outputs.o] 'source'"),
        (PLAIN + '[outputs.o]\nkind = "map"\n', "outputs.o.from: Field required"),
        (PLAIN + '[outputs.o]\nfrom = "o"\nkind = "boxes"\n', "outputs.o.kind: Input should be"),
        (PLAIN + OUTPUT + '[outputs.p]\nfrom = "o"\nkind = "map"\n', "is stored twice"),
        (PLAIN + OUTPUT + 'activation = "softmax"\n', "of logits, not of a map"),
        (PLAIN + OUTPUT.replace("outputs.o", 'outputs."../o"'), "'../o' is not made of letters"),
        (PLAIN + "outputs = 3\n", "outputs: Input should be"),
        (PLAIN + "outputs.o = 3\n", "outputs.o: Input should be"),
        (PLAIN.replace("width = 8", 'width = "8"') + OUTPUT, "width: Input should be a valid int"),
        (PLAIN.replace("width = 8", "width = 8.0") + OUTPUT, "width: Input should be a valid int"),
        (PLAIN.replace("width = 8", "width = true") + OUTPUT, "width: Input should be a valid int"),
        (PLAIN.replace("width = 8", "width = 0") + OUTPUT, "must be 1 to 16384 pixels"),
        (PLAIN.replace("width = 8", "width = 99999999") + OUTPUT, "must be 1 to 16384 pixels"),
        (PLAIN + 'stream = "audio"\n' + OUTPUT, "stream 'audio' is none of rgb, depth, thermal"),
        (PLAIN + "crop_fraction = 1.5\n" + OUTPUT, "must be above 0 and at most 1"),
        (PLAIN + "crop_fraction = nan\n" + OUTPUT, "must be above 0 and at most 1"),
        (PLAIN + 'crop_fraction = 0.5\nfit = "stretch"\n' + OUTPUT, "shows whole; leave it out"),
        (PLAIN + "[input]\nmean = [0.5]\nstd = [1.0]\n" + OUTPUT, "one number for each channel"),
        (PLAIN + "[input]\nmean = [0, 0, 0, 0]\n" + OUTPUT, "one number for each channel"),
        (PLAIN + "[input]\nstd = [1, 1, 0]\n" + OUTPUT, "must not be 0"),
        (PLAIN + "[input]\nscale = 0\n" + OUTPUT, "must not be 0"),
        (PLAIN + "[input]\nmean = [0, inf, 0]\n" + OUTPUT, "must be finite"),
        (PLAIN + "[input]\nvalue_range = [3, 3]\n" + OUTPUT, "range 3 to 3 is empty"),
        (PLAIN + "[input]\nvalue_range = [3]\n" + OUTPUT, "input.value_range"),
        (PLAIN + '[input]\ndtype = "uint8"\nscale = 2\n' + OUTPUT, "taken as they are"),
        (PLAIN + '[input]\ndtype = "int8"\n' + OUTPUT, "input.dtype: Input should be"),
        (PLAIN.replace("net.onnx", "../net.onnx") + OUTPUT, "leads out of"),
        (PLAIN.replace("net.onnx", "/etc/hostname") + OUTPUT, "leads out of"),
        (PLAIN.replace("net.onnx", "a\\u0000b") + OUTPUT, "is no path"),
        (PLAIN.replace("net.onnx", "x" * 5000) + OUTPUT, "is no path"),
        (PLAIN.replace("net.onnx", "gone.onnx") + OUTPUT, "is not in"),
        (PLAIN.replace("net.onnx", "names.txt") + OUTPUT, "neither .onnx nor .pt2"),
        (GOOD.replace("names.txt", "/etc/passwd"), "outputs.logits.classes '/etc/passwd' leads"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    place = write(tmp_path, text)
    with pytest.raises(AvkdError) as caught:
        read_file_description(place)
    assert message in str(caught.value)
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("mine")
    place = write(folder, GOOD.replace("names.txt", "link.txt"))
    (folder / "link.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(AvkdError, match="leads out of"):
        read_file_description(place)


def test_links_to_oneself_are_no_files(tmp_path: Path) -> None:
    place = write(tmp_path, PLAIN.replace("net.onnx", "loop.onnx") + OUTPUT)
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    with pytest.raises(AvkdError, match=r"is no path|is not in"):
        read_file_description(place)


def test_missing_description_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AvkdError, match=r"no description of a teacher at .*none\.toml"):
        read_file_description(tmp_path / "none.toml")
