"""Rows that some teachers have not seen, from a store to a student."""

from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.pipeline.recipe import DataConfig, MethodConfig, Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.train import TrainEvent, TrainReport, train_student
from avkd.pipeline.training.examples import UNSEEN, is_held_out
from avkd.pipeline.training.learning_set import (
    LearningSet,
    build_reader,
    choose_learning_set,
    find_flat,
    find_learning_examples,
    full_shape,
)
from avkd.pipeline.training.loading import BatchOrder, Loader
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.pipeline.training.tensor_files import read_tensors
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs
from avkd.stages.methods.clip_student import ClipStudent, Prediction
from avkd.stages.methods.registry import METHODS

TEACHERS = ("rgb", "thermal", "depth")
UNSEEN_BY = {"rgb": {3, 6}, "thermal": {3, 4, 5, 6, 7, 16}, "depth": {3, 9}}
"""Nobody has seen row 3; only depth row 6, a whole recording lacks thermal."""
MAPS = tuple((teacher, name) for teacher in TEACHERS for name in ("features_0", "attention_0"))
NEEDS = Needs(boxes_of=TEACHERS, maps_of=MAPS, min_box_score=0.3, any_teacher=True)
LACKING = (
    "6 of 19 clips of split 'train' lack a teacher: rgb 1, thermal 5, depth 1; "
    "they are learned from with the teachers that they have"
)
LEFT_OUT = (
    "1 of 20 clips of split 'train' left out: 1 without any of the teachers rgb, thermal, depth; "
    "avkd inspect tells the reasons"
)


@pytest.fixture(scope="module")
def night(street_of):
    """Three teachers, of which some were blind or away."""
    return street_of(UNSEEN_BY)


@pytest.fixture(scope="module")
def day(street_of):
    """Three teachers that have seen everything."""
    return street_of(dict.fromkeys(TEACHERS, ()))


def open_set(street, needs: Needs = NEEDS) -> LearningSet:
    data = DataConfig(split="train")
    return replace(choose_learning_set(street.store, data, (), None), needs=needs)


def open_loader(street, needs: Needs = NEEDS, batch_size: int = 4) -> Loader:
    learning = open_set(street, needs)
    examples = find_learning_examples(learning)
    return Loader(
        examples=examples,
        reader=build_reader(learning, examples),
        flat=find_flat(street.store),
        shape=full_shape(learning, learning.data),
        order=BatchOrder(batch_size=batch_size, block_rows=3, buffer_rows=7, seed=0),
    )


def read_epoch(loader: Loader, epoch: int = 0, first_batch: int = 0) -> list[Batch]:
    with closing(loader.batches(epoch, first_batch)) as batches:
        return [batch for batch in batches if batch is not None]


def row_numbers(street, batch: Batch) -> list[int]:
    numbers = {c.clip_id: c.row for s in street.store.shards() for c in street.store.read_clips(s)}
    return [numbers[name] for name in batch.clip_ids]


def tensors_of(batch: Batch) -> list[Tensor]:
    """All of them; sparse targets there are none."""
    found: list[Tensor] = []
    for field in fields(batch):
        value = getattr(batch, field.name)
        for each in value.values() if isinstance(value, dict) else (value,):
            if isinstance(each, BoxTargets):
                found += [each.boxes, each.scores, each.classes, each.row, each.step]
            elif isinstance(each, Tensor):
                found.append(each)
    return found


def assert_same(ones: list[Batch], others: list[Batch]) -> None:
    assert [one.clip_ids for one in ones] == [other.clip_ids for other in others]
    for one, other in zip(ones, others, strict=True):
        mine, theirs = tensors_of(one), tensors_of(other)
        assert len(mine) == len(theirs) > 15
        for left, right in zip(mine, theirs, strict=True):
            assert left.dtype == right.dtype
            assert torch.equal(left, right)


def test_a_row_stays_where_one_teacher_has_seen_it(night) -> None:
    examples = find_learning_examples(open_set(night))
    assert examples.clip_rows.tolist() == [row for row in range(20) if row != 3]
    for teacher, lacking in UNSEEN_BY.items():
        assert set(examples.clip_rows[examples.rows[teacher] == UNSEEN]) == lacking & set(
            examples.clip_rows
        )
    strict = find_learning_examples(open_set(night, replace(NEEDS, any_teacher=False)))
    assert not set(strict.clip_rows) & set().union(*UNSEEN_BY.values())
    assert len(strict) == 20 - 7


def test_what_is_not_boxes_or_maps_must_be_there_as_ever(street_of) -> None:
    two = street_of({"rgb": {1}, "thermal": {0, 2}})
    needs = Needs(boxes_of=("rgb",), maps_of=(("thermal", "features_0"),), any_teacher=True)
    assert {0, 2} < set(find_learning_examples(open_set(two, needs)).clip_rows), "maps alone"
    assert 1 not in find_learning_examples(open_set(two, needs)).clip_rows, "no boxes"
    learning = open_set(two, Needs(boxes_of=("rgb", "thermal"), any_teacher=True))
    assert (learning.optional, learning.required) == (("rgb", "thermal"), ("waveform",))
    embedded = replace(learning, needs=replace(learning.needs, embeddings_of=("thermal",)))
    assert (embedded.optional, embedded.required) == (("rgb",), ("thermal", "waveform"))
    assert find_learning_examples(embedded).clip_rows.tolist() == [1, *range(3, 20)]


def test_boxes_and_maps_of_an_unseen_row_are_none_and_zeros(night) -> None:
    batches = read_epoch(open_loader(night))
    assert sum(len(batch.clip_ids) for batch in batches) == 19
    for batch in batches:
        rows = row_numbers(night, batch)
        assert batch.seen.keys() == set(TEACHERS)
        for teacher in TEACHERS:
            seen = batch.seen[teacher]
            assert seen.tolist() == [row not in UNSEEN_BY[teacher] for row in rows]
            boxes = batch.boxes[teacher]
            vehicles = boxes.keep(boxes.classes == 1)
            found = list(zip(vehicles.row.tolist(), vehicles.step.tolist(), strict=True))
            there = ~np.isnan(night.places[rows]) & seen.numpy()[:, None]
            assert found == [tuple(place) for place in np.argwhere(there)]
            for output, size in (("features_0", (3, 5, 7)), ("attention_0", (1, 2, 3))):
                maps = batch.maps[teacher, output]
                assert (maps.shape, maps.dtype) == ((len(rows), 4, *size), torch.float32)
                assert not maps[~seen].any()
            assert batch.maps[teacher, "features_0"][seen].flatten(1).any(dim=1).all()


def test_a_batch_of_which_a_teacher_has_seen_nothing_is_whole(night) -> None:
    for batch in read_epoch(open_loader(night, batch_size=1)):
        for teacher in TEACHERS:
            if not batch.seen[teacher].all():
                assert len(batch.boxes[teacher]) == 0
                assert batch.maps[teacher, "features_0"].shape == (1, 4, 3, 5, 7)
                batch.boxes[teacher].keep(batch.boxes[teacher].scores > 0)


def test_an_epoch_with_unseen_rows_is_entered_anywhere(night) -> None:
    whole = read_epoch(open_loader(night), epoch=2)
    loader = open_loader(night)
    read_epoch(loader, epoch=0)  # what is held in memory must not matter
    for first in range(len(whole)):
        assert_same(read_epoch(loader, epoch=2, first_batch=first), whole[first:])


def test_where_every_row_is_seen_batches_are_the_same_with_any_teacher_and_with_all(day) -> None:
    all_needed = read_epoch(open_loader(day, replace(NEEDS, any_teacher=False)))
    assert_same(read_epoch(open_loader(day)), all_needed)
    assert all(seen.all() for batch in all_needed for seen in batch.seen.values())
    assert all(batch.seen.keys() == set(TEACHERS) for batch in all_needed)


@dataclass(frozen=True, kw_only=True)
class Census:
    """How many boxes each teacher has seen in a clip, and how bright its map is."""

    any_teacher: bool

    def build_student(self, encoder: nn.Module, learning: LearningShape) -> ClipStudent:
        return ClipStudent(encoder, nn.Linear(encoder.embedding_size, 2 * len(TEACHERS)))

    def needs(self, student: nn.Module) -> Needs:
        return replace(NEEDS, inputs=student.streams, any_teacher=self.any_teacher)

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        said: Prediction = student(batch.inputs, batch.num_steps)
        counts = [b.row.bincount(minlength=len(said.logits)) / 4 for b in batch.boxes.values()]
        light = [batch.maps[t, "features_0"].flatten(1).mean(dim=1) for t in batch.boxes]
        seen = torch.stack([batch.seen[t] for t in batch.boxes], dim=1).float().repeat(1, 2)
        error = (said.logits - torch.stack([*counts, *light], dim=1)).square() * seen
        total = error.sum() / seen.sum()
        return LossParts(total=total, parts={"seen": seen.mean()})


def census(any_teacher: bool = True) -> Census:
    return Census(any_teacher=any_teacher)


@pytest.fixture(autouse=True)
def _know_census(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS._builders, "census", census)


def brief(*overrides: str, any_teacher: bool = True) -> Recipe:
    recipe = replace(
        get_recipe("stereosoundnet", "tiny"),
        method=MethodConfig(name="census", options={"any_teacher": any_teacher}),
    )
    short = ("data.batch_size=4", "schedule.num_epochs=2", "data.validation_fraction=0.3")
    return with_overrides(recipe, [*short, *overrides])


def learn(street, run: Path, recipe: Recipe, **options: object) -> TrainReport:
    return train_student(street.store.url, str(run), recipe, device="cpu", **options)


def left_in(run: Path) -> tuple[list[dict[str, object]], dict[str, Tensor]]:
    folder = RunDir(path=run)
    records = read_metrics(folder.metrics_file)
    for record in records:
        record.pop("seconds", None)
    return records, read_tensors(folder.weights_file)


def assert_same_runs(one: Path, other: Path) -> None:
    (records, weights), (expected, whole) = left_in(one), left_in(other)
    assert records == expected
    assert weights.keys() == whole.keys()
    assert all(torch.equal(value, whole[name]) for name, value in weights.items())


def test_a_run_says_how_many_clips_lack_which_teacher(night, tmp_path: Path) -> None:
    report = learn(night, tmp_path, brief())
    assert report.notes == (LEFT_OUT, LACKING)
    assert (report.num_clips + report.num_validation_clips, report.num_left_out) == (19, 1)
    assert report.num_validation_clips > 0
    assert report.validation_loss is not None
    assert (tmp_path / "notes.txt").read_text() == f"{LEFT_OUT}\n{LACKING}\n"
    records, _ = left_in(tmp_path)
    assert any(0 < record["parts"]["seen"] < 1 for record in records if "parts" in record)


def test_with_all_teachers_needed_the_clips_are_left_out_and_told(night, tmp_path: Path) -> None:
    report = learn(night, tmp_path, brief(any_teacher=False))
    assert report.num_left_out == 7
    (told,) = report.notes
    assert "7 of 20 clips" in told
    assert "left out: 2 without rgb, 6 without thermal, 2 without depth;" in told


def test_where_every_row_is_seen_the_weights_are_the_same_to_the_bit(day, tmp_path: Path) -> None:
    one, other = tmp_path / "any", tmp_path / "all"
    assert learn(day, one, brief()).notes == ()
    learn(day, other, brief(any_teacher=False))
    assert_same_runs(one, other)


def test_an_interrupted_run_with_unseen_rows_ends_as_one_that_was_not(
    night, tmp_path: Path
) -> None:
    def fail(event: TrainEvent) -> None:
        if event.update == 4:
            raise ZeroDivisionError

    recipe = brief("schedule.checkpoint_updates=3")
    run, undisturbed = tmp_path / "interrupted", tmp_path / "undisturbed"
    learn(night, undisturbed, recipe)
    with pytest.raises(ZeroDivisionError):
        learn(night, run, recipe, on_progress=fail)
    assert learn(night, run, recipe).first_update == 3
    assert_same_runs(run, undisturbed)


def test_a_teacher_that_never_fires_is_told_with_the_way_out(street_of, tmp_path: Path) -> None:
    quiet = street_of({"rgb": (), "thermal": {0, 1}, "depth": ()}, {"thermal": 0.25})
    report = learn(quiet, tmp_path, brief("data.validation_fraction=0"))
    lacking, silent = report.notes
    assert "2 of 20 clips of split 'train' lack a teacher: thermal 2;" in lacking
    assert silent == (
        "teacher 'thermal' found no box with a score of 0.3 or more in 18 clips of split 'train', "
        "so that its boxes teach nothing; lower method.options.min_score, or name the other "
        "teachers with --teacher"
    )


def test_boxes_in_clips_that_are_held_out_teach_nothing(street_of, tmp_path: Path) -> None:
    held_out = np.array([is_held_out(f"drive{row // 2}", 0.3) for row in range(24)])
    assert 0 < held_out[:8].sum() < 8, "shards are shared"
    quiet = street_of(dict.fromkeys(TEACHERS, ()), {"depth": np.where(held_out, 1.0, 0.25)})
    (told,) = learn(quiet, tmp_path / "held_out", brief()).notes
    num_learned = 20 - held_out[:20].sum()
    assert f"teacher 'depth' found no box with a score of 0.3 or more in {num_learned} cl" in told
    everything = brief("data.validation_fraction=0")
    assert learn(quiet, tmp_path / "everything", everything).notes == ()


def test_a_teacher_that_was_away_all_the_time_is_told_once(street_of, tmp_path: Path) -> None:
    away = street_of({"rgb": (), "thermal": range(24), "depth": ()})
    report = learn(away, tmp_path, brief())
    (told,) = report.notes
    assert "20 of 20 clips of split 'train' lack a teacher: thermal 20;" in told


@pytest.mark.parametrize("any_teacher", [True, False])
def test_where_no_teacher_fires_there_is_nothing_to_learn_from(
    street_of, tmp_path: Path, any_teacher: bool
) -> None:
    silent = street_of(UNSEEN_BY, dict.fromkeys(TEACHERS, 0.25))
    with pytest.raises(InvalidValueError, match="rgb, thermal, depth found no box with a") as told:
        learn(silent, tmp_path / "run", brief(any_teacher=any_teacher))
    assert "nothing to learn from" in str(told.value)
    assert "lower method.options.min_score" in str(told.value)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_boxes_of_other_splits_do_not_count(street_of, tmp_path: Path) -> None:
    blind = street_of(dict.fromkeys(TEACHERS, ()), dict.fromkeys(TEACHERS, 0.25))
    elsewhere = brief("data.split=test", 'method.options={"any_teacher": true}')
    with pytest.raises(InvalidValueError, match="of split 'test'"):
        learn(blind, tmp_path / "run", elsewhere)


def test_where_nobody_has_seen_anything_the_message_says_what_is_asked_for(
    street_of, tmp_path: Path
) -> None:
    dark = street_of(dict.fromkeys(TEACHERS, range(24)))
    with pytest.raises(
        InvalidValueError, match=r"ok for all of waveform.* and one of rgb, thermal, depth; avkd"
    ):
        learn(dark, tmp_path / "run", brief())


def test_one_teacher_whose_boxes_do_not_count_is_refused_too(street_of, tmp_path: Path) -> None:
    silent = street_of({"rgb": ()}, {"rgb": 0.25})
    recipe = with_overrides(
        get_recipe("stereosoundnet", "tiny"),
        ["schedule.num_epochs=1", "method.options.anchors=[1.0, 2.0]"],
    )
    with pytest.raises(InvalidValueError, match="teacher 'rgb' found no box with a score of"):
        learn(silent, tmp_path / "run", recipe)


def test_where_fewer_teachers_fire_than_must_agree_there_is_nothing_to_learn_from(
    street_of, tmp_path: Path
) -> None:
    alone = street_of(dict.fromkeys(TEACHERS, ()), dict.fromkeys(("rgb", "thermal"), 0.25))
    tiny = get_recipe("mm_distillnet", "tiny")
    options = ["schedule.num_epochs=1", 'method.options.distillation="none"']
    with pytest.raises(InvalidValueError, match=r"rgb, thermal found no box .* and 2 must agree"):
        learn(alone, tmp_path / "two", with_overrides(tiny, options))
    one = learn(
        alone, tmp_path / "one", with_overrides(tiny, [*options, "method.options.min_teachers=1"])
    )
    assert len([note for note in one.notes if "found no box" in note]) == 2
