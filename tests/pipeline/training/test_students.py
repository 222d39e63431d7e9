import json
from pathlib import Path

import pytest
import torch

from avkd.errors import CorruptStoreError, StoreNotFoundError
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.run_dir import RunDir, open_run
from avkd.pipeline.training.students import (
    build_recipe_encoder,
    build_student,
    load_clip_student,
    load_student,
    read_learning_shape,
    save_student,
)
from avkd.pipeline.training.tensor_files import read_tensors, write_tensors
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.stages.methods.student import Student

TARGETS = {
    "dense": TargetShape(
        num_steps=2, num_classes=6, embedding_size=4, class_names=("a", "b", "c", "d", "e", "f")
    )
}


def save_fresh(folder: Path, recipe: Recipe) -> tuple[RunDir, Student]:
    run = open_run(str(folder), recipe, {})
    _, student = build_student(recipe, LearningShape(targets=TARGETS))
    save_student(run, student, LearningShape(targets=TARGETS))
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
    assert description["targets"]["dense"]["num_classes"] == 6
    assert description["targets"]["dense"]["class_names"][1] == "b"
    assert run.student_file.read_text().count('"b"') == 1


def save_taught(folder: Path, labels: tuple[str, ...]) -> RunDir:
    """A student of the classes of ``seer``, in a store where ``ears`` spoke as well."""
    recipe = get_recipe("mke", "two_moon")
    learning = LearningShape(
        targets={
            "seer": TargetShape(num_steps=0, num_classes=2, class_names=("up", "down")),
            "ears": TargetShape(num_steps=0, num_classes=0, embedding_size=3),
        },
        inputs={
            "alpha": InputShape(shape=(1,)),
            "beta": InputShape(shape=(1,)),
            "frames": InputShape(shape=(4, 8, 8, 3), frames_per_step=2),
        },
        class_names=labels,
    )
    run = open_run(str(folder), recipe, {})
    _, student = build_student(recipe, learning)
    save_student(run, student, learning)
    assert read_learning_shape(run) == learning
    return run


def age(run: RunDir) -> None:
    """Rewrite the description as format 2 had it."""
    description = json.loads(run.student_file.read_text())
    names = {name: shape.pop("class_names") for name, shape in description["targets"].items()}
    for shape in description["inputs"].values():
        del shape["frames_per_step"]
    taught = {name: each for name, each in names.items() if each}
    run.student_file.write_text(
        json.dumps({**description, "format_version": 2, "class_names": taught})
    )


@pytest.mark.parametrize("labels", [(), ("down", "up")])
def test_a_student_that_learned_no_label_has_the_classes_of_its_teacher_in_their_order(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    loaded = load_clip_student(save_taught(tmp_path, labels).path)
    assert loaded.class_names == ("up", "down")
    assert (loaded.label_kind, loaded.taught_by) == ("none", ("seer",))


def test_a_run_folder_of_before_is_read(tmp_path: Path, recipe: Recipe) -> None:
    run = save_taught(tmp_path / "clips", ())
    learning = read_learning_shape(run)
    age(run)
    assert read_learning_shape(run).targets == learning.targets
    assert read_learning_shape(run).inputs["alpha"] == learning.inputs["alpha"]
    loaded = load_clip_student(run.path)
    assert (loaded.class_names, loaded.taught_by) == (("up", "down"), ("seer",))

    of_steps, _ = save_fresh(tmp_path / "steps", recipe)
    age(of_steps)
    assert read_learning_shape(of_steps).targets == TARGETS
    load_student(of_steps.path)


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
