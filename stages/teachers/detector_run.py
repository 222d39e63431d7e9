"""Detectors that avkd trained: a folder of ``avkd train-teacher --task detection`` is a family."""

from dataclasses import replace

from avkd.stages.teachers.declaration import Teacher, TeacherDeclaration, digest_file
from avkd.stages.teachers.detector_declaration import (
    DetectorFacts,
    declare_detector,
    detector_frames,
)
from avkd.stages.teachers.detector_folder import DetectorDescription, read_description
from avkd.stages.teachers.pyramid_options import MEAN, STD, level_shapes
from avkd.stages.teachers.registry import DETECTOR_RUN, register_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.trained_folder import weights_file
from avkd.stages.teachers.trained_run import settle_run


@register_teacher(DETECTOR_RUN)
class DetectorRunFamily:
    """Stream, range and size of the pictures are those that it was trained on."""

    summary = "RUN: the folder of a detector from avkd train-teacher --task detection"
    runtimes = ("torch",)

    def settle(self, request: TeacherRequest) -> TeacherRequest:
        """Take from the folder what the request leaves open; refuse what it asks for otherwise."""
        return settle_run(request, read_description(request.family))

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        """Declare from the description; the weights are digested, not loaded."""
        return declare_detector(_without_place(request), _find_facts(request))

    def load(self, request: TeacherRequest) -> Teacher:
        """Load into torch."""
        from avkd.stages.teachers.checkpoint import load_strictly, read_state_dict
        from avkd.stages.teachers.detector import load_detector
        from avkd.stages.teachers.pyramid_detector import build_pyramid

        described, file = read_description(request.family), weights_file(request.family)
        network = build_pyramid(described)
        load_strictly(network, read_state_dict(file), source=str(file))
        return load_detector(_without_place(request), network, _find_facts(request, described))


def _find_facts(
    request: TeacherRequest, described: DetectorDescription | None = None
) -> DetectorFacts:
    described = described or read_description(request.family)
    return DetectorFacts(
        weights_sha256=digest_file(weights_file(request.family)),
        frame_format=detector_frames(request, *described.picture_size),
        mean=(MEAN,) * described.num_channels,
        std=(STD,) * described.num_channels,
        class_names=described.class_names,
        level_shapes=level_shapes(described.network, described.picture_size),
    )


def _without_place(request: TeacherRequest) -> TeacherRequest:
    """A run that was moved is the same teacher."""
    return replace(request, family=DETECTOR_RUN)
