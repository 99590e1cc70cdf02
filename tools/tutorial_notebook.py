"""Run the tutorial notebook without Jupyter, and keep what its cells show; a test runs it, too.

python tools/tutorial_notebook.py     writes docs/tutorials/notebook.ipynb with new outputs

As a hook of mkdocs it makes the page of the notebook, when the site is built.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tutorials" / "notebook.ipynb"
PAGE = "tutorials/notebook.md"
FORMS = {"_repr_html_": "text/html", "_repr_png_": "image/png"}
"""How an object shows itself, the best form first."""
COLOURS = 256
PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook with the outputs of its cells, run in order in a folder of their own."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for number, cell in enumerate(notebook["cells"], start=1):
            if cell["cell_type"] == "code":
                cell = {**cell, "execution_count": number, "outputs": _outputs("".join(cell["source"]), names, number)}
            cells.append(cell)
    return {**notebook, "cells": cells}


def _outputs(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run a cell; return what it prints and what its last expression shows."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(ast.Module(body, []), f"cell {number}", "exec"), names)
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names) if last else None
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
    if value is not None:
        shown = {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": _shown(value)}
        outputs.append(shown)
    return outputs


def _shown(value: object) -> dict[str, Any]:
    for method, form in FORMS.items():
        if hasattr(value, method):
            found = getattr(value, method)()
            if isinstance(found, bytes):
                return {form: base64.b64encode(_lighter(found)).decode()}
            return {form: [PICTURE.sub(_lighter_within, found)]}
    return {"text/plain": repr(value).splitlines(keepends=True)}


def _lighter(png: bytes) -> bytes:
    """Return a picture in a third of the space: with few colours."""
    from PIL import Image

    with io.BytesIO() as file:
        Image.open(io.BytesIO(png)).quantize(COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        return file.getvalue()


def _lighter_within(found: re.Match[str]) -> str:
    return "data:image/png;base64," + base64.b64encode(_lighter(base64.b64decode(found[1]))).decode()


# --- the page -------------------------------------------------------------------------------------------------------


def page_of(notebook: dict[str, Any]) -> str:
    """Return the notebook as Markdown: its text, its code, and what that shows."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts.append(f"```python\n{source}\n```")
            parts += (_as_markdown(output) for output in cell["outputs"])
    return "\n\n".join(parts) + "\n"


def _as_markdown(output: dict[str, Any]) -> str:
    data = output.get("data", {"text/plain": output.get("text", [])})
    if "image/png" in data:
        return f'<img alt="what the cell shows" src="data:image/png;base64,{data["image/png"]}">'
    if "text/html" in data:
        return f"<div>{''.join(data['text/html'])}</div>"
    return f"```text\n{''.join(data['text/plain'])}\n```"


def on_files(files: Any, config: Any) -> Any:
    """Add the page to the site, as mkdocs calls it."""
    from mkdocs.structure.files import File

    page = page_of(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    files.append(File.generated(config, PAGE, content=page))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to the notebook lead to its page, but for that by which the page itself offers it."""
    return markdown if page.file.src_uri == PAGE else markdown.replace("/notebook.ipynb)", "/notebook.md)")


def main() -> None:
    """Run the notebook and write it."""
    os.environ["COLUMNS"] = "100"
    notebook = run(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
