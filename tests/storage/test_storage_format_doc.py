"""The example of docs/storage-format.md does what the page says, on a store made here."""

import dataclasses
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avkd.pipeline.removal import remove_recordings
from avkd.pipeline.sweeping import sweep_store
from avkd.storage.sparse import decode_sparse
from avkd.storage.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "storage-format.md"


@pytest.fixture
def example():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    return block


@pytest.fixture
def named_store(tmp_path, teacher, make_clips, fill):
    store = Store.create(str(tmp_path / "store"), clip_policy={}, rows_per_shard=8)
    store.plan_clips(make_clips(0, 11))
    store.plan_clips(make_clips(16, 3))
    failed = [store.read_clips(0)[5].clip_id]
    named = dataclasses.replace(teacher, name="efficientnet_lite0")
    return fill(store, named, failed=failed, limit=2)


def test_the_example_is_short(example):
    assert len([line for line in example.splitlines() if line.strip()]) <= 16


def run_example(example, store):
    code = f"{example}\nimport pickle, sys\npickle.dump(read, sys.stdout.buffer)"
    root = Path(store.url).parent
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=root, capture_output=True, check=True)
    return pickle.loads(result.stdout)


def test_the_example_shows_nothing_of_what_was_removed(example, named_store):
    gone = {c.clip_id for c in named_store.read_clips(0) if c.recording_id == "video3"}
    remove_recordings(named_store, ["video3"])
    before = run_example(example, named_store)
    assert len(before) == 8
    assert not gone & set(before)
    sweep_store(named_store.url, rewrites=True)
    after = run_example(example, named_store)
    assert {name: row.tobytes() for name, row in after.items()} == {
        name: row.tobytes() for name, row in before.items()
    }


def test_the_example_reads_what_avkd_reads_and_needs_no_avkd(example, named_store):
    assert "avkd" not in example
    read = run_example(example, named_store)
    clips = [clip for shard in (0, 1) for clip in named_store.read_clips(shard)]
    assert set(read) == {clip.clip_id for clip in clips if clip.row != 5}
    stored = named_store.read_rows("efficientnet_lite0", "logits", 0, 16)
    for clip in clips:
        if clip.row != 5:
            np.testing.assert_array_equal(read[clip.clip_id], stored[clip.row])


def test_the_formula_for_sparse_logits_is_that_of_the_code(named_store):
    sparse = named_store.read_rows("efficientnet_lite0", "wide", 0, 3)
    for column, temperature in enumerate((1.0, 2.0, 4.0, 8.0)):
        value = sparse.values.astype(np.float32)
        formula = (value + sparse.lse[..., :1]) / temperature - sparse.lse[..., column, None]
        np.testing.assert_allclose(decode_sparse(sparse, temperature)[0], formula, rtol=1e-6)


def test_the_page_names_the_files_that_a_store_has(named_store):
    text = PAGE.read_text()
    for path in Path(named_store.url).rglob("*"):
        if path.is_file():
            top = path.relative_to(named_store.url).parts[0]
            assert re.search(rf"^ +{re.escape(top)}", text, flags=re.M), top
