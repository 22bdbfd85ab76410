"""Runs the notebooks of the documentation and stores what their cells show.

python scripts/notebooks.py            # all of them, in docs/notebooks
python scripts/notebooks.py tagger     # one of them
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"


def read(path: Path) -> dict[str, Any]:
    """A notebook, in the format of Jupyter."""
    return json.loads(path.read_text(encoding="utf-8"))


def run(notebook: dict[str, Any], change: Callable[[str], str] = str) -> Iterator[list[Any]]:
    """Run the code cells in turn, in the folder at hand, and give the outputs of each.

    Args:
        change: What becomes of a cell's text first, such as other names of files.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in code_cells(notebook):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = _run_cell(change("".join(cell["source"])), names)
        outputs = []
        if text := printed.getvalue():
            outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(text)})
        if value is not None:
            outputs.append(_result(value))
        yield outputs


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that are run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _run_cell(text: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line where that is an expression."""
    tree = ast.parse(text)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def _result(value: Any) -> dict[str, Any]:
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    data = {"text/plain": _lines(str(value) if html else repr(value))}
    if html:
        data["text/html"] = _lines(html)
    return {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data}


def _lines(text: str) -> list[str]:
    return text.rstrip("\n").splitlines(keepends=True)


def main() -> None:
    """Run all notebooks, each in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="*", help="of a notebook; all if none")
    args = parser.parse_args()
    for path in sorted(FOLDER.glob(f"{args.name}.ipynb")):
        notebook = read(path)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            cells = code_cells(notebook)
            for number, (cell, outputs) in enumerate(zip(cells, run(notebook), strict=True), 1):
                cell["outputs"], cell["execution_count"] = outputs, number
                for output in outputs:
                    if "execution_count" in output:
                        output["execution_count"] = number
            os.chdir(FOLDER)
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        print(f"{path.name}: {len(cells)} cells ran")


if __name__ == "__main__":
    main()
