from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import pytest


@pytest.fixture(scope="module")
def media(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("media")


def read_packets(path: Path) -> list[tuple[int, bool]]:
    """Milliseconds of every picture in order, and whether it is a key picture."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        unit = 1000 * stream.time_base
        packets = [each for each in container.demux(stream) if each.size]
        return sorted((round((p.pts or 0) * unit), p.is_keyframe) for p in packets)


def test_the_corpus_has_every_combination_once(media: ModuleType) -> None:
    specs = media.plan_corpus()
    assert len({spec.name for spec in specs}) == len(specs) == 3 * 3 * 3 * 2
    assert all(10 <= spec.seconds <= 60 for spec in specs)
    assert {(spec.width, spec.height) for spec in specs} == set(media.SIZES)
    small = media.plan_corpus(scale=0.5)
    assert {(spec.width, spec.height) for spec in small} == {(160, 120), (640, 360), (960, 540)}


def test_a_file_has_the_same_bytes_twice_and_others_with_another_seed(
    media: ModuleType, specs: Any, corpus: Path, tmp_path: Path
) -> None:
    spec = specs[1]
    assert media.write_clip(spec, tmp_path).read_bytes() == (corpus / spec.name).read_bytes()
    other = replace(spec, seed=1)
    assert media.write_clip(other, tmp_path).read_bytes() != (corpus / spec.name).read_bytes()


def test_pictures_come_when_and_as_often_as_the_kind_says(specs: Any, corpus: Path) -> None:
    for spec in specs:
        packets = read_packets(corpus / spec.name)
        gaps = {later[0] - one[0] for one, later in pairwise(packets)}
        assert gaps <= {40, 80, 120}, spec.name
        assert (len(gaps) > 1) == spec.has_variable_rate, spec.name
        keys = [place for place, (_, is_key) in enumerate(packets) if is_key]
        assert keys == list(range(0, len(packets), spec.gop)), spec.name
        assert packets[-1][0] < 1000 * spec.seconds <= packets[-1][0] + 120


def test_every_file_has_sound_as_long_as_its_pictures(specs: Any, corpus: Path) -> None:
    for spec in specs:
        with av.open(str(corpus / spec.name)) as container:
            assert {stream.type for stream in container.streams} == {"video", "audio"}
            num_samples = sum(frame.samples for frame in container.decode(audio=0))
        assert abs(num_samples / 48_000 - spec.seconds) < 0.1


def test_a_file_is_the_same_in_every_corpus_that_has_its_kind(media: ModuleType) -> None:
    whole = {spec.name for spec in media.plan_corpus()}
    assert {spec.name for spec in media.plan_corpus(gops=[60], codecs=["vp9"])} <= whole
    longer = media.plan_corpus(seconds=(70, 80))
    assert not {spec.name for spec in longer} & whole


def test_a_corpus_is_described_by_what_its_bytes_depend_on(
    media: ModuleType, specs: Any, corpus: Path, tmp_path: Path
) -> None:
    paths = [corpus / spec.name for spec in specs]
    described = media.describe_corpus(paths)
    assert described["versions"]["av"] == av.__version__
    changed = tmp_path / paths[0].name
    changed.write_bytes(paths[0].read_bytes()[:-1])
    other = media.describe_corpus([changed, *paths[1:]])
    differing = {
        name for name in other["sha256"] if other["sha256"][name] != described["sha256"][name]
    }
    assert differing == {paths[0].name}


def test_a_file_that_was_broken_off_does_not_count_as_there(
    media: ModuleType, specs: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(spec: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(media, "_draw_pictures", stop)
    with pytest.raises(KeyboardInterrupt):
        media.write_clip(specs[0], tmp_path)
    monkeypatch.undo()
    (path,) = media.write_corpus(specs[:1], tmp_path)
    assert path.read_bytes() == (corpus / path.name).read_bytes()
