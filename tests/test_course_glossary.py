"""Every word of the glossary is linked where the course mentions it first, and nowhere else."""

from __future__ import annotations

import re
from typing import NamedTuple

import course

from labsched.lab.exercises.copies import COPY

GLOSSARY = (course.ROOT / "docs" / "glossary.md").read_text()
ROWS = re.findall(r'^\| <a id="(.+?)"></a>\*\*(.+?)\*\* \| (.+) \|$', GLOSSARY, re.MULTILINE)
# Where the word in the glossary is not the only form of it, or an everyday word looks the same.
FORMS = {
    "at-least-once": r"at[- ]least[- ]once",
    "claim": r"claims?",
    "consumer-group": r"(?:consumer )?groups?",
    "state": r"(?<!labsched )states?",
}
LINK = re.compile(r"\[([^\]]+)\]\(\.\./docs/glossary\.md#([a-z-]+)\)")


class Mention(NamedTuple):
    number: str  # of the notebook
    cell: str
    start: int
    end: int


def form(id: str, words: str) -> re.Pattern[str]:
    """How the course says it: any of the row's words, in the singular or plural, or as a verb."""
    plain = "|".join(rf"{re.escape(word)}(?:s|es|d|ed)?" for word in words.split(", "))
    return re.compile(rf"\b(?:{FORMS.get(id, plain)})\b".replace(r"\ ", r"\s+"), re.IGNORECASE)


def prose(source: str) -> str:
    """A markdown cell in which all else is blank: code, headings, hints, which nobody has to open, and addresses."""
    for what in (
        r"<details>.*?</details>", r"```.*?```", r"`[^`]*`", r"^#.*?$", r"\]\([^)]*\)", r"<[^>]*>"
    ):  # fmt: skip
        source = re.sub(what, lambda m: " " * len(m[0]), source, flags=re.DOTALL | re.MULTILINE)
    return source


def first(id: str, words: str) -> Mention | None:
    for number in sorted(course.NOTEBOOKS):
        for cell in course.notebook(number).cells:
            if cell.cell_type == "markdown" and (found := form(id, words).search(prose(cell.source))):
                return Mention(number, cell.id, found.start(), found.end())
    return None


def links() -> dict[str, list[Mention]]:
    """Every link into the glossary, by the anchor that it leads to; where its text begins and ends."""
    found: dict[str, list[Mention]] = {}
    for number in sorted(course.NOTEBOOKS):
        for cell in course.notebook(number).cells:
            for link in LINK.finditer(cell.source if cell.cell_type == "markdown" else ""):
                found.setdefault(link[2], []).append(Mention(number, cell.id, *link.span(1)))
    return found


def test_every_word_that_the_course_uses_is_linked_once_where_it_is_used_first():
    used = {id: mention for id, words, _ in ROWS if (mention := first(id, words))}
    assert len(used) > 50
    assert links() == {id: [mention] for id, mention in used.items()}


def test_the_glossary_names_the_notebook_that_links_a_word():
    for id, words, meaning in ROWS:
        said = re.findall(r"\b\d\d\b", " ".join(re.findall(r"\(([^()]*)\)", meaning)))
        assert said, words
        assert id not in links() or min(said) == links()[id][0].number, words


def test_an_anchor_is_its_word_and_there_is_one_of_each():
    ids = [id for id, _, _ in ROWS]
    assert len(ROWS) == GLOSSARY.count("\n| ") - 1 and len(set(ids)) == len(ids)  # all rows but the head
    assert ids == [re.sub("[^a-z]+", "-", words.split(", ")[0].lower()) for _, words, _ in ROWS]


def test_its_words_are_in_order():
    words = [words for _, words, _ in ROWS]
    assert words == sorted(words, key=str.lower)


def test_a_learners_copy_lies_beside_the_notebooks_so_that_its_links_lead_there_too():
    assert len(COPY.parts) == 1
