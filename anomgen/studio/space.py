"""What a Space of Hugging Face needs to show the studio to everybody: its Dockerfile, its card, this very anomgen."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

from anomgen.cards import as_yaml
from anomgen.errors import UsageError
from anomgen.files import refuse_taken, writing
from anomgen.places import bundled, home, local

PORT = 7860
"""Where the Hub expects a Space."""
PHOTOS = "photos"

DOCKERFILE = f"""\
FROM python:3.12-slim
RUN useradd --create-home --uid 1000 user
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .
USER user
ENV HOME=/home/user PYTHONUNBUFFERED=1
EXPOSE {PORT}
CMD anomgen studio {PHOTOS} -o /tmp/anomgen-out --host 0.0.0.0 --port {PORT} --public "$SPACE_HOST" --no-browser
"""

PYPROJECT = """\
[project]
name = "anomgen"
version = "{version}"
requires-python = ">=3.11"

[project.scripts]
anomgen = "anomgen.__main__:main"

[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["anomgen"]
"""

CARD = """\
---
{front}
---

# anomgen studio

Synthetic anomalies with exact masks, on pictures, in the browser. Everybody who opens this Space uses the same studio:
what one makes the others see, and what is made is gone when the Space restarts.

The pictures are those in the folder `photos`. Put your own there, only what everybody may see.
"""


def write_space(folder: str | Path, photos: str | None = None) -> list[Path]:
    """Write the files of a Space into a folder, which is new or empty; return the folder's entries.

    photos: a folder of images that everybody may see; by default some of the built-in texture. Raises UsageError for a
    folder that holds anything, and for links among the images, AnomgenError when it cannot be written.
    """
    out = local(folder)
    refuse_taken(out, "give a new folder with --space", leftovers=(".git",))
    pictures = None if photos is None else home(photos)
    if pictures is not None and not pictures.is_dir():
        raise UsageError(f"{photos}: a Space shows a folder of images; copy them into one")
    links = [] if pictures is None else [path for path in sorted(pictures.rglob("*")) if path.is_symlink()]
    if links:
        raise UsageError(f"{links[0]}: is a link; a Space shows files of the folder itself: put a copy in its place")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        front = {
            "title": "anomgen studio",
            "emoji": "🔍",
            "colorFrom": "pink",
            "colorTo": "gray",
            "sdk": "docker",
            "app_port": PORT,
            "pinned": False,
        }
        (out / "README.md").write_text(CARD.format(front=as_yaml(front)), encoding="utf-8")
        (out / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
        (out / "requirements.txt").write_text("\n".join(requirements()) + "\n", encoding="utf-8")
        (out / "pyproject.toml").write_text(PYPROJECT.format(version=metadata.version("anomgen")), encoding="utf-8")
        _copy_package(out / "anomgen")
        if pictures is None:
            _write_textures(out / PHOTOS)
        else:
            shutil.copytree(pictures, out / PHOTOS)
    return sorted(out.iterdir())


def requirements() -> list[str]:
    """Return what anomgen and the extra `studio` need, as this version declares it, in alphabetical order."""
    project = Path(str(resources.files("anomgen"))).parent / "pyproject.toml"
    if project.is_file():
        declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        return sorted([*declared["dependencies"], *declared["optional-dependencies"]["studio"]])
    return sorted(_installed())


def _installed() -> Iterator[str]:
    for line in metadata.requires("anomgen") or ():
        requirement, _, marker = line.partition(";")
        if "extra" not in marker or marker.replace('"', "'").strip() == "extra == 'studio'":
            yield requirement.strip()


def _copy_package(out: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "recipes", "templates")
    shutil.copytree(str(resources.files("anomgen")), out, ignore=ignored)
    for name, there in (("recipes", "recipes"), ("templates", "cards")):
        shutil.copytree(bundled(name, there), out / name)


def _write_textures(folder: Path) -> None:
    from anomgen.dataset.png import encode_png
    from anomgen.sources.builtin import Builtin

    folder.mkdir()
    source = Builtin(count=8, size=256).open()
    for index in range(len(source)):
        (folder / f"{index}.png").write_bytes(encode_png(source[index]))
