"""The pages of the documentation as the tests see them: their code blocks, their links, and a place to run them in."""

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
GENERATED = re.compile(r"docs/reference/(command-line|recipes|generators/(?!index)\w+)\.md")

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.S | re.M)
_MARKER = re.compile(r"<!-- (not run|test): ([^>]*?) -->")


@dataclass(frozen=True)
class Block:
    """A code block of a page; `marker` is the comment that holds for it: (`not run` or `test`, why or which)."""

    page: str
    language: str
    text: str
    marker: tuple[str, str] | None

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of a shell block, comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = (shlex.split(line, comments=True) for line in lines)
        return [part for line in words if line for part in _parts(line)]


def _parts(words: list[str]) -> list[list[str]]:
    """Split a line at `&&`; the body of a loop is a command like others."""
    parts: list[list[str]] = [[]]
    for word in words[words[0] == "do" :]:
        parts.append([]) if word == "&&" else parts[-1].append(word)
    return parts


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Return a page's code blocks in order."""
    text, found = read(page), []
    for match in _FENCE.finditer(text):
        markers = [m for m in _MARKER.finditer(text, 0, match.start()) if _holds(m, text, match.start())]
        marker = (markers[-1][1], markers[-1][2]) if markers else None
        indent, language, body = match.groups()
        body = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        found.append(Block(page, language, body, marker))
    return found


def _holds(marker: re.Match, text: str, start: int) -> bool:
    """`not run` holds for the block right below it, `test` for all up to `test: end`."""
    if marker[2] == "end":
        return False
    between = text[marker.end() : start]
    return not between.strip() if marker[1] == "not run" else "<!-- test: end -->" not in between


def marked(page: str, name: str) -> list[Block]:
    """Return the blocks between `test: name` and `test: end`."""
    return [block for block in blocks(page) if block.marker == ("test", name)]


def links(page: str) -> list[str]:
    """Return the targets of a page's links and pictures, those in code left out."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", read(page)))
    return re.findall(r"\]\(([^()\s]+)\)", text)


def anchors(page: str) -> set[str]:
    """Return the names of a page's headings, as GitHub and mkdocs make them."""
    names = set()
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", read(page)), re.M):
        given = re.search(r"\{#([\w-]+)\}", heading)
        slug = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
        names.add(given[1] if given else re.sub(r"[\s-]+", "-", slug))
    return names


def smaller(words: list[str]) -> list[str]:
    """Return a command of anomgen made small: 16 rows, images of 64×64, two pictures a sheet; a score is planned."""
    command, rest = words[1], list(words[2:])
    if command == "make":
        rest = _with(rest, ("-n", "--count"), "16")
    if command == "preview" and "--rows" not in rest:
        rest += ["--rows", "2"]
    makes_images = command == "make" or (command == "preview" and "--source" in rest)
    if makes_images and "--size" not in rest:
        rest += ["--size", "64"]
    if command == "fit":
        rest = [*_with(rest, ("--size",), "32"), "--steps", "2", "--set", "detector.probe.batch_size=2"]
    if command == "score" and "--split" not in rest:
        rest = [*_with(rest, ("--size",), "32"), *(["--dry-run"] if "--dry-run" not in rest else [])]
    return [command, *rest]


def _with(words: list[str], options: tuple[str, ...], value: str) -> list[str]:
    """Set an option."""
    for option in options:
        if option in words:
            at = words.index(option)
            return [*words[: at + 1], value, *words[at + 2 :]]
    return [*words, options[0], value]


def clear_output(words: list[str], folder: Path) -> None:
    """Remove what an earlier page or the preparation left where a command of `make` or `export` writes.

    The same for `fit` and `inspect`.
    """
    if words[0] in ("make", "export", "fit", "inspect") and "-o" in words and not {"--resume", "--finish"} & set(words):
        shutil.rmtree(folder / words[words.index("-o") + 1], ignore_errors=True)


def redirected(words):
    """Return the words before `>` and the file after it."""
    return (words[: words.index(">")], words[words.index(">") + 1]) if ">" in words else (words, None)
