"""Teachers and student inputs as the store knows them: outputs with a step axis, fingerprints."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast

from avkd.errors import InvalidValueError
from avkd.stages.teachers.audio_declaration import AnyDeclaration, AudioDeclaration
from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, FrameFormat, Pixels, TeacherOutput, WaveformFormat
from avkd.stages.views import PARAMETERS, ViewSettings
from avkd.storage.schema import OutputSpec, ProducerSpec

WAVEFORM = "waveform"
WAVEFORM_VERSION = 1
FRAMES = "frames"
FRAMES_VERSION = 1
VIEWS = "views"
"""The output with the parameters of augmented views; what a teacher says of these is named
``<output>_views``, so that nobody takes it for what it says of the pictures."""


def describe_teacher(
    declaration: AnyDeclaration, policy: ClipPolicy, *, sparse_top_k: int = 0
) -> ProducerSpec:
    """Give what a teacher that looks or listens fills.

    Per row of an output that is (num_steps, *shape), (num_steps, views, *shape) of views, or *shape
    where one thing a clip is stored.

    Args:
        declaration: of the teacher.
        policy: of the store.
        sparse_top_k: how many of the largest softmax logits are kept; 0 keeps all.

    Raises:
        InvalidValueError: boxes or classes of several pictures, which no average is of, or a step
            or clip of another number of pictures than the network takes.
    """
    _refuse_averages(declaration, policy)
    is_of_clip = "clip" in (declaration.unit, declaration.per)
    num_steps = None if is_of_clip else policy.num_steps
    outputs = [
        describe_output(output, sparse_top_k, num_steps=num_steps) for output in declaration.outputs
    ]
    if isinstance(declaration, TeacherDeclaration):
        _refuse_other_number(declaration, policy)
        if declaration.views is not None:
            outputs = [_of_views(each, declaration.views) for each in outputs]
            outputs.append(_describe_views(declaration.views, policy))
    return ProducerSpec(
        kind="teacher",
        name=declaration.name,
        outputs=tuple(outputs),
        fingerprint={
            **declaration.fingerprint,
            **_describe_choices(declaration, policy),
            "sparse_top_k": sparse_top_k,
        },
    )


def stored_name(declaration: TeacherDeclaration, output: str) -> str:
    """Give the name under which an output of a teacher that looks is stored."""
    return output if declaration.views is None else f"{output}_{VIEWS}"


def describe_waveform(waveform: WaveformFormat, policy: ClipPolicy) -> ProducerSpec:
    """Give the input ``waveform``: per row int16 (channels, samples) of a full clip."""
    num_channels = waveform.num_channels if waveform.channels == "all" else 1
    num_samples = round(policy.clip_seconds * waveform.sample_rate)
    output = OutputSpec(
        name=WAVEFORM,
        shape=(num_channels, num_samples),
        dtype="int16",
        axes=("channel", "sample"),
        attributes={"sample_rate": waveform.sample_rate, "channels": waveform.channels},
    )
    fingerprint = {**asdict(waveform), "extraction_version": WAVEFORM_VERSION}
    return ProducerSpec(kind="input", name=WAVEFORM, outputs=(output,), fingerprint=fingerprint)


def frames_of_size(width: int, height: int) -> FrameFormat:
    """Give the format of cached pictures: scaled to just cover that size, then the centre."""
    return FrameFormat(height=height, width=width, crop_fraction=1.0)


def describe_decoder(pixels: Pixels, policy: ClipPolicy) -> Mapping[str, object]:
    """Give what a fingerprint says of who decodes pictures; nothing where that is PyAV."""
    return {} if policy.decoder == "pyav" or pixels != "rgb24" else {"decoder": policy.decoder}


def describe_frames(frames: FrameFormat, policy: ClipPolicy) -> ProducerSpec:
    """Give the input ``frames``: per row uint8 (pictures, height, width, 3).

    There are as many pictures as a teacher sees: ``frames_per_step`` for each step.
    """
    num_pictures = policy.num_steps * policy.frames_per_step
    output = OutputSpec(
        name=FRAMES,
        shape=(num_pictures, frames.height, frames.width, 3),
        dtype="uint8",
        axes=("step", "height", "width", "channel"),
        attributes={"frames_per_step": policy.frames_per_step},
    )
    fingerprint = {
        "height": frames.height,
        "width": frames.width,
        "crop_fraction": frames.crop_fraction,
        **describe_decoder(frames.pixels, policy),
        "extraction_version": FRAMES_VERSION,
    }
    return ProducerSpec(kind="input", name=FRAMES, outputs=(output,), fingerprint=fingerprint)


def stored_frames(spec: ProducerSpec) -> FrameFormat:
    """Give the format of stored pictures."""
    known = FrameFormat.__dataclass_fields__
    fields = {name: value for name, value in spec.fingerprint.items() if name in known}
    return FrameFormat(**cast(Mapping[str, Any], fields))


def stored_waveform(spec: ProducerSpec) -> WaveformFormat:
    """Give the format of a stored waveform."""
    known = WaveformFormat.__dataclass_fields__
    fields = {name: value for name, value in spec.fingerprint.items() if name in known}
    return WaveformFormat(**cast(Mapping[str, Any], fields))


def stored_sparse_top_k(spec: ProducerSpec) -> int:
    """Give how many logits a stored teacher keeps; 0 is all."""
    return max(
        (output.num_kept for output in spec.outputs if output.layout == "sparse_logits"), default=0
    )


def adopt_stored(request: TeacherRequest, spec: ProducerSpec) -> TeacherRequest:
    """Settle what a request leaves open as the store has it: bytes of one kind are not mixed."""
    choices: dict[str, Any] = {
        name: spec.fingerprint[name]
        for name in ("runtime", "device")
        if getattr(request, name) == "auto" and name in spec.fingerprint
    }
    return replace(request, **choices)


def describe_output(
    output: TeacherOutput, sparse_top_k: int, *, num_steps: int | None = None
) -> OutputSpec:
    """Give an output as it is stored: with a step axis, or without where it is one a clip.

    Raises:
        InvalidValueError: if ``sparse_top_k`` keeps all there are.
    """
    if output.layout == "boxes":
        return _describe_boxes(output, num_steps)
    is_sparse = sparse_top_k > 0 and output.activation == "softmax"
    if is_sparse and sparse_top_k >= output.shape[-1]:
        raise InvalidValueError(
            f"sparse_top_k {sparse_top_k} keeps all of the {output.shape[-1]} {output.name}; "
            "choose fewer, or 0 to store them dense"
        )
    shape, axes = output.shape, output.axes
    if num_steps is not None:
        shape, axes = (num_steps, *shape), ("step", *axes)
    return OutputSpec(
        name=output.name,
        shape=shape,
        dtype="float16" if is_sparse else output.dtype,
        axes=axes,
        layout="sparse_logits" if is_sparse else "dense",
        num_kept=sparse_top_k if is_sparse else 0,
        class_names=output.class_names,
        attributes={"activation": output.activation, **output.attributes},
    )


def _describe_choices(declaration: AnyDeclaration, policy: ClipPolicy) -> dict[str, object]:
    """Give what a fingerprint has beside the family's; nothing for one that looks as most do."""
    choices: dict[str, object] = {}
    if isinstance(declaration, AudioDeclaration):
        choices["sound"] = dict(declaration.describe_sound())
    else:
        choices |= describe_decoder(declaration.frame_format.pixels, policy)
        if declaration.unit != "frame":
            choices["unit"] = declaration.unit
        if declaration.views is not None:
            choices[VIEWS] = dict(declaration.views.describe())
    if declaration.per != "step":
        choices["per"] = declaration.per
    return choices


def _of_views(output: OutputSpec, views: ViewSettings) -> OutputSpec:
    num_steps, *shape = output.shape
    step, *axes = output.axes
    return replace(
        output,
        name=f"{output.name}_{VIEWS}",
        shape=(num_steps, views.num_views, *shape),
        axes=(step, "view", *axes),
    )


def _describe_views(views: ViewSettings, policy: ClipPolicy) -> OutputSpec:
    return OutputSpec(
        name=VIEWS,
        shape=(policy.num_steps, views.num_views, len(PARAMETERS)),
        dtype="float32",
        axes=("step", "view", "parameter"),
        attributes={"parameters": list(PARAMETERS)},
    )


def _refuse_averages(declaration: AnyDeclaration, policy: ClipPolicy) -> None:
    """Boxes, and the classes of pixels, are of one picture."""
    takes_whole = declaration.unit != "frame"
    is_one = policy.frames_per_step == 1 or takes_whole
    if is_one and declaration.per == "step" and declaration.unit != "clip":
        return
    for output in declaration.outputs:
        if output.layout == "boxes" or output.dtype == "uint8":
            said = "boxes" if output.layout == "boxes" else output.name
            raise InvalidValueError(
                f"teacher {declaration.name!r} gives the {said} of one picture a step, not of "
                + (
                    f"{policy.frames_per_step}; extract with --frames-per-step 1 and shorter steps"
                    if not is_one
                    else "a clip; leave --per out"
                )
            )


def _refuse_other_number(declaration: TeacherDeclaration, policy: ClipPolicy) -> None:
    """A network that takes many pictures at once may take one number of them alone."""
    num_units = policy.num_steps if declaration.unit == "clip" else 1
    num_pictures = policy.frames_per_step * num_units
    if declaration.num_pictures not in (0, num_pictures) and declaration.unit != "frame":
        raise InvalidValueError(
            f"teacher {declaration.name!r} takes {declaration.num_pictures} pictures of a "
            f"{declaration.unit}, which has {num_pictures} in this store; choose --frames-per-step "
            "and --step-seconds for that many"
        )


def _describe_boxes(output: TeacherOutput, num_steps: int | None) -> OutputSpec:
    """Give boxes as they are stored: any number of them a step."""
    return OutputSpec(
        name=output.name,
        shape=() if num_steps is None else (num_steps,),
        dtype=output.dtype,
        axes=() if num_steps is None else ("step",),
        layout="boxes",
        class_names=output.class_names,
        attributes=output.attributes,
    )
