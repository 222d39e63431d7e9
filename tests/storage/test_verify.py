import json
import random
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from avkd.errors import SchemaVersionError, StoreNotFoundError, StoreUnwritableError
from avkd.storage import objects, verify
from avkd.storage.arrays import decode_object, encode_object
from avkd.storage.commits import StoredFile
from avkd.storage.sealed import json_digest, seal
from avkd.storage.store import Store
from avkd.storage.verify import Problem, verify_store

# Which shard each kind of data file belongs to; the last number in its name.
SHARDED = ("clips/", "boxes/", "commits/", "/c.")


def files_of(store):
    root = Path(store.url)
    return sorted(path for path in root.rglob("*") if path.is_file())


def shard_of(path, store):
    name = path.relative_to(store.url).as_posix()
    if not any(part in name for part in SHARDED):
        return None
    return int(name.split("/c.")[1].split(".")[0] if "/c." in name else path.name[:5])


@pytest.fixture
def full_store(store, fill, waveform):
    """Of both kinds of producers, all layouts, and two plans."""
    return fill(store, waveform)


def test_a_sound_store_has_no_problems(full_store):
    seen = []
    assert verify_store(full_store.url, on_shard=lambda *shard: seen.append(shard)) == ()
    assert seen == [(name, shard) for name in ("seer", "sound") for shard in range(3)]


def test_one_flipped_byte_in_any_file_is_found_and_its_shard_named(full_store):
    picks = random.Random(7)
    for path in files_of(full_store):
        data = path.read_bytes()
        for position in {len(data) - 1, picks.randrange(len(data)), picks.randrange(len(data))}:
            flipped = bytearray(data)
            flipped[position] ^= 1 << picks.randrange(8)
            path.write_bytes(flipped)
            problems = verify_store(full_store.url)
            name = path.relative_to(full_store.url).as_posix()
            assert name in {problem.file for problem in problems}, (name, position)
            expected = shard_of(path, full_store)
            assert expected in {problem.shard for problem in problems}, (name, position)
            if expected is not None:
                assert any(f"shard {expected}" in str(problem) for problem in problems)
        path.write_bytes(data)
    assert verify_store(full_store.url) == ()


def test_a_missing_or_empty_file_is_found(full_store):
    for path in files_of(full_store):
        name = path.relative_to(full_store.url).as_posix()
        if name == "store.json" or name.startswith("commits/"):
            continue  # without the one there is no store, without the other no shard
        data = path.read_bytes()
        path.unlink()
        assert shard_of(path, full_store) in {p.shard for p in verify_store(full_store.url)}, name
        path.write_bytes(b"")
        assert verify_store(full_store.url), name
        path.write_bytes(data)


def test_no_store_and_a_newer_store_are_errors_of_their_own(store):
    with pytest.raises(StoreNotFoundError):
        verify_store(store.url + "-elsewhere")
    path = Path(store.url, "store.json")
    document = json.loads(path.read_text())
    del document["seal"]
    path.write_bytes(seal({**document, "schema_version": 3}))
    with pytest.raises(SchemaVersionError):
        verify_store(store.url)


def test_a_flip_in_the_schema_version_is_damage_not_a_newer_schema(store):
    path = Path(store.url, "store.json")
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 5'))
    (problem,) = verify_store(store.url)
    assert problem.file == "store.json"
    assert "version 5" in problem.what


def test_leftovers_are_not_problems(store, make_clips):
    root = Path(store.url)
    shutil.copy(root / "clips/00000.parquet", root / "clips/00009.parquet")
    (root / "clips/.00003.parquet.0af3.tmp").write_bytes(b"half")
    (root / "targets/seer/logits/c.9.0.0").write_bytes(b"of a shard that was never committed")
    (root / "targets/other").mkdir()
    (root / "commits/other").mkdir()
    assert verify_store(store.url) == ()


def test_a_declaration_whose_arrays_were_not_made_yet_is_no_problem(store, waveform, monkeypatch):
    store.declare(waveform)
    Path(store.url, "inputs/sound/waveform/zarr.json").unlink()
    assert verify_store(store.url) == ()


def test_commits_of_an_undeclared_producer_are_found(store):
    Path(store.url, "targets/seer/producer.json").unlink()
    (problem,) = verify_store(store.url)
    assert (problem.producer, problem.shard) == ("seer", None)


def test_a_lost_growth_is_mended_or_told(store, make_clips, monkeypatch):
    path = Path(store.url, "targets/seer/logits/zarr.json")
    short = path.read_bytes()
    store.plan_clips(make_clips(24, 8))
    grown = path.read_bytes()
    path.write_bytes(short)

    def refuse(*args):
        raise StoreUnwritableError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(verify, "put_array_file", refuse)
        (problem,) = verify_store(store.url)
    assert "hides rows" in problem.what
    assert verify_store(store.url) == ()
    assert path.read_bytes() == grown


def test_a_commit_that_vouches_for_other_content_is_found(store):
    """As if a shard had been replaced together with the hash of its file."""
    producer = store.producer("seer")
    path = Path(store.url, "targets/seer/logits/c.1.0.0")
    values = decode_object(producer.arrays["logits"], path.read_bytes(), "x").copy()
    values[0, 0, 0] += 1
    path.write_bytes(encode_object(producer.arrays["logits"], values))
    (problem,) = rewrite_commit(store, 1, files=[path])
    assert "do not add up" in problem.what

    path = Path(store.url, "boxes/seer/faces/00001.parquet")
    shutil.copy(Path(store.url, "boxes/seer/faces/00002.parquet"), path)
    problems = rewrite_commit(store, 1, files=[path])
    assert "boxes/seer/faces/00001.parquet" in {problem.file for problem in problems}


def test_a_commit_that_contradicts_plan_or_declaration_is_found(store):
    for change, message in [
        ({"fingerprint_digest": "00"}, "another fingerprint"),
        ({"num_rows": 7}, "counts other rows"),
        ({"clip_ids_digest": "00"}, "made for other clips"),
        ({"files": {}}, "lists other files"),
    ]:
        saved = Path(store.url, "commits/seer/00001.json").read_bytes()
        problems = rewrite_commit(store, 1, **change)
        assert any(message in problem.what for problem in problems), message
        assert {problem.shard for problem in problems} == {1}
        Path(store.url, "commits/seer/00001.json").write_bytes(saved)


def rewrite_commit(store, shard, **change):
    path = Path(store.url, f"commits/seer/{shard:05d}.json")
    document = json.loads(path.read_text())
    del document["seal"]
    files = change.pop("files", [])
    for file in files:
        data = file.read_bytes()
        stored = StoredFile(path="", size=len(data), sha256=sha256(data).hexdigest())
        name = file.relative_to(store.url).as_posix()
        document["commit"]["files"][name] = {"size": stored.size, "sha256": stored.sha256}
    if files == {}:
        document["commit"]["files"] = {}
    document["commit"].update(change)
    document["digest"] = json_digest(document["commit"])
    path.write_bytes(seal(document))
    return verify_store(store.url)


def test_a_problem_reads_as_a_sentence():
    whole = Problem(what="x is missing", file="x", producer="seer", shard=3)
    assert str(whole) == "shard 3 of seer: x is missing"
    assert str(Problem(what="x is missing", file="x")) == "x is missing"


def test_a_store_in_a_bucket_is_verified_too(teacher, make_clips, fill):
    store = Store.create("memory://verified/store", clip_policy={}, rows_per_shard=8)
    store.plan_clips(make_clips(0, 10))
    fill(store, teacher)
    assert verify_store(store.url) == ()
    objects.put_durable(f"{store.url}/targets/seer/logits/c.1.0.0", b"other")
    (problem,) = verify_store(store.url)
    assert (problem.producer, problem.shard) == ("seer", 1)
