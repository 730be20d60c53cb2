"""The documentation as a site: pages are reachable, links lead somewhere, and nothing comes from elsewhere."""

import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
LOADING = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""The elements for which a browser sends a request, and the attribute that says where to."""
LOADED_LATER = ("mermaid", "glightbox", "pyodide")
"""Classes for which the theme's script loads a library from another server."""


def pages_in(navigation):
    for entry in navigation:
        for target in entry.values():
            yield from pages_in(target) if isinstance(target, list) else [target]


def linked_from(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    return {(page.parent / link).resolve() for link in links}


def test_the_navigation_lists_every_page_once():
    """A page that is added is added there, too."""
    configuration = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(pages_in(configuration["project"]["nav"])) == sorted(PAGES)


@pytest.mark.parametrize("contents", [ROOT / "README.md", DOCS / "index.md"], ids=lambda page: page.name)
def test_the_contents_lead_to_every_page(contents):
    """The tables of the README and of the site's first page, in which people look for their question."""
    assert {DOCS / page for page in PAGES - {"index.md"}} - linked_from(contents) == set()


class Html(HTMLParser):
    """What a page of the site loads, links to, and can be linked to by."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.ids, self.classes = set(), set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        self.classes |= set((given.get("class") or "").split())
        if (url := given.get(LOADING.get(tag))) is not None:
            self.loads.add(url)
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build it strictly, which refuses links to pages and headings that do not exist; return its pages by path."""
    if find_spec("zensical") is None:
        pytest.skip("zensical is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(DOCS, folder / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Html(path.read_text(encoding="utf-8")) for path in (folder / "site").rglob("*.html")}


def is_elsewhere(url):
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def test_a_page_is_built_from_each_source(site):
    """And the page that says that there is none."""
    assert len(site) == len(PAGES) + 1


def test_nothing_is_loaded_from_another_server(site):
    """No font, script, style or picture."""
    assert {(path.name, url) for path, page in site.items() for url in page.loads if is_elsewhere(url)} == set()
    assert {name for page in site.values() for name in LOADED_LATER if name in page.classes} == set()


def test_what_pages_load_and_link_to_is_there(site):
    """Files, pages and headings of the site."""
    root = min(site, key=lambda path: len(path.parts)).parent
    missing = []
    for path, page in site.items():
        if path.name == "404.html":  # it is served for any path, so its links begin at the root of a server
            continue
        for url in page.loads | page.links:
            target, heading = unquote(urlsplit(url).path), urlsplit(url).fragment
            if is_elsewhere(url):
                continue
            file = (path.parent / target).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_relative_to(root) or not file.is_file() or (heading and heading not in site[file].ids):
                missing.append(f"{path.relative_to(root)} links to {url}")
    assert missing == []
