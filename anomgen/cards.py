"""Cards: their templates, front matter and the papers that they cite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from anomgen.config.text import MAX_CARD, decoded, front_matter, write_yaml
from anomgen.errors import UsageError, printable
from anomgen.licenses import known
from anomgen.places import bundled, read_within
from anomgen.registry import load

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment


TAGS = ("anomaly-detection", "synthetic", "defect-detection", "anomgen")


def papers_of(kinds: Iterable[str]) -> list[str]:
    """Return the papers that generators implement, each once; a generator that is not installed has none here."""
    found = []
    for kind in kinds:
        with suppress(UsageError):
            found.append(load("generators", kind).paper)
    return [paper for paper in dict.fromkeys(found) if paper]


PAPER = re.compile(
    r"(?P<authors>[^:\n]+): (?P<title>.+), (?P<venue>[^,\n]+,? (?P<year>\d{4})), "
    r"\[arXiv (?P<id>[\w.]+)\]\((?P<url>[^)\s]+)\)"
)
"""A paper as `Generator.paper` has it."""


def bibtex_of(papers: Iterable[str]) -> list[str]:
    """Return papers as BibTeX; one that is written otherwise than ours are has no entry."""
    return [_entry(found) for paper in papers if (found := PAPER.fullmatch(paper))]


def _entry(paper: re.Match[str]) -> str:
    authors = [f"{{{name}}}" if " " in name else name for name in paper["authors"].split(", ")]
    first = re.sub(r"\W", "", authors[0]).lower()
    fields = {
        "title": f"{{{paper['title']}}}",
        "author": " and ".join(authors),
        "howpublished": paper["venue"],
        "year": paper["year"],
        "eprint": paper["id"],
        "archivePrefix": "arXiv",
        "url": paper["url"],
    }
    lines = "".join(f"  {key} = {{{value}}},\n" for key, value in fields.items())
    return f"@misc{{{first}{paper['year']},\n{lines}}}"


def render_template(name: str, front: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Return a template of the folder `cards` filled in, what would steer a terminal written out.

    front: the Hub's metadata, written as YAML.
    """
    template = templates(bundled("templates", "cards")).get_template(name)
    filled = printable(template.render({**values, "front_matter": as_yaml(front)}))
    return filled.rstrip("\n") + "\n"


def templates(folder: Path, autoescape: bool = False) -> Environment:
    """Return the templates of a folder; autoescape: for HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = as_code
    return environment


def as_yaml(values: Any, *, width: int = 100, flow: bool | None = False) -> str:
    """Return values as YAML, in their order, without the last line's end; see `write_yaml`.

    Note: `huggingface_hub` reads front matter (`Card.parse`) but does not write it: the core makes cards without it,
    and what `DatasetCardData` writes lacks null values, folds lines anew, and has text like `1e3` without quotes.
    """
    return write_yaml(values, width=width, flow=flow).rstrip("\n")


def as_code(text: Any) -> str:
    """Return text as Markdown code; a backtick or line break in it would end the code."""
    return "`" + str(text).replace("`", "'").replace("\n", " ").replace("|", "¦") + "`"


TAG = "anomgen"
"""The tag in a card's metadata that marks a repository as one that anomgen has pushed to."""


class Card(NamedTuple):
    """A README.md: the metadata in its first lines, and the text below."""

    data: dict[str, Any]
    text: str

    @classmethod
    def read(cls, folder: Path) -> Card | None:
        """Return the card in a folder, None where there is none. Raises UsageError where it is damaged."""
        file = folder / "README.md"
        try:
            return cls.parse(decoded(read_within(file, MAX_CARD)), str(file))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UsageError(f"{file}: {error}") from None
        except OSError as error:
            raise UsageError(f"{file}: cannot be read ({error.strerror or error})") from None

    @classmethod
    def parse(cls, content: str, where: str) -> Card:
        """Return the parts of a card, as the Hub tells them apart.

        Raises UsageError, which names `where`, when the metadata is no YAML mapping.
        """
        from huggingface_hub import DatasetCard

        if not content.lstrip().startswith("---"):  # of which DatasetCard would warn
            return cls({}, content)
        try:
            names = front_matter(content) or ()  # strictly, before a library reads it
            card = DatasetCard(content)
        except yaml.YAMLError as error:
            raise UsageError(f"{where}: the metadata in its first lines is not valid YAML ({error}); mend it") from None
        except (TypeError, ValueError):
            raise UsageError(f"{where}: the metadata in its first lines is no mapping; mend it") from None
        fields: Any = card.data
        values = {**vars(fields), **fields.to_dict()}  # all that it knows, and the Hub's spelling of them
        return cls({name: values[name] for name in names}, card.text)

    def render(self) -> str:
        """Return the card as it is stored."""
        return f"---\n{as_yaml(self.data)}\n---\n\n{self.text.strip()}\n"

    @property
    def is_ours(self) -> bool:
        """Return whether anomgen has pushed to the repository before."""
        return TAG in listed(self.data.get("tags"))

    @property
    def licenses(self) -> list[str]:
        """Return the licences that the metadata names."""
        return [name for entry in listed(self.data.get("license")) if (name := known(entry))]

    @property
    def configs(self) -> list[str]:
        """Return the names of the configurations that the metadata lists."""
        return [name_of(entry) for entry in entries_of(self.data.get("configs"))]


def listed(value: Any) -> list[str]:
    """Return a metadata value that may be missing, one, or several, as a list."""
    if value is None:
        return []
    return [str(entry) for entry in value] if isinstance(value, list | tuple) else [str(value)]


def name_of(entry: Mapping[str, Any]) -> str:
    """Return the name of the configuration that an entry of `configs` or `dataset_info` is about."""
    return str(entry.get("config_name", "default"))


def entries_of(value: Any) -> list[dict[str, Any]]:
    """Return the entries of `configs` or `dataset_info`, which may be a mapping when there is only one."""
    entries = [value] if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [entry for entry in entries if isinstance(entry, dict)]
