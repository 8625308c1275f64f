"""What the documents say of each other and of the code: links, anchors, and the numbers that code cites."""

import os
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from shared.contract.codes import Code

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"")
_HEADING = re.compile(r"#{1,6} (.+)")
_READ = {".css", ".html", ".js", ".md", ".py", ".toml", ".yaml", ".yml"}
_OTHERS = {"axe.js"}


def files() -> Iterator[Path]:
    """The repository's own texts: code and documents, apart from what is hidden or others'."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name for name in folders if not name.startswith((".", "_")) and name not in {"node_modules", "vendor"}
        ]
        for file in (Path(folder, name) for name in names if name not in _OTHERS):
            if (file.suffix in _READ or file.name in {"Dockerfile", "Makefile"}) and file != Path(__file__):
                yield file


@cache
def sources() -> dict[str, str]:
    """What stands in them, by path."""
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files()}


DOCUMENTS = sorted(str(file.relative_to(ROOT)) for file in files() if file.suffix == ".md")


def prose(text: str) -> Iterator[str]:
    """The lines of a document outside of its code blocks."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield line


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for line in prose(text):
        if heading := _HEADING.fullmatch(line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = "".join(c for c in words if c in " -_" or unicodedata.category(c)[0] in "LNM").replace(" ", "-")
            same = sum(1 for one in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", one))
            found.add(f"{slug}-{same}" if same else slug)
    return found


def broken_links(file: Path) -> Iterator[str]:
    for line in prose(file.read_text(encoding="utf-8")):
        for in_markdown, in_html in _LINK.findall(line):
            target = in_markdown or in_html
            path, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            linked = (file.parent / path).resolve() if path else file
            exists = linked.exists() and linked.is_relative_to(ROOT)
            if not exists or (anchor and anchor not in anchors(linked.read_text(encoding="utf-8"))):
                yield target


@pytest.mark.parametrize("file", DOCUMENTS)
def test_what_a_document_links_to_is_there(file: str) -> None:
    assert list(broken_links(ROOT / file)) == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def test_each_rule_that_is_cited_stands_in_the_domain() -> None:
    rules = set(re.findall(r"^### (\d+)\. ", (ROOT / "docs" / "domain.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert rules == {str(n) for n in range(1, 24)}
    cited = re.compile(r"[Dd]omain rules? ((?:\d+(?:–|, | and | to )?)+)")
    for file, text in sources().items():
        for numbers in cited.findall(text):
            assert set(re.findall(r"\d+", numbers)) <= rules, file


@pytest.mark.parametrize("document", ["docs/domain.md", "docs/partner/reference/outcomes.md"])
def test_each_reason_for_a_refusal_is_explained(document: str) -> None:
    assert [code for code in Code if f"`{code}`" not in sources()[document]] == []


def test_each_decision_that_is_cited_is_kept_and_listed() -> None:
    decisions = ROOT / "docs" / "decisions"
    kept = {int(file.name[:4]) for file in decisions.glob("0*.md")}
    listed = (decisions / "README.md").read_text(encoding="utf-8")
    assert {int(number) for number in re.findall(r"\]\((\d{4})-", listed)} == kept
    for file, text in sources().items():
        for number in re.findall(r"\b[Dd]ecisions? (\d+)", text):
            assert int(number) in kept, file


def test_nothing_is_said_to_stand_elsewhere() -> None:
    """The rules, the contract and the architecture are in this repository."""
    for file, text in sources().items():
        assert not re.search(r"\bthe design\b|[Dd]esign(?: document)? (?:says|is|was)|\.\./shared/design", text), file
