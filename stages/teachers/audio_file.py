"""Networks of sound in ONNX files, with a small TOML beside them: ``--teacher NAME=PATH.toml``.

The TOML has ``stream = "audio"``, ``sample_rate`` and perhaps ``samples_per_step``; the rest is in
docs/teachers.md. A network takes float (batch, samples) or (batch, 1, samples). Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avkd.errors import InvalidValueError
from avkd.stages.teachers.audio_declaration import (
    AnyTeacher,
    AudioDeclaration,
    declare_audio,
)
from avkd.stages.teachers.audio_loaded import LoadedAudioTeacher, Waveforms, scale_sound
from avkd.stages.teachers.declaration import Predictions
from avkd.stages.teachers.files.reading import OutputDescription, refuse_other_classes
from avkd.stages.teachers.files.sound_description import FoundSound, read_sound_description
from avkd.stages.teachers.loaded import Run
from avkd.stages.teachers.registry import AUDIO_FILE, register_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.runtimes.sessions import (
    SESSION_RUNTIMES,
    build_session,
    count_threads,
    say_briefly,
)
from avkd.stages.types import TeacherOutput


@register_teacher(AUDIO_FILE)
class AudioFileFamily:
    """Sound, outputs and classes are those of the TOML."""

    summary = 'PATH.toml with stream = "audio": any ONNX network of sound'
    runtimes = tuple(SESSION_RUNTIMES)

    def settle(self, request: TeacherRequest) -> TeacherRequest:
        """Make the path whole; refuse what the description says already."""
        found = read_sound_description(request.family)
        if request.weights or request.classes or request.maps:
            raise InvalidValueError(
                f"teacher {request.name!r} is described by {found.path}, which names its "
                "weights and classes; leave --weights, --classes and --maps out"
            )
        return replace(request, family=str(found.path))

    def declare(self, request: TeacherRequest) -> AudioDeclaration:
        """Run the network once: only it knows its widths for sure."""
        return _load(request).declaration

    def load(self, request: TeacherRequest) -> AnyTeacher:
        """Load into the request's runtime."""
        return _load(request)


@dataclass(frozen=True, kw_only=True)
class _Built:
    run: Run
    batch_size: int
    num_samples: int
    """Of one input; 0 is any number."""
    digests: Mapping[str, str]


def _load(request: TeacherRequest) -> LoadedAudioTeacher:
    found = read_sound_description(request.family)
    built = _build(request, found)
    outputs = _measure(found, built)
    told = found.told
    declaration = declare_audio(
        replace(request, family=AUDIO_FILE, batch_size=built.batch_size),
        weights_sha256=built.digests["file"],
        sample_rate=told.sample_rate,
        outputs=outputs,
        samples_per_step=built.num_samples,
        channels=told.channels,
        unit=told.unit,
        normalises=told.normalises,
    )
    more = {
        "files_sha256": dict(sorted(built.digests.items())),
        "from": {name: each.source for name, each in told.outputs.items()},
        "activations": {output.name: output.activation for output in outputs},
    }
    fingerprint = {**declaration.fingerprint, **more}
    return LoadedAudioTeacher(
        declaration=replace(declaration, fingerprint=fingerprint), run=built.run
    )


def _build(request: TeacherRequest, found: FoundSound) -> _Built:
    from avkd.stages.teachers.files.onnx_file import (
        find_one_input,
        load_onnx,
        refuse_missing,
    )
    from avkd.stages.teachers.files.onnx_frames import serialise

    told = found.told
    sources = [each.source for each in told.outputs.values()]
    model, digests = load_onnx(found.file)
    refuse_missing(model, sources, found.file)
    given = find_one_input(model, found.file)
    sizes = given.sizes
    is_flat, is_sound = len(sizes) == 2, given.dtype == "float"
    if not is_sound or not (is_flat or (len(sizes) == 3 and sizes[1] in (None, 1))):
        shape = ", ".join("any" if size is None else str(size) for size in sizes)
        raise InvalidValueError(
            f"{found.file}: the input {given.name!r} is {given.dtype} ({shape}), not float (batch, "
            "samples) or (batch, 1, samples); export it so"
        )
    own_batch, own_samples = sizes[0] or 0, sizes[-1] or 0
    if own_samples and told.samples_per_step not in (0, own_samples):
        raise InvalidValueError(
            f"{found.path}: samples_per_step {told.samples_per_step}, but {found.file.name} takes "
            f"{own_samples} samples; leave it out"
        )
    batch_size = own_batch or request.batch_size
    run = build_session(
        serialise(model, found.file),
        sources,
        request,
        batch_size=batch_size,
        num_threads=count_threads(),
        way_out="export it again",
    )
    return _Built(
        run=_hearing(run, found, is_flat=is_flat),
        batch_size=batch_size,
        num_samples=own_samples or told.samples_per_step,
        digests=digests,
    )


def _hearing(run: Run, found: FoundSound, *, is_flat: bool) -> Run:
    """Give windows as the network takes them, and outputs the names under which they are stored."""
    told = found.told

    def hear(waveforms: Waveforms) -> Predictions:
        sound = scale_sound(waveforms, normalises=told.normalises)
        predictions = run(sound[:, 0] if is_flat else sound)
        return {
            name: predictions[each.source].astype(np.float32, copy=False)
            for name, each in told.outputs.items()
        }

    return hear


def _measure(found: FoundSound, built: _Built) -> tuple[TeacherOutput, ...]:
    """Listen to silence, of a second where the network takes any number of samples."""
    num_samples = built.num_samples or found.told.sample_rate
    silence = np.zeros((built.batch_size, 1, num_samples), np.int16)
    try:
        predictions = built.run(silence)
    except Exception as error:
        raise InvalidValueError(
            f"{found.file} does not run on {num_samples} samples in batches of "
            f"{built.batch_size} ({say_briefly(error)}); mend {found.path.name}, or export the "
            "network again"
        ) from error
    return tuple(
        _declare_output(found, name, each, predictions[name], built.batch_size)
        for name, each in found.told.outputs.items()
    )


def _declare_output(
    found: FoundSound, name: str, told: OutputDescription, given: Any, batch_size: int
) -> TeacherOutput:
    if given.ndim != 2 or len(given) != batch_size:
        raise InvalidValueError(
            f"{found.path}: outputs.{name}: {told.source!r} of the file is {given.shape} for "
            f"{batch_size} windows, not one vector a window; export its mean over time"
        )
    class_names = found.class_names.get(name, ())
    refuse_other_classes(found.path, name, told, class_names, given.shape[1])
    is_logits = told.kind == "logits"
    return TeacherOutput(
        name=name,
        shape=given.shape[1:],
        axes=("class",) if is_logits else ("feature",),
        class_names=class_names,
        activation=(told.activation or "softmax") if is_logits else "none",
    )
