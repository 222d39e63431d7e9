"""Any torchvision detector of boxes: ``torchvision_detector/<model>``."""

from avkd.errors import UnknownNameError
from avkd.stages.teachers.declaration import Teacher, TeacherDeclaration
from avkd.stages.teachers.registry import register_teacher
from avkd.stages.teachers.request import TeacherRequest

KEY = "torchvision_detector"


@register_teacher(KEY)
class TorchvisionDetectorFamily:
    """COCO weights from torchvision where they can be reached, or a file."""

    summary = f"{KEY}/<model>: any torchvision detector of boxes; --weights, or torchvision's own"
    runtimes = ("torch",)
    """How many boxes there are depends on the picture, which no exported graph here says."""

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        """Build the network to declare its classes and the sizes of its maps."""
        from avkd.stages.teachers.detector_declaration import declare_detector
        from avkd.stages.teachers.torchvision_detection import build_detection

        _check_model(request)
        return declare_detector(request, build_detection(request).facts)

    def load(self, request: TeacherRequest) -> Teacher:
        """Load into torch."""
        from avkd.stages.teachers.detector import load_detector
        from avkd.stages.teachers.torchvision_detection import build_detection

        _check_model(request)
        built = build_detection(request)
        return load_detector(request, built.network, built.facts)


def list_detectors() -> list[str]:
    """Name torchvision's detectors that give boxes and nothing else."""
    from torchvision import models

    names = models.list_models(module=models.detection)
    # Masks and key points would be computed, and thrown away.
    return [name for name in names if not name.startswith(("maskrcnn", "keypointrcnn"))]


def _check_model(request: TeacherRequest) -> None:
    known = [f"{KEY}/{name}" for name in list_detectors()]
    if request.family not in known:
        raise UnknownNameError("teacher", request.family, known)
