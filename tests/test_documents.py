"""What README, CONTRIBUTING and docs/ show runs as it stands; their links lead somewhere.

A command that is left out says why in its line ("# needs a GPU", "# takes 20 minutes").
"""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from document_blocks import (
    SHELL,
    blocks,
    commands,
    run_command,
    run_page,
    skip_without_extras,
    write_inputs,
    written_by,
)

ROOT = Path(__file__).parent.parent
MADE = ROOT / "docs" / "gathered"
PAGES = [path for path in sorted(ROOT.glob("docs/**/*.md")) if MADE not in path.parents]
DOCS = [path.relative_to(ROOT).as_posix() for path in PAGES]
TEXTS = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", *DOCS)}
RUN = [
    name for name, text in TEXTS.items() if {"python", *SHELL} & {b.language for b in blocks(text)}
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Files that pages take for the reader's own, with databases built as the pages say."""
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_command("losiko build good.extxyz -o mine.losiko", folder)
        run_command("losiko build mp-Si-O.extxyz -o si-o.losiko", folder)
    return folder


@pytest.mark.parametrize("name", RUN)
def test_what_a_page_shows_runs(name, inputs, tmp_path, monkeypatch):
    text = TEXTS[name]
    skip_without_extras(text)
    made = written_by(text)
    for path in inputs.iterdir():
        if path.is_file() and path.name not in made:
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    run_page(name, text, tmp_path)


def test_there_are_blocks():
    shown = {name: [block.language for block in blocks(text)] for name, text in TEXTS.items()}
    assert shown["README.md"].count("python") >= 1
    assert shown["CONTRIBUTING.md"].count("python") >= 5
    assert shown["docs/dscribe.md"].count("python") == 3
    assert sum(each.count("python") for each in shown.values()) >= 70
    run = [
        line
        for text in TEXTS.values()
        for b in blocks(text)
        if b.language in SHELL
        for line in commands(b)
    ]
    assert len(run) >= 20


def test_every_block_has_a_language():
    """One without would be shown, and not run."""
    known = {"python", *SHELL, "text", "toml", "{toctree}", "{eval-rst}", "{include}"}
    for name, text in TEXTS.items():
        for block in blocks(text):
            assert block.language in known, f"{name}, line {block.line}: {block.language!r}"


def test_readme_is_a_first_page():
    assert len(TEXTS["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", *DOCS])
def test_links_within_the_repository_lead_somewhere(name):
    path = ROOT / name
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text())
    missing = [link for link in links if "://" not in link and not leads(path, link)]
    assert not missing


def leads(path, link):
    """Return whether a link leads to a file; notebooks are gathered from another folder."""
    target = path.parent / link
    return target.exists() or (target.parent.name == "gathered" and gathered(target.name))


def gathered(name):
    return name == "command_line.md" or (ROOT / "notebooks" / name).exists()


def test_pictures_of_the_readme_show_wherever_it_is_read():
    """A package index shows README alone: pictures have addresses, of files that are here."""
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    source = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]
    raw = source.replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
    assert pictures
    for address in pictures:
        assert address.startswith(raw)
        assert (ROOT / address.removeprefix(raw)).is_file()


def test_the_glossary_explains_each_word_once():
    rows = re.findall(r"^\| ([^|]+?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    words = [row for row in rows if row not in ("word", "---")]
    assert len(words) >= 25
    assert len(set(words)) == len(words)
    assert words == sorted(words, key=str.lower)
