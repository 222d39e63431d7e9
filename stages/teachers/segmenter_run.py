"""Segmenters that avkd trained: a folder of ``avkd train-teacher --task segmentation`` is a family.

The output ``class_map`` is the class of each cell of the picture, as large as the folder says; the
map ``confidence``, where it is asked for, how sure a picture's is: the mean over its cells of the
largest probability.
"""

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.declaration import (
    Teacher,
    TeacherDeclaration,
    digest_file,
    runtime_fingerprint,
)
from avkd.stages.teachers.detector_declaration import detector_frames, looks_fingerprint
from avkd.stages.teachers.pyramid_options import MEAN, STD
from avkd.stages.teachers.registry import SEGMENTER_RUN, register_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.segmenter_folder import SegmenterDescription, read_segmenter
from avkd.stages.teachers.trained_folder import weights_file
from avkd.stages.teachers.trained_run import settle_run
from avkd.stages.types import CLASS_MAP, TeacherOutput

CONFIDENCE = "confidence"


@register_teacher(SEGMENTER_RUN)
class SegmenterRunFamily:
    """Stream, range and size of the pictures are those that it was trained on."""

    summary = "RUN: the folder of a segmenter from avkd train-teacher --task segmentation"
    runtimes = ("torch",)

    def settle(self, request: TeacherRequest) -> TeacherRequest:
        """Take from the folder what the request leaves open; refuse what it asks for otherwise."""
        return settle_run(request, read_segmenter(request.family))

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        """Declare from the description; the weights are digested, not loaded."""
        return _declare(request, read_segmenter(request.family))

    def load(self, request: TeacherRequest) -> Teacher:
        """Load into torch."""
        from avkd.stages.teachers.checkpoint import load_strictly, read_state_dict
        from avkd.stages.teachers.loaded import LoadedTeacher
        from avkd.stages.teachers.runtimes.build import build_runtime
        from avkd.stages.teachers.segmenter import ClassMapper, build_segmenter

        described, file = read_segmenter(request.family), weights_file(request.family)
        declaration = _declare(request, described)
        network = build_segmenter(described)
        load_strictly(network, read_state_dict(file), source=str(file))
        mapper = ClassMapper(
            network, map_stride=described.map_stride, value_range=described.value_range
        ).eval()
        run = build_runtime(mapper, (CLASS_MAP, CONFIDENCE), declaration, request)
        return LoadedTeacher(declaration=declaration, run=run)


def _declare(request: TeacherRequest, described: SegmenterDescription) -> TeacherDeclaration:
    if request.precision != "float32":
        raise InvalidValueError(
            f"segmenter {request.name!r} says classes in float32, not in {request.precision}; "
            "leave --precision out"
        )
    outputs = _declare_outputs(request, described)
    frames = detector_frames(request, *described.picture_size)
    mean, std = ([value] * described.num_channels for value in (MEAN, STD))
    return TeacherDeclaration(
        name=request.name,
        stream=described.stream,
        frame_format=frames,
        outputs=outputs,
        fingerprint={
            # Not its place: a run that was moved is the same teacher.
            "family": SEGMENTER_RUN,
            "weights_sha256": digest_file(weights_file(request.family)),
            "stream": described.stream,
            "preprocessing": looks_fingerprint(frames, described.value_range, mean, std),
            "class_names": list(described.class_names),
            "map_stride": described.map_stride,
            "map_pooling": "mean of probabilities",
            "outputs": [{"name": output.name, "shape": list(output.shape)} for output in outputs],
            **runtime_fingerprint(request),
        },
        batch_size=request.batch_size,
    )


def _declare_outputs(
    request: TeacherRequest, described: SegmenterDescription
) -> tuple[TeacherOutput, ...]:
    for name in request.maps:
        if name != CONFIDENCE:
            raise UnknownNameError(f"map of teacher {request.name!r}", name, (CONFIDENCE,))
    class_map = TeacherOutput(
        name=CLASS_MAP,
        shape=described.map_shape,
        axes=("height", "width"),
        class_names=described.class_names,
        dtype="uint8",
        attributes={"map_stride": described.map_stride},
    )
    confidence = TeacherOutput(name=CONFIDENCE, shape=(), axes=())
    return (class_map, confidence) if request.maps else (class_map,)
