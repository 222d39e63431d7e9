"""What a student learns from: which targets and which sound of a store, and how long its clips are.

Nothing here knows a teacher's model: a student's process never imports one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.cores import count_cores
from avkd.pipeline.extraction.policy import read_policy
from avkd.pipeline.recipe import DataConfig
from avkd.pipeline.training.examples import Examples, find_examples
from avkd.pipeline.training.labels import choose_classes, encode_labels, require_rows
from avkd.pipeline.training.loading import BatchShape
from avkd.pipeline.training.overlap import refuse_overlap
from avkd.pipeline.training.reading import RowReader, SoundReader, StoredSound, TargetReader
from avkd.pipeline.training.stored_boxes import find_boxes, require_fractions
from avkd.pipeline.training.targets import EMBEDDING, LOGITS, describe_target, find_output
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.batch import WAVEFORM, LearningShape, Needs, TargetShape
from avkd.stages.types import WaveformFormat
from avkd.storage.digest import RowSum, fingerprint_digest
from avkd.storage.schema import ProducerSpec
from avkd.storage.store import Store

RECORDINGS = "recordings"
"""The input_name that decodes sound while training, even where some is stored."""


@dataclass(frozen=True, kw_only=True)
class LearningSet:
    """Targets and sound of a store."""

    store: Store
    shape: LearningShape
    """What there is to learn from and to look at."""
    input_name: str
    """The stored sound, or ``recordings``."""
    sample_rate: int
    data: DataConfig
    num_channels: int = 1
    """Of sound that is decoded while training: 1 keeps the first."""
    needs: Needs = field(default_factory=Needs)
    """What of it the method reads; known once the student is built."""

    @property
    def targets(self) -> Mapping[str, TargetShape]:
        """By teacher."""
        return self.shape.targets

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers that are learned from."""
        needs = self.needs
        mapped = (teacher for teacher, _ in needs.maps_of)
        named = (*needs.logits_of, *needs.embeddings_of, *needs.boxes_of, *mapped)
        named += needs.class_maps_of
        return tuple(dict.fromkeys(named))

    @property
    def hears(self) -> bool:
        """Whether sound is read."""
        return WAVEFORM in self.needs.inputs

    @property
    def frames_per_step(self) -> Mapping[str, int]:
        """By student input."""
        return {name: shape.frames_per_step for name, shape in self.shape.inputs.items()}

    @property
    def producers(self) -> tuple[str, ...]:
        """Everything that is read of a clip."""
        names = dict.fromkeys((*self.teachers, *self._inputs))
        return tuple(name for name in names if name != RECORDINGS)

    @property
    def optional(self) -> tuple[str, ...]:
        """The teachers of boxes or maps that a clip may lack, if one of boxes has seen it."""
        needs = self.needs
        if not needs.any_teacher:
            return ()
        mapped = (teacher for teacher, _ in needs.maps_of)
        always = {*needs.logits_of, *needs.embeddings_of, *self._inputs}
        named = dict.fromkeys((*needs.boxes_of, *mapped))
        return tuple(name for name in named if name not in always)

    @property
    def required(self) -> tuple[str, ...]:
        """Everything that a clip must have."""
        return tuple(name for name in self.producers if name not in self.optional)

    @property
    def any_of(self) -> tuple[str, ...]:
        """The teachers of boxes of which one at least must have seen a clip; none: see required."""
        return self.needs.boxes_of if self.needs.any_teacher else ()

    @property
    def _inputs(self) -> tuple[str, ...]:
        """The producers of what the student is given."""
        return tuple(self.input_name if n == WAVEFORM else n for n in self.needs.inputs)

    def origin(self) -> dict[str, object]:
        """What must not change while a run goes on, as plain values."""
        specs = self.store.producers()
        total = RowSum()
        for name in self.producers:
            for commit in self.store.commits(name):
                for rows in commit.content.values():
                    total += rows
        return {
            "store": self.store.url,
            "content_digest": str(total),
            "teachers": {
                name: fingerprint_digest(specs[name].fingerprint)
                for name in self.producers
                if specs[name].kind == "teacher"
            },
            "sound": self.input_name if self.hears else "none",
        }


def choose_learning_set(
    store: Store, data: DataConfig, teachers: Sequence[str], sample_rate: int | None
) -> LearningSet:
    """Settle teachers (all that stored a target, unless named), sound and labels.

    ``sample_rate`` is the student's, who then hears one channel; None takes those of the stored
    sound.

    Raises:
        UnknownNameError: The store has no teacher of that name.
        InvalidValueError: There is nothing to learn from, or the stored sound has another rate.
        CorpusError: Labels are missing or wrong, or splits overlap.
    """
    specs = store.producers()
    known = {name: spec for name, spec in specs.items() if spec.kind == "teacher"}
    for name in teachers:
        if name not in known:
            raise UnknownNameError(f"teacher of {store.url}", name, known)
    shapes = {name: describe_target(store, known[name]) for name in teachers or known}
    targets = {name: shape for name, shape in shapes.items() if shape is not None}
    if not targets and data.label_column is None:
        raise InvalidValueError(
            f"{store.url} has no teacher with logits, embeddings or boxes to learn from; "
            "extract one with avkd extract-teacher"
        )
    inputs = describe_inputs(store)
    rate = sample_rate or (inputs[WAVEFORM].sample_rate if WAVEFORM in inputs else 0)
    refuse_overlap(store, data.split, data.group_column)
    return LearningSet(
        store=store,
        shape=LearningShape(targets=targets, inputs=inputs, class_names=_read_classes(store, data)),
        input_name=_choose_sound(store, data.input_name, rate) if rate else RECORDINGS,
        sample_rate=rate,
        num_channels=count_heard_channels(inputs, sample_rate),
        data=data,
    )


def count_heard_channels(inputs: Mapping[str, InputShape], sample_rate: int | None) -> int:
    """The channels of decoded sound: those of the stored one, or 1 for a student with a rate."""
    return inputs[WAVEFORM].shape[0] if sample_rate is None and WAVEFORM in inputs else 1


def describe_inputs(store: Store) -> dict[str, InputShape]:
    """All that a student can look at: the inputs, and the embeddings of teachers."""
    shapes, policy = {}, read_policy(store)
    for name, spec in store.producers().items():
        output = spec.outputs[0] if spec.kind == "input" else find_output(spec, EMBEDDING)
        if output is not None and output.layout == "dense":
            sample_rate = _whole(output.attributes.get("sample_rate", 0))
            shapes[name] = InputShape(
                shape=output.shape,
                sample_rate=sample_rate,
                frames_per_step=_whole(output.attributes.get("frames_per_step", 1)),
                step_seconds=policy.step_seconds if policy and sample_rate else 0.0,
            )
    return shapes


def find_flat(store: Store) -> frozenset[str]:
    """The producers whose rows have no step axis."""
    outputs = {name: spec.outputs[0] for name, spec in store.producers().items()}
    return frozenset(name for name, o in outputs.items() if o.axes and o.axes[0] != "step")


def full_shape(learning: LearningSet, data: DataConfig) -> BatchShape:
    """The length of the clips that a student hears.

    Raises:
        InvalidValueError: The recipe's length does not fit the store's clips or steps.
    """
    policy = read_policy(learning.store)
    if policy is None:
        return BatchShape(num_steps=1, num_samples=0)
    seconds = data.clip_seconds or policy.clip_seconds
    num_steps = round(seconds / policy.step_seconds)
    if seconds < policy.clip_seconds or abs(num_steps * policy.step_seconds - seconds) > 1e-6:
        raise InvalidValueError(
            f"data.clip_seconds {seconds:g} must be a multiple of the store's step of "
            f"{policy.step_seconds:g} s and not below its clips of {policy.clip_seconds:g} s; "
            "none takes the store's"
        )
    if data.num_steps not in (None, num_steps):
        raise InvalidValueError(
            f"data.num_steps {data.num_steps} but {seconds:g} s have {num_steps} of the store's "
            f"steps of {policy.step_seconds:g} s; extract with another step, or set it to none"
        )
    return BatchShape(num_steps=num_steps, num_samples=round(seconds * learning.sample_rate))


def find_learning_examples(learning: LearningSet) -> Examples:
    """The clips that have everything; those without a label too, where the method takes them.

    Raises:
        InvalidValueError: There are none, or none that has a label where labels are read.
    """
    data, needs = learning.data, learning.needs
    column = data.label_column if needs.labels != "none" else None
    examples = find_examples(
        learning.store,
        learning.required,
        data.split,
        column,
        any_of=learning.any_of,
        optional=learning.optional,
        keep_unlabelled=needs.takes_unlabelled,
        where=data.where,
    )
    if not len(examples) or (column and not any(examples.labels)):
        of_split = f" of split {data.split!r}" if data.split else ""
        of_split += "".join(f", {name} {' or '.join(each)}" for name, each in data.where.items())
        with_label = " with a label" if column else ""
        raise InvalidValueError(
            f"{learning.store.url} has no clip{of_split}{with_label} that is ok for "
            f"{_name_required(learning)}; avkd inspect tells the counts"
        )
    return examples


def count_left_out(learning: LearningSet, examples: Examples) -> int:
    """How many rows of the split lack something that the method needs."""
    data = learning.data
    return len(find_examples(learning.store, (), data.split, where=data.where)) - len(examples)


def build_reader(learning: LearningSet, examples: Examples) -> RowReader:
    """A reader of what the method needs."""
    needs, specs = learning.needs, learning.store.producers()
    targets = TargetReader(
        store=learning.store,
        examples=examples,
        logits_of=needs.logits_of,
        embeddings_of=needs.embeddings_of,
        boxes_of={name: boxes_output(specs[name]) for name in needs.boxes_of},
        maps_of=needs.maps_of,
        class_maps_of=needs.class_maps_of,
        min_box_score=needs.min_box_score,
        inputs={
            name: EMBEDDING if specs[name].kind == "teacher" else specs[name].outputs[0].name
            for name in needs.inputs
            if name != WAVEFORM
        },
    )
    return RowReader(targets, _build_sound(learning, examples) if learning.hears else None)


def read_labels(learning: LearningSet, examples: Examples) -> npt.NDArray[Any] | None:
    """The labels of examples as the method wants them; None where it wants none.

    Raises:
        CorpusError: A label is outside of the classes.
    """
    if learning.needs.labels == "none":
        return None
    return encode_labels(learning.needs.labels, examples.labels, learning.shape.class_names)


def has_dense_logits(spec: ProducerSpec) -> bool:
    """Whether a teacher stored all of its logits."""
    logits = find_output(spec, LOGITS)
    return logits is not None and logits.layout == "dense"


def _build_sound(learning: LearningSet, examples: Examples) -> SoundReader:
    if learning.input_name != RECORDINGS:
        return StoredSound(store=learning.store, examples=examples, input_name=learning.input_name)
    from avkd.pipeline.training.recorded_sound import RecordedSound

    policy = read_policy(learning.store)
    assert policy is not None  # a store without one holds no recordings to hear
    num_channels = learning.num_channels
    return RecordedSound(
        store=learning.store,
        examples=examples,
        policy=policy,
        waveform=WaveformFormat(
            sample_rate=learning.sample_rate,
            num_channels=num_channels,
            channels="first" if num_channels == 1 else "all",
        ),
        num_workers=count_cores(),
    )


def _choose_sound(store: Store, input_name: str, sample_rate: int) -> str:
    spec = store.producers().get(input_name)
    if input_name == RECORDINGS or spec is None:
        return RECORDINGS
    if spec.kind != "input":
        raise InvalidValueError(f"data.input_name {input_name!r} is a teacher, not a student input")
    stored = spec.outputs[0].attributes.get("sample_rate")
    if stored != sample_rate:
        raise InvalidValueError(
            f"the store's {input_name} is at {stored} Hz but the encoder hears {sample_rate} Hz; "
            f"set data.input_name={RECORDINGS} to decode the recordings, or cache it at that rate"
        )
    return input_name


def _read_classes(store: Store, data: DataConfig) -> tuple[str, ...]:
    if data.label_column is None:
        return ()
    rows = find_examples(store, (), data.split, data.label_column, where=data.where)
    classes = choose_classes(rows.labels, data.classes, data.label_column)
    require_rows(rows.labels, data.min_rows_per_class, data.label_column)
    return classes


def boxes_output(spec: ProducerSpec) -> str:
    """The name of a teacher's boxes.

    Raises:
        InvalidValueError: It stored none, or in another form than is learned from.
    """
    output = find_boxes(spec)
    if output is None:
        raise InvalidValueError(f"teacher {spec.name!r} stored no boxes; extract a detector")
    require_fractions(spec.name, output)
    return output.name


def _name_required(learning: LearningSet) -> str:
    named = f"all of {', '.join(learning.required)}" if learning.required else ""
    one_of = f"one of {', '.join(learning.any_of)}" if learning.any_of else ""
    return " and ".join(each for each in (named, one_of) if each)


def _whole(attribute: object) -> int:
    return int(str(attribute))
