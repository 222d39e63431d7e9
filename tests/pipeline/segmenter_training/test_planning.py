import pytest

from avkd.pipeline.segmenter_training.planning import list_instants
from avkd.stages.types import MediaInfo


def info(seconds: float, rate: float) -> MediaInfo:
    return MediaInfo(duration_seconds=seconds, frame_rate=rate, has_video=True, has_audio=False)


@pytest.mark.parametrize(
    ("num", "wanted"),
    [
        (1, [1.125]),
        (2, [0.625, 1.625]),
        (4, [0.375, 0.875, 1.375, 1.875]),
        (99, None),
        (None, None),
    ],
)
def test_pictures_are_taken_in_their_middles_evenly_and_once(
    num: int | None, wanted: list[float] | None
) -> None:
    all_of_them = [(frame + 0.5) / 4 for frame in range(8)]
    assert list_instants(info(2.0, 4.0), num) == pytest.approx(wanted or all_of_them)


def test_a_file_of_one_picture_has_one() -> None:
    assert list_instants(info(0.01, 25.0), 4) == pytest.approx((0.02,))
