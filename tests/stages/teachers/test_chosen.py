from dataclasses import replace

import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.stages.teachers.chosen import choose, choose_of
from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.loaded import LoadedTeacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat, TeacherOutput

DECLARED = TeacherDeclaration(
    name="eye",
    frame_format=FrameFormat(height=28, width=42, crop_fraction=0.875),
    outputs=(TeacherOutput(name="logits", shape=(3,), axes=("class",)),),
    fingerprint={"a": 1},
    batch_size=2,
)


class Eye:
    declaration = DECLARED

    def predict(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": frames}


def asking(**options: object) -> TeacherRequest:
    return TeacherRequest(name="eye", family="x", **options)  # type: ignore[arg-type]


def test_a_request_that_chooses_nothing_leaves_the_teacher_as_it_is() -> None:
    eye = Eye()
    assert choose_of(asking(), eye) is eye


def test_for_views_all_is_decoded_that_the_family_cuts_its_centre_from() -> None:
    chosen = choose(asking(views=3, seed=7), DECLARED)
    assert isinstance(chosen, TeacherDeclaration)
    assert chosen.frame_format == FrameFormat(height=32, width=48, crop_fraction=1.0)
    assert chosen.views is not None
    views = chosen.views
    assert (views.num_views, views.seed, views.height, views.width) == (3, 7, 28, 42)


def test_a_chosen_teacher_says_what_the_familys_does() -> None:
    teacher = choose_of(asking(per="clip"), Eye())
    assert teacher.declaration.per == "clip"
    assert teacher.predict(np.ones(2))["logits"].sum() == 2


def test_a_loaded_teacher_takes_views_of_their_size_and_all_pictures_of_a_unit() -> None:
    eye = LoadedTeacher(declaration=DECLARED, run=lambda frames: {"logits": frames})
    viewer = choose_of(asking(views=3), eye)
    assert isinstance(viewer, LoadedTeacher)  # which may compute while its caller goes on
    assert viewer.predict(np.zeros((2, 28, 42, 3), np.uint8))
    with pytest.raises(InvalidValueError, match=r"of shape \(2, 28, 42, 3\)"):
        viewer.predict(np.zeros((2, 32, 48, 3), np.uint8))
    film = replace(eye, declaration=replace(DECLARED, unit="clip"))
    assert film.predict(np.zeros((2, 5, 28, 42, 3), np.uint8))
    with pytest.raises(InvalidValueError, match="pad the batch"):
        film.predict(np.zeros((2, 28, 42, 3), np.uint8))


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"per": "step"}, {"unit": "clip"}, "takes a clip as a whole"),
        ({"views": 2, "per": "clip"}, {}, "is stored once a clip"),
        ({"views": 2}, {"unit": "step"}, "takes many pictures at once"),
        (
            {"views": 2},
            {"outputs": (TeacherOutput(name="attention", shape=(2, 2), axes=("height", "width")),)},
            "says where something is",
        ),
        (
            {"views": 2},
            {
                "frame_format": FrameFormat(
                    height=8, width=8, crop_fraction=1, fit="stretch", pixels="gray16"
                )
            },
            "sees 16-bit gray",
        ),
    ],
)
def test_what_a_teacher_cannot_do_is_refused(
    options: dict[str, object], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        choose(asking(**options), replace(DECLARED, **changes))  # type: ignore[arg-type]


def test_fewer_than_no_views_and_unknown_units_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="views -1 of 'eye'"):
        asking(views=-1)
    with pytest.raises(InvalidValueError, match="per 'frame' is unknown"):
        asking(per="frame")
