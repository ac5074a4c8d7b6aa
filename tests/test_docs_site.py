"""The documentation as it is built: no warning, no dead link, nothing asked of another machine.

In a browser, where there is one: no page is wider than a phone, and none is hard to read or to use.
"""

import importlib.util
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import AXE, CHROMIUM, NO_AXE, browser

import losiko_torch
from losiko_torch.cli.faces import read_faces

ROOT = Path(__file__).parent.parent
#: Attributes by which an element of a page asks for a file when it is opened.
FETCHED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "embed": "src",
    "use": "href",
}
THEMES = {"light": False, "dark": True}
#: What axe-core finds: rules, and the first elements of the page that break each.
JUDGED = """axe.run(document, {resultTypes: ["violations"], preload: false}).then(
    done => done.violations.map(each =>
        [each.id, each.nodes.slice(0, 5).map(node => node.target.join(" "))]))"""

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(each) is None for each in ("sphinx", "myst_nb", "furo")),
    reason="Sphinx, myst-nb or furo is not installed (extra [docs])",
)


@dataclass
class Seen:
    """What a browser finds on all pages."""

    widths: dict = field(default_factory=dict)
    violations: dict = field(default_factory=lambda: defaultdict(list))
    requests: list = field(default_factory=list)
    complaints: list = field(default_factory=list)


class Page(HTMLParser):
    """What a page names and what it asks for."""

    def __init__(self, path):
        super().__init__()
        self.path, self.ids, self.links, self.fetched, self.pictures = path, set(), [], [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "img":
            self.pictures.append(given)
        if tag in FETCHED and given.get(FETCHED[tag]) and given.get("rel") not in FOLLOWED:
            self.fetched.append(given[FETCHED[tag]])
        if given.get("srcset"):
            self.fetched += [each.split()[0] for each in given["srcset"].split(",")]
        self.fetched += re.findall(r"url\(([^)]+)\)", given.get("style") or "")


#: Links of a page's head that nothing is loaded for.
FOLLOWED = ("canonical", "next", "prev", "index", "search", "author", "copyright")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built pages; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "html")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert not done.stderr.strip()
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site):
    found = {path: Page(path) for path in site.rglob("*.html")}
    assert len(found) >= 45
    return found


def test_links_and_their_anchors_lead_somewhere(site, pages):
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            known = pages[target].ids | {""} if target in pages else {""}
            if not target.exists() or anchor not in known:
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_nothing_is_asked_of_another_machine(site, pages):
    for path, page in pages.items():
        assert page.fetched, path
        for address in page.fetched:
            assert not re.match(r"\W*(https?:)?//", address), f"{path}: {address}"
    for path in site.rglob("*.css"):
        text = path.read_text()
        assert not re.search(r"(url\(|@import)\W*(https?:)?//", text), path
    missing = [
        f"{path}: {address}"
        for path, page in pages.items()
        for address in page.fetched
        if not address.startswith(("data:", "#"))
        and not (path.parent / unquote(urlsplit(address).path)).exists()
    ]
    assert not missing


def test_pictures_say_what_they_show(pages):
    for path, page in pages.items():
        if path.parent.name != "gathered":  # those of notebooks are told about in their text
            assert all(picture.get("alt") for picture in page.pictures), path


def test_notebooks_are_shown_with_their_output(site, pages):
    for notebook in ROOT.glob("notebooks/*.ipynb"):
        page = pages[site / "gathered" / f"{notebook.stem}.html"]
        assert any("_images" in each for each in page.fetched), notebook.name


def reference():
    """Return the sections of the pages of the reference, by page and title."""
    found = {}
    for path in ROOT.glob("docs/reference/*.md"):
        for part in re.split(r"^## ", path.read_text(), flags=re.MULTILINE)[1:]:
            title, _, text = part.partition("\n")
            found[path.name, title.replace("\\", "")] = text
    return found


def test_every_public_name_is_on_a_reference_page_with_an_example(pages):
    ids = set().union(*(page.ids for path, page in pages.items() if "reference" in path.parts))
    sections = {title: text for (_, title), text in reference().items()}
    for name in losiko_torch.__all__:
        assert f"losiko_torch.{name}" in ids, name
        text = sections[name]
        assert re.search(rf"^\.\. auto\w+:: losiko_torch\.{name}$", text, re.MULTILINE), name
        examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert any(re.search(rf"\b{name}\b", example) for example in examples), name


def test_every_option_is_on_the_page_of_the_command_line(site):
    text = re.sub(r"<[^>]+>", "", (site / "gathered" / "command_line.html").read_text())
    for command, face in read_faces().items():
        assert f"losiko {command}" in text
        for entry in face["parameters"]:
            for name in entry["names"]:
                for each in name.split("/"):
                    if each.startswith("--"):
                        assert each in text, f"{command} {each}"


@pytest.fixture(scope="module")
def seen(site, pages):
    """What a browser finds on each page: its width on a phone, and axe's complaints by theme."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    script = AXE.read_text() if AXE.exists() else None
    found = Seen()
    with browser() as tab:
        for path in pages:
            name = str(path.relative_to(site))
            tab.size(390, 900)
            tab.open(path)
            found.widths[name] = tab.run("document.scrollingElement.scrollWidth")
            if script is None:
                continue
            tab.run(script)
            for theme, dark in THEMES.items():
                tab.size(1440, 900, dark)
                for rule, nodes in tab.run(JUDGED):
                    found.violations[theme].append((rule, name, nodes))
        found.requests, found.complaints = list(tab.requests), list(tab.complaints)
    return found


def test_no_page_is_wider_than_a_phone(seen, pages):
    assert len(seen.widths) == len(pages)
    assert {name: width for name, width in seen.widths.items() if width > 390} == {}


def test_opening_pages_asks_for_nothing_and_ends_in_no_error(seen):
    own = ("file:", "data:", "about:", "blob:")
    assert seen.requests
    assert [each for each in seen.requests if not each.startswith(own)] == []
    assert seen.complaints == []


@pytest.mark.parametrize("theme", THEMES)
def test_pages_can_be_read_and_used_by_all(theme, seen):
    if not AXE.exists():
        pytest.skip(NO_AXE)
    assert seen.violations[theme] == []
