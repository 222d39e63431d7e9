"""The package as it is laid out, built and pinned."""

import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("cli", "pipeline", "stages", "storage")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_is_a_link_inside_the_package(room):
    link = ROOT / "src" / "avkd" / room
    assert link.is_symlink(), (
        f"{link} is no link: git could not make links here. Run `git config core.symlinks true` "
        "and check out again (CONTRIBUTING.md, The links)"
    )
    assert str(link.readlink()) == f"../../{room}"
    assert link.resolve() == ROOT / room


def test_every_folder_of_sources_is_a_package():
    folders = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_rooms_are_imported_as_parts_of_avkd():
    script = "import avkd.storage, sys; print([n for n in sys.modules if n == 'storage'])"
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_torch_and_its_companions_import_together():
    # Sets that pip finds compatible may not be: torchaudio refuses another CUDA than torch's.
    script = (
        "import warnings; warnings.simplefilter('ignore'); import torch, torchvision, torchaudio"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_no_python_is_packaged_too():
    assert (files("avkd.pipeline.report") / "report.html.jinja").is_file()
    assert (files("avkd") / "py.typed").is_file()


def test_the_lock_pins_one_version_within_every_range():
    pins = _read_pins()
    ours = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["demo"]]
    ours += PROJECT["optional-dependencies"]["test"]
    for requirement in map(Requirement, ours):
        if requirement.name == "avkd":
            continue
        pinned = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{requirement} does not allow {pinned}"


def test_the_lock_names_no_place_of_anyone():
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"@|://|^-", text, re.MULTILINE)


def test_the_licence_is_the_one_that_is_declared():
    assert PROJECT["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_ci_installs_and_tests_as_the_readme_says():
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert "pip install '.[demo]' && avkd demo" in readme
    assert "pip install '.[test]' && pytest" in readme
    assert "pip install --quiet '.[test]'" in ci
    assert "pytest --cov" in ci


def _read_pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.partition("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, _, version in pairs}
