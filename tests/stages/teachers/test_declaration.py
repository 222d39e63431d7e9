import hashlib
import json
from pathlib import Path

import pytest

from avkd.errors import InvalidValueError
from avkd.stages.teachers.declaration import (
    Preprocessing,
    TeacherDeclaration,
    declare_classifier,
    digest_file,
    runtime_fingerprint,
)
from avkd.stages.teachers.request import TeacherRequest, parse_teacher, resolve

PREPROCESSING = Preprocessing(
    height=32, width=32, crop_fraction=0.875, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)


def declare(
    *, class_names: tuple[str, ...] = (), weights_sha256: str = "ab", **options: object
) -> TeacherDeclaration:
    return declare_classifier(
        resolve(parse_teacher("x", **{"device": "cpu", **options})),  # type: ignore[arg-type]
        weights_sha256=weights_sha256,
        preprocessing=PREPROCESSING,
        num_classes=3,
        num_features=8,
        class_names=class_names,
    )


def test_classifier_declares_logits_and_embedding() -> None:
    logits, embedding = declare(class_names=("a", "b", "c")).outputs
    assert (logits.name, logits.shape, logits.activation) == ("logits", (3,), "softmax")
    assert logits.class_names == ("a", "b", "c")
    assert (embedding.name, embedding.shape, embedding.activation) == ("embedding", (8,), "none")


def test_fingerprint_survives_json() -> None:
    fingerprint = declare().fingerprint
    assert json.loads(json.dumps(fingerprint)) == fingerprint


@pytest.mark.parametrize(
    "options",
    [
        {"weights_sha256": "cd"},
        {"batch_size": 7},
        {"runtime": "torch"},
        {"precision": "bfloat16"},
        {"device": "cuda"},
    ],
)
def test_fingerprint_changes_with_all_that_decides_the_bytes(options: dict[str, object]) -> None:
    assert declare(**options).fingerprint != declare().fingerprint  # type: ignore[arg-type]


def test_fingerprint_is_blind_to_names() -> None:
    assert declare(class_names=("a", "b", "c")).fingerprint == declare().fingerprint


def test_only_torch_on_a_cpu_declares_its_threads() -> None:
    assert declare(runtime="torch").fingerprint["num_threads"] == 1
    assert "num_threads" not in declare().fingerprint
    assert "num_threads" not in declare(device="cuda").fingerprint


def test_wrong_number_of_class_names_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="2 class names for the 3 classes"):
        declare(class_names=("a", "b"))


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    assert digest_file(path) == hashlib.sha256(b"abc").hexdigest()


def test_compiled_network_is_another_teacher_and_a_plain_one_the_same_as_ever() -> None:
    assert "compiled" not in declare(runtime="torch").fingerprint
    request = TeacherRequest(name="x", family="x", runtime="torch", device="cpu", is_compiled=True)
    assert runtime_fingerprint(request)["compiled"] is True
