import json
from pathlib import Path
from shutil import copytree

import pytest
import torch

from avkd.errors import InvalidValueError, StoreNotFoundError
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.run_dir import RunDir, open_run
from avkd.pipeline.train import train_student
from avkd.pipeline.training.deployment import deploy_part
from avkd.pipeline.training.students import load_clip_student
from avkd.pipeline.training.tensor_files import read_tensors, write_tensors

INPUTS = {"alpha": torch.randn(6, 1), "beta": torch.randn(6, 1)}
NUM_STEPS = torch.ones(6, dtype=torch.int64)
OVERRIDES = (
    "encoder.name=vectors",
    'encoder.options={"streams": ["alpha"], "hidden_size": 4}',
    "method.options.visual=beta",
    "method.options.label_kind=class",
    "data.label_column=tag",
    "data.split=none",
    "schedule.num_epochs=1",
)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return with_overrides(get_recipe("mutual", "tiny"), OVERRIDES)


@pytest.fixture(scope="module")
def joint(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The run of a pair, one epoch old."""
    folder = tmp_path_factory.mktemp("joint")
    rows = "".join(f"p{i},{i / 5 - 1},{1 - i / 9},{'ab'[i % 2]}\n" for i in range(12))
    (folder / "points.csv").write_text(f"recording_id,alpha,beta,tag\n{rows}")
    corpus, store, run = (str(folder / name) for name in ("points.csv", "store", "run"))
    extract_teacher(ExtractRequest(corpus=corpus, store=store, vectors=("alpha", "beta")))
    train_student(store, run, recipe, device="cpu")
    return run


@pytest.mark.parametrize(
    ("part", "streams"),
    [("teacher", ("alpha", "beta")), ("audio", ("alpha",)), ("visual", ("beta",))],
)
def test_a_part_is_a_run_of_its_own_with_the_weights_of_the_whole(
    joint: str, tmp_path: Path, part: str, streams: tuple[str, ...]
) -> None:
    out = str(tmp_path / part)
    deploy_part(joint, out, part)
    deploy_part(joint, out, part)  # once more is fine
    loaded = load_clip_student(out)
    assert loaded.student.streams == streams
    assert loaded.class_names == ("a", "b")
    assert loaded.label_kind == "class"
    assert loaded.weights_sha256 == load_clip_student(joint).weights_sha256
    assert loaded.recipe.method.options["deploy"] == part
    assert RunDir(path=Path(out)).read_origin() == RunDir(path=Path(joint)).read_origin()


def test_once_more_writes_only_where_the_weights_are_others(joint: str, tmp_path: Path) -> None:
    source = str(tmp_path / "joint")
    copytree(joint, source)
    deploy_part(source, str(tmp_path / "out"), "audio")
    out = RunDir(path=tmp_path / "out")
    text = out.student_file.read_text()
    # As an older version may have written it: what a store holds is bound to these bytes.
    out.student_file.write_text(text + "\n")
    deploy_part(source, str(out.path), "audio")
    assert out.student_file.read_text() == text + "\n"

    trained = RunDir(path=Path(source)).weights_file
    write_tensors(trained, {n: each + 1 for n, each in read_tensors(trained).items()})
    deploy_part(source, str(out.path), "audio")
    assert out.student_file.read_text() == text
    assert out.weights_file.read_bytes() == trained.read_bytes()


def test_what_the_whole_started_from_is_told_of_its_parts(joint: str, tmp_path: Path) -> None:
    source = tmp_path / "joint"
    copytree(joint, source)
    file, first = RunDir(path=source).student_file, {"recipe": "counting/tiny"}
    file.write_text(json.dumps({**json.loads(file.read_text()), "initialised_from": first}))
    deploy_part(str(source), str(tmp_path / "out"), "audio")
    assert load_clip_student(tmp_path / "out").description["initialised_from"] == first


def test_branches_vote_as_they_do_in_the_teacher(joint: str, tmp_path: Path) -> None:
    said = {}
    for part in ("teacher", "audio", "visual"):
        deploy_part(joint, str(tmp_path / part), part)
        said[part] = load_clip_student(tmp_path / part).student(INPUTS, NUM_STEPS)
    assert torch.equal(said["teacher"].stream_logits["alpha"], said["audio"].logits)
    assert torch.equal(said["teacher"].stream_logits["beta"], said["visual"].logits)


def test_what_is_not_there_is_not_deployed(joint: str, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="deploy 'nose'"):
        deploy_part(joint, str(tmp_path / "out"), "nose")
    with pytest.raises(StoreNotFoundError, match="no run at"):
        deploy_part(str(tmp_path / "none"), str(tmp_path / "out"), "audio")
    open_run(str(tmp_path / "begun"), recipe, {})
    with pytest.raises(StoreNotFoundError, match="is not finished"):
        deploy_part(str(tmp_path / "begun"), str(tmp_path / "out"), "audio")
    assert not (tmp_path / "out").exists()


def test_the_folder_of_another_run_is_not_written_over(joint: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    deploy_part(joint, out, "audio")
    with pytest.raises(InvalidValueError, match="run of another recipe"):
        deploy_part(joint, out, "visual")
