import csv
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from avkd.stages.simulation.sounds import level_db
from avkd.stages.simulation.things.catalog import KINDS
from avkd.stages.simulation.worlds.tagging import (
    audible_kinds,
    format_tagging,
    tagging_world,
    tiny_tagging_world,
    write_tagging_world,
)
from avkd.stages.simulation.worlds.things import ThingsWorld, fast_world, plan_world
from avkd.stages.simulation.worlds.writing import build_sound

SPECS = plan_world(tagging_world())


def test_the_preset_has_the_promised_sizes_and_no_unlabelled_recordings() -> None:
    assert Counter(spec.split for spec in SPECS) == {"train": 480, "validation": 48, "test": 192}
    assert tagging_world().seed == 100


@pytest.mark.parametrize("world", [tagging_world(), tiny_tagging_world()], ids=["full", "tiny"])
def test_every_label_is_heard(world: ThingsWorld) -> None:
    for spec in plan_world(world)[::12]:
        parts = build_sound(spec)
        assert spec.kind in audible_kinds(spec)
        assert level_db(parts.thing) > -30
        assert (level_db(parts.offscreen) > -40) == (len(audible_kinds(spec)) == 2)


def test_what_is_only_seen_is_no_label() -> None:
    spec = next(s for s in SPECS if s.distractor is not None and not s.offscreen_kind)
    assert audible_kinds(spec) == (spec.kind,)


def test_two_in_five_have_two_labels_and_every_kind_is_heard_off_screen() -> None:
    double = [spec for spec in SPECS if len(audible_kinds(spec)) == 2]
    assert np.mean([spec in double for spec in SPECS]) == pytest.approx(0.4, abs=0.05)
    assert {spec.offscreen_kind for spec in double} == set(KINDS)


def test_the_table_joins_labels_and_leaves_unlabelled_recordings_out() -> None:
    specs = plan_world(fast_world())
    rows = list(csv.DictReader(format_tagging(specs).splitlines()))
    by_id = {spec.recording_id: spec for spec in specs}
    assert len(rows) == sum(spec.split != "unlabelled" for spec in specs)
    for row in rows:
        spec = by_id[row["recording_id"]]
        assert set(row["labels"].split(";")) == {spec.kind, spec.offscreen_kind} - {""}
        assert row["split"] == spec.split


def test_written_recordings_are_movies_beside_their_table(tmp_path: Path) -> None:
    world = ThingsWorld(
        seed=100,
        num_unlabelled=0,
        num_train_per_kind=0,
        num_validation_per_kind=0,
        num_test_per_kind=1,
        clip_seconds=1.0,
        frame_size=(64, 64),
        frame_rate=2,
    )
    table = write_tagging_world(world, tmp_path, num_workers=1)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 12
    with av.open(str(tmp_path / rows[0]["path"])) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.audio[0].codec_context.name == "aac"
        assert sum(1 for _ in container.decode(video=0)) == 2
    before = (tmp_path / rows[0]["path"]).read_bytes()
    write_tagging_world(world, tmp_path, num_workers=1)
    assert (tmp_path / rows[0]["path"]).read_bytes() == before
