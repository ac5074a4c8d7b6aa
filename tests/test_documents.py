"""The Python of README, CONTRIBUTING and docs/dscribe.md runs as it stands, block by block."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{name} {number}")
    for name in ("README.md", "CONTRIBUTING.md", "docs/dscribe.md")
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), flags=re.DOTALL)
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_block_runs(block, tmp_path, monkeypatch):
    if "import torch_sim" in block:
        pytest.importorskip("torch_sim", reason="TorchSim is not installed (extra [torchsim])")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "a block of a document", "exec"), {"__name__": "document"})


def test_there_are_blocks():
    names = [block.id.split()[0] for block in BLOCKS]
    assert names.count("README.md") >= 3
    assert names.count("CONTRIBUTING.md") >= 5
    assert names.count("docs/dscribe.md") == 3


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", *DOCS])
def test_links_within_the_repository_lead_somewhere(name):
    path = ROOT / name
    links = re.findall(r"\]\(([^)#]+)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing


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
