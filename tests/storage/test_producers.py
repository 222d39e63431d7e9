import dataclasses
import shutil
from pathlib import Path

import pytest

from avkd.errors import CorruptStoreError, FingerprintMismatchError, InvalidValueError
from avkd.storage import producers
from avkd.storage.schema import OutputSpec, ProducerSpec


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "store")


def test_a_declaration_reads_back_with_the_metadata_of_its_arrays(url, teacher):
    declared = producers.declare_producer(url, teacher, 8)
    read = producers.read_producer(url, "teacher", "seer")
    assert read.spec == teacher
    assert read.arrays == declared.arrays
    assert set(read.arrays) == {"logits", "wide/values", "wide/ids", "wide/lse"}
    assert producers.list_producers(url) == [("teacher", "seer")]


def test_the_arrays_of_a_sparse_output_are_cut_alike(url):
    wide = OutputSpec(
        name="wide",
        shape=(50, 2_000_000),
        dtype="float16",
        axes=("step", "class"),
        layout="sparse_logits",
        num_kept=1_000_000,
    )
    spec = producers.ProducerSpec(kind="teacher", name="t", outputs=(wide,), fingerprint={})
    arrays = producers.declare_producer(url, spec, 8).arrays
    rows = {each["chunk_grid"]["configuration"]["chunk_shape"][0] for each in arrays.values()}
    assert rows == {1}


def test_another_fingerprint_under_one_name_is_refused_with_the_fields_that_differ(url, teacher):
    stored = producers.declare_producer(url, teacher, 8)
    changed = {**teacher.fingerprint, "weights": "cd34", "scale": {"height": 240}, "new": None}
    given = dataclasses.replace(teacher, fingerprint=changed)
    with pytest.raises(FingerprintMismatchError) as caught:
        producers.declare_producer(url, given, 8)
    message = str(caught.value)
    assert stored.digest in message
    assert producers.fingerprint_digest(changed) in message
    assert 'weights: stored "ab12", given "cd34"' in message
    assert "scale.height: stored 224, given 240" in message
    assert "fingerprint new" in message
    assert "extraction_version" not in message


def test_a_long_field_is_shortened_in_the_message(url, teacher):
    producers.declare_producer(url, teacher, 8)
    given = dataclasses.replace(teacher, fingerprint={**teacher.fingerprint, "weights": "w" * 500})
    with pytest.raises(FingerprintMismatchError) as caught:
        producers.declare_producer(url, given, 8)
    assert "w" * 60 in str(caught.value)
    assert "w" * 100 not in str(caught.value)


def test_other_outputs_or_another_kind_under_one_name_are_refused(url, teacher):
    producers.declare_producer(url, teacher, 8)
    for given, what in [
        (dataclasses.replace(teacher, outputs=teacher.outputs[:1]), "outputs"),
        (dataclasses.replace(teacher, kind="input"), "kind: stored teacher, given input"),
    ]:
        with pytest.raises(FingerprintMismatchError, match=what):
            producers.declare_producer(url, given, 8)


def test_a_damaged_declaration_is_named(url, teacher):
    producers.declare_producer(url, teacher, 8)
    path = Path(url, "targets/seer/producer.json")
    path.write_bytes(path.read_bytes().replace(b"ab12", b"ab13"))
    with pytest.raises(CorruptStoreError, match=r"targets/seer/producer\.json"):
        producers.read_producer(url, "teacher", "seer")


def test_a_declaration_at_another_place_is_corrupt(url, teacher):
    producers.declare_producer(url, teacher, 8)
    shutil.copytree(f"{url}/targets/seer", f"{url}/targets/hearer")
    with pytest.raises(CorruptStoreError, match="this declares 'seer'"):
        producers.read_producer(url, "teacher", "hearer")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float64"}, "must be one of float16, float32, int16"),
        ({"axes": ("step",)}, "one axis name each"),
        ({"shape": (0, 5)}, "sizes of 1 or more"),
        ({"layout": "sparse_logits", "num_kept": 6}, "from 1 to 5 classes"),
        ({"name": "../escape"}, "cannot be a folder"),
    ],
)
def test_an_output_that_cannot_be_stored_is_refused(url, teacher, change, message):
    output = dataclasses.replace(teacher.outputs[0], **change)
    with pytest.raises(InvalidValueError, match=message):
        producers.declare_producer(url, dataclasses.replace(teacher, outputs=(output,)), 8)


def test_outputs_need_distinct_names(url, teacher):
    for outputs in [(), teacher.outputs[:1] * 2]:
        with pytest.raises(InvalidValueError, match="distinct names"):
            producers.declare_producer(url, dataclasses.replace(teacher, outputs=outputs), 8)


def test_an_output_that_is_not_stored_is_named_with_those_that_are(url, teacher):
    producer = producers.declare_producer(url, teacher, 8)
    with pytest.raises(InvalidValueError, match="its outputs are logits, wide, faces"):
        producer.output("embedding")


def test_classes_of_pixels_are_255_at_most(url):
    output = OutputSpec(
        name="class_map",
        shape=(1, 2, 2),
        dtype="uint8",
        axes=("step", "height", "width"),
        class_names=tuple(f"c{number}" for number in range(256)),
    )
    spec = ProducerSpec(kind="teacher", name="sees", outputs=(output,), fingerprint={})
    with pytest.raises(InvalidValueError, match="sees/class_map: 256 classes do not fit uint8"):
        producers.declare_producer(url, spec, 8)
    fewer = dataclasses.replace(output, class_names=output.class_names[:255])
    declared = producers.declare_producer(url, dataclasses.replace(spec, outputs=(fewer,)), 8)
    assert declared.output("class_map").holds_classes
