"""Who takes part in an extraction: teachers and student inputs, each as the store knows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from avkd.errors import InvalidValueError
from avkd.pipeline.evaluation.class_truth import read_class_names
from avkd.pipeline.extraction.choices import (
    choose_frames,
    choose_pictures,
    choose_vectors,
    choose_waveform,
)
from avkd.pipeline.extraction.pictures import AnyPictures, StoredClassMaps
from avkd.pipeline.extraction.producers import (
    adopt_stored,
    describe_frames,
    describe_teacher,
    describe_waveform,
    stored_sparse_top_k,
)
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.extraction.task import TeacherInput
from avkd.pipeline.extraction.trained import (
    TrainedRun,
    describe_trained,
    is_trained,
    order_by_inputs,
    read_run,
)
from avkd.pipeline.extraction.vectors import describe_vector, vector_size
from avkd.pipeline.extraction.views import teacher_input
from avkd.stages.teachers.audio_declaration import AnyDeclaration
from avkd.stages.teachers.registry import declare_teacher, settle_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, FrameFormat, WaveformFormat
from avkd.storage.schema import ProducerSpec, Recording
from avkd.storage.store import Store

Producers = Mapping[str, ProducerSpec]


@dataclass(frozen=True, kw_only=True)
class Roster:
    """All that fill rows in one extraction."""

    teachers: tuple[TeacherRequest, ...] = ()
    """That look or listen; resolved."""
    shown: Mapping[str, TeacherInput] = field(default_factory=dict)
    """By name what each of them is shown."""
    waveform: WaveformFormat | None = None
    frames: FrameFormat | None = None
    pictures: tuple[AnyPictures, ...] = ()
    """Of streams, as student inputs and as true class maps."""
    vectors: tuple[str, ...] = ()
    trained: tuple[TrainedRun, ...] = ()
    """Each after those it looks at."""
    producers: tuple[ProducerSpec, ...] = ()
    """All of these, in that order."""


def settle_roster(
    request: ExtractRequest,
    store: Store | None,
    stored: Producers,
    policy: ClipPolicy | None,
    recordings: Sequence[Recording],
) -> Roster:
    """Settle who takes part, and describe each.

    Args:
        request: of the extraction.
        store: None where there is none yet.
        stored: what the store holds.
        policy: None where the recordings have no files.
        recordings: of the corpus.

    Raises:
        InvalidValueError: the request and the store differ, or a teacher lacks what it looks at.
    """
    runs = [read_run(each) for each in request.teachers if is_trained(each)]
    names = {run.name for run in runs}
    of_pictures = [each for each in request.teachers if each.name not in names]
    vectors = choose_vectors(request, stored)
    specs = [
        describe_vector(name, vector_size(name, recordings, stored.get(name))) for name in vectors
    ]
    teachers: tuple[TeacherRequest, ...] = ()
    declarations: tuple[AnyDeclaration, ...] = ()
    waveform = frames = None
    pictures: tuple[AnyPictures, ...] = ()
    if policy is None:
        _refuse_teachers(of_pictures, request.corpus)
    else:
        teachers = tuple(_settle(each, stored) for each in of_pictures)
        _refuse_unseen_streams(teachers, recordings, request.corpus)
        waveform = choose_waveform(request, store, stored)
        frames = choose_frames(request, store, stored)
        maps = [_name_classes(each, recordings, request.corpus) for each in request.class_maps]
        pictures = (*choose_pictures(request, store, stored), *maps)
        _refuse_unseen_pictures(pictures, recordings, request, stored)
        declarations = tuple(map(declare_teacher, teachers))
        specs += [_describe(each, policy, request.sparse_top_k, stored) for each in declarations]
        specs += [] if waveform is None else [describe_waveform(waveform, policy)]
        specs += [] if frames is None else [describe_frames(frames, policy)]
        specs += [each.describe(policy) for each in pictures]
    trained = order_by_inputs(runs)
    specs += _describe_trained(trained, request.sparse_top_k, stored, specs)
    return Roster(
        teachers=teachers,
        shown={each.name: teacher_input(each) for each in declarations},
        waveform=waveform,
        frames=frames,
        pictures=pictures,
        vectors=vectors,
        trained=trained,
        producers=tuple(specs),
    )


def _refuse_teachers(teachers: Sequence[TeacherRequest], corpus: str) -> None:
    if teachers:
        raise InvalidValueError(
            f"teacher {teachers[0].name!r} looks at pictures, but the recordings of {corpus} have "
            "no files; name the folder of a trained one, or leave it out"
        )


def _refuse_unseen_streams(
    teachers: Sequence[TeacherRequest], recordings: Sequence[Recording], corpus: str
) -> None:
    """A stream that some recordings lack makes failed rows; one that all lack is a mistake."""
    for teacher in teachers:
        if teacher.stream and not any(teacher.stream in each.streams for each in recordings):
            raise InvalidValueError(
                f"teacher {teacher.name!r} looks at the stream {teacher.stream!r}, which no "
                f"recording of {corpus} has; name the files in a column {teacher.stream!r}"
            )


def _refuse_unseen_pictures(
    pictures: Sequence[AnyPictures],
    recordings: Sequence[Recording],
    request: ExtractRequest,
    stored: Producers,
) -> None:
    """As for teachers; what a store has goes on, whatever more recordings lack."""
    for each in pictures:
        is_new = each.name not in stored
        if is_new and not any(each.stream in one.streams for one in recordings):
            raise InvalidValueError(
                f"{each.name!r} are pictures of the stream {each.stream!r}, which no recording of "
                f"{request.corpus} has; name the files in a column {each.stream!r}"
            )


def _name_classes(
    maps: StoredClassMaps, recordings: Sequence[Recording], corpus: str
) -> StoredClassMaps:
    shown = [each for each in recordings if maps.stream in each.streams]
    if not shown:
        return maps
    return replace(maps, class_names=read_class_names(corpus, shown))


def _settle(teacher: TeacherRequest, stored: Producers) -> TeacherRequest:
    is_known = teacher.name in stored
    return settle_teacher(adopt_stored(teacher, stored[teacher.name]) if is_known else teacher)


def _describe(
    declared: AnyDeclaration, policy: ClipPolicy, sparse_top_k: int | None, stored: Producers
) -> ProducerSpec:
    top_k = _choose_top_k(declared.name, sparse_top_k, stored)
    return describe_teacher(declared, policy, sparse_top_k=top_k)


def _describe_trained(
    runs: Sequence[TrainedRun],
    sparse_top_k: int | None,
    stored: Producers,
    others: Sequence[ProducerSpec],
) -> list[ProducerSpec]:
    """Describe each run on what is stored and what will be before it."""
    known = {**stored, **{spec.name: spec for spec in others}}
    for run in runs:
        top_k = _choose_top_k(run.name, sparse_top_k, stored)
        known[run.name] = describe_trained(run, known, sparse_top_k=top_k)
    return [known[run.name] for run in runs]


def _choose_top_k(name: str, asked: int | None, stored: Producers) -> int:
    if asked is None and name in stored:
        return stored_sparse_top_k(stored[name])
    return asked or 0
