"""A student that hears the sound around steps and says which boxes are in the picture of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.encoders.step_sound import StepSoundEncoder


class BoxStudent(nn.Module, ABC):
    """An encoder of the sound around steps, and what makes boxes of it.

    What ``forward`` returns is between a student and its method; who wants boxes asks
    ``say_boxes``. The attributes are for a student to set.
    """

    encoder: StepSoundEncoder
    class_names: tuple[str, ...]
    """Of its boxes, in the order of their numbers."""
    teachers: tuple[str, ...]
    """Those whose boxes it learned from, one or several."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs that it reads."""
        return self.encoder.streams

    @abstractmethod
    def say_boxes(
        self,
        inputs: Mapping[str, Tensor],
        num_steps: Tensor,
        *,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_boxes: int = 100,
    ) -> BoxTargets:
        """The boxes of clips after non-maximum suppression; ``num_steps`` (B,) of them are real.

        By row, then step, surest first; numbers of classes are places in ``class_names``.

        Raises:
            InvalidValueError: An option is out of its range, an input is missing, or the student is
                not ready to say boxes.
        """

    def describe(self) -> dict[str, object]:
        """What student.json says of it, as JSON can hold it; students add their own."""
        return {
            "streams": self.streams,
            "embedding_size": self.encoder.embedding_size,
            "teachers": self.teachers,
            "box_classes": self.class_names,
        }
