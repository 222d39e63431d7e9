from pathlib import Path
from typing import Any

import pytest
import torch

from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe, recipe_variants
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.train import train_student
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.pipeline.training.students import build_student, load_clip_student
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.stages.methods.mutual_pair import MutualPair

VECTORS = (
    "encoder.name=vectors",
    'encoder.options={"streams": ["alpha"], "hidden_size": 4, "input_noise": 0.5, "dropout": 0.2}',
)
SHORT = ("schedule.num_epochs=3", "schedule.warmup_updates=2", "data.batch_size=5")


def learning_shape(*stored: str) -> LearningShape:
    target = TargetShape(num_steps=0, num_classes=3)
    return LearningShape(
        inputs={
            "waveform": InputShape(shape=(1, 110_250), sample_rate=22_050),
            "efficientnet_lite0": InputShape(shape=(5, 1280)),
        },
        targets=dict.fromkeys(stored, target),
        class_names=("x", "y", "z"),
    )


def needs_of(recipe: Recipe, *stored: str) -> Any:
    method, student = build_student(recipe, learning_shape(*stored))
    return method.needs(student)


def test_the_variants_are_the_networks_of_the_comparison() -> None:
    assert recipe_variants("mutual") == ("default", "audio_only", "teacher", "one_way", "tiny")
    both = ("waveform", "efficientnet_lite0")
    assert needs_of(get_recipe("mutual")).inputs == both
    assert needs_of(get_recipe("mutual", "teacher")).inputs == both
    assert needs_of(get_recipe("mutual", "audio_only")).inputs == ("waveform",)
    one_way = needs_of(get_recipe("mutual", "one_way"), "av_teacher", "audio_teacher")
    assert one_way.inputs == ("waveform",)
    assert set(one_way.logits_of) == {"av_teacher", "audio_teacher"}


@pytest.mark.parametrize("variant", ["audio_only", "teacher", "one_way"])
def test_all_variants_but_tiny_share_networks_data_and_schedule(variant: str) -> None:
    default, other = get_recipe("mutual"), get_recipe("mutual", variant)
    for field in ("encoder", "data", "optimiser", "schedule", "precision", "seed", "seeding"):
        assert getattr(default, field) == getattr(other, field)


def test_the_audio_only_student_begins_with_the_weights_of_the_mutual_one() -> None:
    stored = ("av_teacher", "audio_teacher")
    variants = ("default", "audio_only", "one_way")
    students = [
        build_student(get_recipe("mutual", variant), learning_shape(*stored))[1]
        for variant in variants
    ]
    mutual, alone, taught = (
        getattr(each, "student_network", each).state_dict() for each in students
    )
    for name, weight in alone.items():
        assert torch.equal(weight, mutual[name])
        assert torch.equal(weight, taught[name])


def test_a_teacher_begins_alike_beside_a_student_and_alone_but_never_like_the_student() -> None:
    pair, alone = (
        build_student(get_recipe("mutual", variant), learning_shape())[1]
        for variant in ("default", "teacher")
    )
    assert isinstance(pair, MutualPair)
    assert isinstance(alone, MutualPair)
    expected = pair.teacher.state_dict()
    assert all(torch.equal(each, expected[n]) for n, each in alone.teacher.state_dict().items())
    branches = zip(
        pair.student.encoder.parameters(), pair.teacher.encoder.parameters(), strict=False
    )
    assert not all(torch.equal(one, other) for one, other in branches)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("points")
    rows = "".join(
        f"p{i},train,{'up' if i % 3 else 'down;far'},{i % 3 - i / 20},{i % 3}\n" for i in range(24)
    )
    corpus, url = folder / "points.csv", str(folder / "store")
    corpus.write_text(f"recording_id,split,labels,alpha,beta\n{rows}")
    extract_teacher(ExtractRequest(corpus=str(corpus), store=url, vectors=("alpha", "beta")))
    return url


def train(store: str, run: Path, variant: str, *overrides: str) -> dict[str, torch.Tensor]:
    recipe = with_overrides(get_recipe("mutual", variant), (*VECTORS, *SHORT, *overrides))
    train_student(store, str(run), recipe, device="cpu")
    return load_clip_student(run).student.state_dict()


def test_a_run_with_all_transfer_off_leaves_the_student_of_the_audio_only_run(
    store: str, tmp_path: Path
) -> None:
    """Bit for bit: same first weights, batches and random numbers, and no common clipping."""
    off = ("method.options.single_modal=off", "method.options.cross_modal=off")
    visual = "method.options.visual=beta"
    alone = train(store, tmp_path / "alone", "audio_only")
    together = train(store, tmp_path / "together", "default", visual, *off)
    mutual = train(store, tmp_path / "mutual", "default", visual)
    assert alone.keys() == together.keys() == mutual.keys()
    assert all(torch.equal(alone[name], together[name]) for name in alone)
    assert not any(torch.equal(alone[name], mutual[name]) for name in alone)


def test_every_part_of_the_loss_is_logged(store: str, tmp_path: Path) -> None:
    train(store, tmp_path / "run", "default", "method.options.visual=beta")
    (first, *_) = read_metrics(RunDir(path=tmp_path / "run").metrics_file)
    assert set(first["parts"]) == {
        *(f"binary_cross_entropy/{who}" for who in ("student", "fused", "audio", "visual")),
        *(f"kl/{kind}_to_{who}" for kind in ("single", "cross") for who in ("student", "teacher")),
    }
    assert first["loss"] == pytest.approx(sum(first["parts"].values()), rel=1e-5)
