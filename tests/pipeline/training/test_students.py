import json
from pathlib import Path

import pytest
import torch

from avkd.errors import CorruptStoreError, StoreNotFoundError
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.run_dir import RunDir, open_run
from avkd.pipeline.training.students import (
    build_recipe_encoder,
    build_student,
    load_student,
    read_learning_shape,
    save_student,
)
from avkd.pipeline.training.tensor_files import read_tensors, write_tensors
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.stages.methods.student import Student

TARGETS = {"dense": TargetShape(num_steps=2, num_classes=6, embedding_size=4)}


def save_fresh(folder: Path, recipe: Recipe) -> tuple[RunDir, Student]:
    run = open_run(str(folder), recipe, {})
    _, student = build_student(recipe, LearningShape(targets=TARGETS))
    save_student(
        run, student, LearningShape(targets=TARGETS), {"dense": ("a", "b", "c", "d", "e", "f")}
    )
    return run, student


def test_a_student_comes_back_with_its_weights_and_recipe(tmp_path: Path, recipe: Recipe) -> None:
    run, student = save_fresh(tmp_path, recipe)
    loaded, its_recipe = load_student(run.path)
    assert its_recipe == recipe
    assert not loaded.training
    sound = torch.randn(2, 1, 11_025)
    expected = student.eval()(sound, 2).logits["dense"]
    assert torch.equal(loaded(sound, 2).logits["dense"], expected)
    assert read_learning_shape(run).targets == TARGETS


def test_loading_leaves_the_random_numbers_of_the_caller_alone(
    tmp_path: Path, recipe: Recipe
) -> None:
    run, _ = save_fresh(tmp_path, recipe)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_student(run.path)
    assert torch.equal(torch.rand(3), expected)


def test_the_description_says_what_a_reader_without_avkd_needs(
    tmp_path: Path, recipe: Recipe
) -> None:
    run, student = save_fresh(tmp_path, recipe)
    description = json.loads(run.student_file.read_text())
    assert description["encoder"] == {
        "name": "logmel_resnet",
        "options": {"widths": [4, 8], "num_mels": 24},
    }
    assert description["sample_rate"] == 22_050
    assert description["num_parameters"] == sum(p.numel() for p in student.parameters())
    assert description["class_names"]["dense"][1] == "b"
    assert description["targets"]["dense"]["num_classes"] == 6


def test_a_seed_gives_the_same_student(recipe: Recipe) -> None:
    def weights(seed: int) -> torch.Tensor:
        encoder = build_recipe_encoder(with_overrides(recipe, [f"seed={seed}"]), {})
        return next(iter(encoder.parameters()))

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_a_run_that_is_not_finished_has_no_student(tmp_path: Path, recipe: Recipe) -> None:
    open_run(str(tmp_path), recipe, {})
    with pytest.raises(StoreNotFoundError, match="not finished"):
        load_student(tmp_path)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, recipe: Recipe) -> None:
    run, _ = save_fresh(tmp_path, recipe)
    write_tensors(run.weights_file, {"stray": torch.zeros(1)})
    with pytest.raises(CorruptStoreError, match="does not fit") as caught:
        load_student(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, b"", b"\x10" * 40])
def test_a_missing_or_damaged_tensor_file_is_named(tmp_path: Path, data: bytes | None) -> None:
    file = tmp_path / "x.safetensors"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(CorruptStoreError, match=r"x\.safetensors cannot be read"):
        read_tensors(file)
