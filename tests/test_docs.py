"""What the documentation promises: its commands, options and links are there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from avkd.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
GROUP = typer.main.get_command(app)


def commands_of(page):
    """Every avkd command line in the code of a page, joined over line ends."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(avkd [^`]+)`", text)
    starts = [match for line in lines for match in re.findall(r"(?:^|&& )(avkd .*)", line)]
    return [shlex.split(start, comments=True)[1:] for start in starts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_of_a_page_exists(page):
    for words in commands_of(page):
        if not words or words[0].startswith("-"):
            continue
        assert words[0] in GROUP.commands, words
        options = {name for each in GROUP.commands[words[0]].params for name in each.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options | {"--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_readme_names_every_exit_code():
    from avkd import errors

    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AvkdError)
    }
    readme = (ROOT / "README.md").read_text("utf-8")
    assert all(re.search(rf"^\| {code} \|", readme, re.MULTILINE) for code in codes)


def test_some_commands_were_found():
    assert sum(len(commands_of(page)) for page in PAGES) > 20
