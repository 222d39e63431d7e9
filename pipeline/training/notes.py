"""What a user should know of the data before a student learns from it, one line each.

They are told as training begins, and kept in the run's folder: nothing here ends a run.
"""

from collections.abc import Iterator
from pathlib import Path

from torch import nn

from avkd.pipeline.microphones import check_microphones
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.pipeline.training.examples import Examples, find_examples
from avkd.pipeline.training.learning_set import RECORDINGS, LearningSet
from avkd.stages.methods.grid_student import GridStudent

NOTES_FILE = "notes.txt"


def find_notes(learning: LearningSet, student: nn.Module, examples: Examples) -> tuple[str, ...]:
    """What is left out of ``examples`` and why, and what is odd about the microphones."""
    microphones = _note_microphones(learning, student) if isinstance(student, GridStudent) else ()
    return (*_note_left_out(learning, examples), *microphones)


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

    def count(*producers: str, label_column: str | None = None) -> int:
        found = find_examples(learning.store, producers, data.split, label_column, where=data.where)
        return len(found)

    num_clips = count()
    if num_clips == len(examples):
        return
    lacking = {name: num_clips - count(name) for name in learning.producers}
    if learning.needs.labels != "none" and not learning.needs.takes_unlabelled:
        lacking["a label"] = num_clips - count(label_column=data.label_column)
    told = ", ".join(f"{number} without {name}" for name, number in lacking.items() if number)
    of_split = f" of split {data.split!r}" if data.split else ""
    yield (
        f"{num_clips - len(examples)} of {num_clips} clips{of_split} left out: {told}; "
        "avkd inspect tells the reasons"
    )


def _note_microphones(learning: LearningSet, student: GridStudent) -> Iterator[str]:
    if student.encoder.num_channels == 1:
        yield (
            "one microphone is heard, from which it cannot be told where things are; cache two "
            "with avkd extract-teacher --num-channels 2 and another store"
        )
    elif learning.input_name != RECORDINGS:
        for check in check_microphones(learning.store):
            yield from check.warnings
