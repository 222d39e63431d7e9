"""What a user should know of the data before a student learns from it, one line each.

They are told as training begins, and kept in the run's folder: nothing here ends a run.
"""

from collections.abc import Iterator
from pathlib import Path

from torch import nn

from avkd.pipeline.microphones import check_microphones
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.pipeline.training.examples import UNSEEN, Examples, find_examples, split_validation
from avkd.pipeline.training.learning_set import RECORDINGS, LearningSet
from avkd.pipeline.training.missing_boxes import note_silent
from avkd.stages.methods.box_student import BoxStudent

NOTES_FILE = "notes.txt"


def find_notes(learning: LearningSet, student: nn.Module, examples: Examples) -> tuple[str, ...]:
    """What is left out of ``examples`` and why, and what is odd about teachers and microphones."""
    microphones = _note_microphones(learning, student) if isinstance(student, BoxStudent) else ()
    train, _ = split_validation(examples, learning.data.validation_fraction)
    return (
        *_note_left_out(learning, examples),
        *_note_unseen(learning, examples),
        *note_silent(learning, train),
        *microphones,
    )


def keep_notes(run: RunDir, notes: tuple[str, ...]) -> None:
    """Write notes into a run's folder; none leave no file.

    Raises:
        StoreUnwritableError: They cannot be written.
    """
    if notes or _file(run).exists():
        write_text(_file(run), "".join(f"{note}\n" for note in notes))


def read_notes(run: RunDir) -> tuple[str, ...]:
    """The notes of a run; none where there is no file."""
    return tuple(_file(run).read_text().splitlines()) if _file(run).exists() else ()


def _file(run: RunDir) -> Path:
    return run.path / NOTES_FILE


def _note_left_out(learning: LearningSet, examples: Examples) -> Iterator[str]:
    data = learning.data

    def count(
        *producers: str, label_column: str | None = None, any_of: tuple[str, ...] = ()
    ) -> int:
        found = find_examples(
            learning.store, producers, data.split, label_column, any_of=any_of, where=data.where
        )
        return len(found)

    num_clips = count()
    if num_clips == len(examples):
        return
    lacking = {name: num_clips - count(name) for name in learning.required}
    if learning.any_of:
        one_of = f"any of the teachers {', '.join(learning.any_of)}"
        lacking[one_of] = num_clips - count(any_of=learning.any_of)
    if learning.needs.labels != "none" and not learning.needs.takes_unlabelled:
        lacking["a label"] = num_clips - count(label_column=data.label_column)
    told = ", ".join(f"{number} without {name}" for name, number in lacking.items() if number)
    yield (
        f"{num_clips - len(examples)} of {num_clips} clips{_of_split(learning)} left out: {told}; "
        "avkd inspect tells the reasons"
    )


def _note_unseen(learning: LearningSet, examples: Examples) -> Iterator[str]:
    """Of clips that are learned from, how many have not all teachers."""
    unseen = {name: examples.rows[name] == UNSEEN for name in learning.optional}
    told = [f"{name} {rows.sum()}" for name, rows in unseen.items() if rows.any()]
    if told:
        num_clips = sum(any(lacks) for lacks in zip(*unseen.values(), strict=True))
        yield (
            f"{num_clips} of {len(examples)} clips{_of_split(learning)} lack a teacher: "
            f"{', '.join(told)}; they are learned from with the teachers that they have"
        )


def _of_split(learning: LearningSet) -> str:
    return f" of split {learning.data.split!r}" if learning.data.split else ""


def _note_microphones(learning: LearningSet, student: BoxStudent) -> Iterator[str]:
    if student.encoder.num_channels == 1:
        yield (
            "one microphone is heard, from which it cannot be told where things are; cache two "
            "with avkd extract-teacher --num-channels 2 and another store"
        )
    elif learning.input_name != RECORDINGS:
        for check in check_microphones(learning.store):
            yield from check.warnings
