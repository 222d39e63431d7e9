"""Teachers whose stored boxes teach nothing, because they found none that counts."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.pipeline.training.examples import UNSEEN, Examples
from avkd.pipeline.training.learning_set import LearningSet, boxes_output


def require_boxes(learning: LearningSet, examples: Examples) -> None:
    """Refuse to learn from boxes where too few teachers found one of a score that counts.

    Raises:
        InvalidValueError: Fewer did than a label asks for, so that there is nothing to learn from.
    """
    teachers, least = learning.needs.boxes_of, learning.needs.min_teachers
    if not teachers or not len(examples):
        return
    silent = find_silent(learning, examples)
    if len(teachers) - len(silent) < least:
        agree = f" and {least} must agree" if least > 1 else ""
        raise InvalidValueError(
            f"there is nothing to learn from: {_name(silent)} found no box"
            f"{_of_score(learning)} in {len(examples)} clips{_of_split(learning)}{agree}; "
            f"{_lower_the_score(learning)}learn from other detectors"
        )


def note_silent(learning: LearningSet, examples: Examples) -> Iterator[str]:
    """What a user should know of teachers that looked and found nothing."""
    for teacher in find_silent(learning, examples):
        num_seen = len(_seen_rows(examples, teacher))
        if num_seen:
            yield (
                f"teacher {teacher!r} found no box{_of_score(learning)} in {num_seen} clips"
                f"{_of_split(learning)}, so that its boxes teach nothing; "
                f"{_lower_the_score(learning)}name the other teachers with --teacher"
            )


def find_silent(learning: LearningSet, examples: Examples) -> tuple[str, ...]:
    """The teachers of boxes without a box that counts in any of these clips.

    Shards are read until one has such a box, so that this costs little where teachers speak.
    """
    return tuple(
        teacher for teacher in learning.needs.boxes_of if not _speaks(learning, examples, teacher)
    )


def _speaks(learning: LearningSet, examples: Examples, teacher: str) -> bool:
    store, rows = learning.store, _seen_rows(examples, teacher)
    output = boxes_output(store.producers()[teacher])
    shards = rows // store.rows_per_shard
    for shard in np.unique(shards):
        wanted = rows[shards == shard]
        table = store.read_rows(teacher, output, int(wanted.min()), int(wanted.max()) + 1)
        counts = table["score"].to_numpy() >= np.float32(learning.needs.min_box_score)
        if np.isin(table["row"].to_numpy()[counts], wanted).any():
            return True
    return False


def _seen_rows(examples: Examples, teacher: str) -> npt.NDArray[np.int64]:
    rows = examples.rows[teacher]
    seen: npt.NDArray[np.int64] = rows[rows != UNSEEN]
    return seen


def _name(teachers: tuple[str, ...]) -> str:
    if len(teachers) == 1:
        return f"teacher {teachers[0]!r}"
    return f"teachers {', '.join(teachers)}"


def _of_score(learning: LearningSet) -> str:
    least = learning.needs.min_box_score
    return f" with a score of {least:g} or more" if least else ""


def _of_split(learning: LearningSet) -> str:
    return f" of split {learning.data.split!r}" if learning.data.split else ""


def _lower_the_score(learning: LearningSet) -> str:
    return "lower method.options.min_score, or " if learning.needs.min_box_score else ""
