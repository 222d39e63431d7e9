"""Boxes and maps of several streams, from files to the store.

A rectangle wanders over each picture: at the left edge in rgb, at the right one in depth, so that a
picture that is cut, or of the wrong stream, gives another box.
"""

import csv
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from avkd.errors import FingerprintMismatchError, InvalidValueError
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.progress import ProgressEvent
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.stages.media.frames import read_frames
from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.detector_declaration import (
    DetectorFacts,
    declare_detector,
    detector_frames,
)
from avkd.stages.teachers.registry import load_teacher, register_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

WIDTH, HEIGHT, FRAME_RATE = 160, 64, 4
# Equal in their upper byte: 8 bits would not tell one from the other.
FAR, NEAR = 0x1200, 0x12F0
Box = tuple[int, int, int, int]
Extract = Callable[..., ExtractReport]


def rgb_box(second: int) -> Box:
    """In pixels: x_min, y_min, x_max, y_max."""
    return 0, 8 * second, 32, 8 * second + 16


def depth_box(second: int) -> Box:
    return 144, 8 * second + 32, 160, 8 * second + 40


def draw(box: Box, dark: int, bright: int, dtype: type[Any]) -> npt.NDArray[Any]:
    picture = np.full((HEIGHT, WIDTH), dark, dtype)
    picture[box[1] : box[3], box[0] : box[2]] = bright
    return picture


def write_pictures(path: Path, seconds: int, *, is_depth: bool) -> None:
    codec, pixels, options = (
        ("ffv1", "gray16le", {}) if is_depth else ("libx264", "yuv420p", {"crf": "5"})
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FRAME_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        for number in range(seconds * FRAME_RATE):
            second = number // FRAME_RATE
            if is_depth:
                levels = draw(depth_box(second), FAR, NEAR, np.uint16)
                picture = av.VideoFrame.from_ndarray(levels, "gray16le")
            else:
                gray = draw(rgb_box(second), 20, 230, np.uint8)
                picture = av.VideoFrame.from_ndarray(np.stack([gray] * 3, axis=-1), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FRAME_RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings: the second has no depth, the depth of the third ends early."""
    folder = tmp_path_factory.mktemp("drives")
    rows = []
    for name, seconds, depth_seconds in (("a", 3, 3), ("b", 2, 0), ("c", 3, 2)):
        write_pictures(folder / f"{name}.mp4", seconds, is_depth=False)
        if depth_seconds:
            write_pictures(folder / f"{name}.mkv", depth_seconds, is_depth=True)
        rows.append([name, f"{name}.mp4", f"{name}.mkv" if depth_seconds else "", seconds])
    with (folder / "corpus.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["recording_id", "rgb", "depth", "duration_seconds"])
        table.writerows(rows)
    return folder / "corpus.csv"


class RectangleTeacher:
    """Finds the rectangle of pixels above the middle of a picture's values."""

    def __init__(self, declaration: TeacherDeclaration, value_range: tuple[float, float]) -> None:
        self.declaration = declaration
        self._middle = sum(value_range) / 2

    def predict(self, frames: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        boxes = np.zeros((len(frames), *self.declaration.outputs[0].shape), np.float32)
        size = (frames.shape[2], frames.shape[1]) * 2
        for number, is_bright in enumerate(frames[..., 0] > self._middle):
            rows, columns = np.nonzero(is_bright)
            if len(rows):
                corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                boxes[number, 0] = [*np.divide(corners, size), 0.75, 1]
                boxes[number, 1] = [0, 0, 1, 1, 0.25, 0]
        return {"boxes": boxes}


class RectangleFamily:
    summary = "finds the bright rectangles of a picture"
    runtimes = ("torch",)

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        facts = DetectorFacts(
            weights_sha256="0",
            frame_format=detector_frames(request, 80, 64),
            mean=(0,),
            std=(1,),
            class_names=("picture", "rectangle"),
            level_shapes=(),
        )
        return declare_detector(request, facts)

    def load(self, request: TeacherRequest) -> RectangleTeacher:
        return RectangleTeacher(self.declare(request), request.value_range or (0, 255))


register_teacher("rectangle")(RectangleFamily)

RGB = TeacherRequest(name="rgb", family="rectangle", batch_size=4, device="cpu")
DEPTH = replace(RGB, name="depth", stream="depth", value_range=(float(FAR), float(NEAR)))
BLIND = replace(RGB, name="blind", stream="depth", value_range=(0.0, 65_535.0))


@pytest.fixture
def extract(drives: Path, tmp_path: Path) -> Extract:
    """Extract the drives into shards of two clips of two steps of a second."""

    def run(*teachers: TeacherRequest, store: str = "store", **options: Any) -> ExtractReport:
        on_progress = options.pop("on_progress", lambda event: None)
        request = ExtractRequest(
            corpus=str(drives),
            store=str(tmp_path / store),
            teachers=teachers,
            **{
                "clip_seconds": 2.0,
                "step_seconds": 1.0,
                "rows_per_shard": 2,
                "inputs": "none",
                "num_decode_workers": 1,
                **options,
            },
        )
        return extract_teacher(request, on_progress=on_progress)

    return run


def read_boxes(store: Store, name: str) -> list[dict[str, Any]]:
    boxes: list[dict[str, Any]] = store.read_rows(name, "boxes", 0, 5).to_pylist()
    return boxes


def test_boxes_are_those_of_the_streams_pictures_as_fractions_of_the_whole(
    extract: Extract, tmp_path: Path
) -> None:
    report = extract(RGB, DEPTH)
    assert report.status["rgb"] == {"ok": 5}
    # Clip c has depth for its first two seconds: its second clip, the third second, has none.
    assert report.status["depth"] == {"ok": 3, "no_video": 1, "too_short": 1}
    store = Store.open(str(tmp_path / "store"))
    clips = [clip for shard in store.shards() for clip in store.read_clips(shard)]
    for name, truth, lacking in (("rgb", rgb_box, ()), ("depth", depth_box, ("b1", "c2"))):
        found = {
            (each["row"], each["step"]): each for each in read_boxes(store, name) if each["class"]
        }
        expected = {}
        for clip in clips:
            if f"{clip.recording_id}{1 + round(clip.start_seconds / 2)}" in lacking:
                continue
            for step in range(clip.num_steps):
                box = truth(round(clip.start_seconds) + step)
                expected[clip.row, step] = np.divide(box, (WIDTH, HEIGHT) * 2)
        assert found.keys() == expected.keys()
        for place, box in expected.items():
            np.testing.assert_allclose(found[place]["box"], box, atol=1e-6)
            assert (found[place]["score"], found[place]["class"]) == (0.75, 1)
    (output,) = store.producers()["depth"].outputs
    assert output.attributes["box"] == ["x_min", "y_min", "x_max", "y_max"]
    assert output.class_names == ("picture", "rectangle")
    assert verify_store(store.url) == ()


def test_boxes_of_a_step_keep_their_order(extract: Extract, tmp_path: Path) -> None:
    extract(RGB)
    found = read_boxes(Store.open(str(tmp_path / "store")), "rgb")
    assert [each["score"] for each in found] == [0.75, 0.25] * 8
    places = [(each["row"], each["step"]) for each in found]
    assert places == sorted(places)


def test_a_detector_that_never_fires_stores_rows_without_boxes(
    extract: Extract, tmp_path: Path
) -> None:
    report = extract(BLIND)
    assert report.status["blind"]["ok"] == 3
    store = Store.open(str(tmp_path / "store"))
    assert read_boxes(store, "blind") == []
    assert store.ok_rows("blind").tolist() == [0, 1, 3]
    assert verify_store(store.url) == ()


def test_streams_in_one_pass_or_one_after_the_other_give_the_same_store(
    extract: Extract,
) -> None:
    sound = {"inputs": WaveformFormat(sample_rate=8_000), "frames_size": (8, 4)}
    together = extract(DEPTH, RGB, store="together", **sound)
    extract(RGB, store="apart", **sound)
    apart = extract(DEPTH, store="apart", inputs=None)
    assert apart.num_shards_done == 3
    assert together.content_digest == apart.content_digest
    again = extract(DEPTH, RGB, store="apart", inputs=None)
    assert (again.num_shards_done, again.content_digest) == (0, apart.content_digest)


def test_a_clip_counts_once_and_as_failed_where_any_stream_does(extract: Extract) -> None:
    events: list[ProgressEvent] = []
    extract(RGB, DEPTH, on_progress=events.append)
    assert [event.num_done for event in events] == [1, 2, 3, 4, 5]
    assert events[-1].num_failed == 2


def test_another_range_of_the_same_name_is_refused(extract: Extract) -> None:
    extract(DEPTH)
    with pytest.raises(FingerprintMismatchError, match=r"preprocessing\.value_range"):
        extract(replace(DEPTH, value_range=(0.0, 9_000.0)))


def test_pictures_of_8_bits_are_not_taken_for_16(extract: Extract, tmp_path: Path) -> None:
    report = extract(replace(RGB, value_range=(0.0, 255.0)))
    assert report.status["rgb"] == {"decode_error": 5}
    failures = Store.open(str(tmp_path / "store")).read_commit("rgb", 0).failures
    assert "pictures are yuv420p, not 16-bit gray" in failures[0][1]


def test_pictures_of_16_bits_are_not_shown_with_8_and_the_reason_is_told(extract: Extract) -> None:
    report = extract(replace(RGB, name="depth", stream="depth"))
    (note,) = report.notes
    assert note.startswith("depth: none of 5 clips is ok, the first because ")
    assert "16-bit gray" in note


def test_several_pictures_a_step_have_no_boxes_of_their_own(
    extract: Extract, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValueError, match="boxes of one picture a step, not of 2"):
        extract(RGB, frames_per_step=2)
    assert not (tmp_path / "store").exists()


def test_a_stream_that_no_recording_has_is_refused(extract: Extract, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="'t' looks at the stream 'thermal', which no"):
        extract(replace(RGB, name="t", stream="thermal"))
    assert not (tmp_path / "store").exists()


def test_a_family_that_knows_no_streams_does_not_seem_to(extract: Extract) -> None:
    bright = TeacherRequest(name="bright", family="brightness", stream="depth")
    with pytest.raises(InvalidValueError, match="does not take the stream 'depth'"):
        extract(bright)


@pytest.fixture(scope="module")
def ssd(tmp_path_factory: pytest.TempPathFactory) -> TeacherRequest:
    """A real detector whose weights, not trained, at least do not let a picture fade away."""
    import torch
    from torchvision import models

    torch.manual_seed(3)
    model = "ssdlite320_mobilenet_v3_large"
    network = models.get_model(model, weights=None, weights_backbone=None, num_classes=2)
    for module in network.backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    weights = tmp_path_factory.mktemp("weights") / "ssd.pth"
    torch.save(network.state_dict(), weights)
    return TeacherRequest(
        name="ssd",
        family=f"torchvision_detector/{model}",
        weights=str(weights),
        batch_size=2,
        device="cpu",
        picture_size=(96, 64),
        maps=("features_0", "attention_0"),
        map_channels=8,
    )


def test_processes_give_the_store_that_serial_gives(extract: Extract, ssd: TeacherRequest) -> None:
    depth = replace(ssd, name="depth", stream="depth", value_range=(float(FAR), float(NEAR)))
    serial, processes = (
        extract(ssd, depth, store=name, executor=name, num_workers=2)
        for name in ("serial", "processes")
    )
    assert serial.status["depth"]["ok"] == 3
    assert serial.content_digest == processes.content_digest


def test_what_is_stored_is_what_the_detector_says_of_the_decoded_picture(
    extract: Extract, drives: Path, ssd: TeacherRequest, tmp_path: Path
) -> None:
    extract(ssd)
    store = Store.open(str(tmp_path / "store"))
    assert store.producers()["ssd"].fingerprint["map_projection"] == {
        "kind": "gaussian",
        "seed": 0,
        "num_channels": 8,
    }
    teacher = load_teacher(ssd)
    wanted = teacher.declaration.frame_format
    frames = read_frames(str(drives.parent / "a.mp4"), [0.5, 1.5], [wanted])[wanted]
    said = teacher.predict(frames)
    stored = [each for each in read_boxes(store, "ssd") if each["row"] == 0]
    assert len(stored) == (said["boxes"][..., 4] > 0).sum() > 0
    for step in range(2):
        boxes = said["boxes"][step]
        kept = boxes[boxes[:, 4] > 0]
        of_step = [each for each in stored if each["step"] == step]
        np.testing.assert_array_equal([each["box"] for each in of_step], kept[:, :4])
        np.testing.assert_array_equal([each["score"] for each in of_step], kept[:, 4])
    assert not np.array_equal(said["boxes"][0], said["boxes"][1])
    for name in ("features_0", "attention_0", "attention_0_scale"):
        rows = store.read_rows("ssd", name, 0, 1)[0]
        assert rows.any()
        np.testing.assert_array_equal(rows, said[name].astype(rows.dtype))
    assert store.read_rows("ssd", "features_0", 0, 1).shape == (1, 2, 8, 4, 6)
    assert store.read_rows("ssd", "attention_0", 0, 1).max() == 1
    assert verify_store(store.url) == ()
