"""What the papers of the road demos printed, in the columns of ours; nothing here was measured.

Marks: S, from the paper or its official code; U, unknown: no source that could be read has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from avkd.errors import UnknownNameError
from avkd.pipeline.demos.road_presets import RING, STEREO

COLUMNS = {
    "mAP@avg": "as_released_AP@avg",
    "mAP@0.5": "as_released_AP@0.5",
    "mAP@0.75": "as_released_AP@0.75",
    "CDx": "cd_released_x_percent",
    "CDy": "cd_released_y_percent",
    "MOTA": "MOTA",
    "ID switches": "id_switches",
}
"""Columns in percent but for the switches, and our numbers by the same rules."""
OUR_ROWS = (
    "Our rows are of simulated drives, held to the truth, by the rules of that code [S]: AP "
    "averaged over IoU 0.50 to 0.90, no empty pictures, and as center distance one of widths and "
    "heights. Switches grow with the length of what is tracked."
)


@dataclass(frozen=True, kw_only=True)
class PaperRows:
    """Rows beside ours, and what to know of them."""

    rows: Mapping[str, tuple[str, ...]]
    """By whose they are: a number for each of ``COLUMNS``, a dash where none was printed."""
    note: str


PAPERS = {
    STEREO: PaperRows(
        rows={
            "StereoSoundNet on MAVD, by MM-DistillNet's authors": (
                "44.05",
                "62.38",
                "41.46",
                "3.00",
                "2.24",
                "16.94",
                "1327",
            )
        },
        note="Not comparable: the first row is of real streets (MAVD), heard by eight microphones "
        "and held to what a teacher saw. It is Gan et al.'s method (ICCV 2019) as MM-DistillNet's "
        "authors re-implemented it; Gan et al.'s own table could not be read [U]. AP and center "
        "distances are from the README of their code [S], MOTA and switches from their paper [S]. "
        f"{OUR_ROWS}",
    ),
    RING: PaperRows(
        rows={
            "MM-DistillNet on MAVD: RGB, depth and thermal": (
                "61.62",
                "84.29",
                "59.66",
                "1.27",
                "0.69",
                "26.96",
                "1078",
            ),
            "the same on MAVD: no pretext task, as ours": ("61.10", *6 * ("-",)),
            "the same on MAVD: RGB alone": ("44.58", *6 * ("-",)),
            "StereoSoundNet on MAVD, by MM-DistillNet's authors": (
                "44.05",
                "62.38",
                "41.46",
                "3.00",
                "2.24",
                "16.94",
                "1327",
            ),
        },
        note="Not comparable: the papers' rows are of real streets (MAVD), and tell how far the "
        "student agrees with its teachers' fused boxes, not how far it is right. AP and center "
        "distances of MM-DistillNet (Valverde et al., CVPR 2021) and StereoSoundNet are from the "
        "README of their code [S], whose table prints RGB as the first one's teacher; AP in the "
        "rows without other numbers, MOTA and switches are from the paper [S]. What it scores by "
        f"night alone could not be read [U]. {OUR_ROWS}",
    ),
}
"""By recipe."""


def find_paper_rows(recipe: str) -> PaperRows:
    """The rows beside the students of a recipe.

    Raises:
        UnknownNameError: There are none.
    """
    if recipe not in PAPERS:
        raise UnknownNameError("paper of recipe", recipe, PAPERS)
    return PAPERS[recipe]
