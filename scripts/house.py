"""Measures the house: lines, rooms, imports that run back up, circles, and files that a run enters.

python scripts/house.py            # figures, in a minute
python scripts/house.py --no-run   # without the training run, in a second
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "nlp_adapt"
# From the ground up: a room may import from itself and from the floors below it.
FLOORS = (
    (
        "errors",
        "escaping",
        "names",
        "launch",
        "files",
        "model_files",
        "yaml_text",
        "options",
        "usual_names",
    ),
    ("config_checks", "config_training", "training_arguments", "config"),
    ("recipe", "methods"),
    ("data", "metrics"),
    ("modeling", "tasks", "validators"),
    ("augmentation",),
    ("objectives",),
    ("prediction",),
    ("diagnosis",),
    ("reporting",),
    ("hub",),
    ("training",),
    ("reviewing", "comparing"),
    ("cli",),
)
CATALOGUES = frozenset({"objectives", "cli"})
MOST_FILES = 15
FEW_LINES = 10
MOST_LINES = 300
MOST_FUNCTION_LINES = 60
# Room for what is being built; taken back as the package shrinks.
MOST_LINES_IN_ALL = 40_100
# Of them 13 draw the report page at the end, which is read by every user and by no step.
MOST_ENTERED = 118


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(known: Mapping[str, Path]) -> dict[str, set[str]]:
    """Modules of the package that each module imports, at the top, in functions or for its types.

    The package itself is left out: it names everything public.
    """
    rooms = {name: path for name, path in known.items() if name != PACKAGE}
    return {name: set(_imported(path, rooms)) - {name} for name, path in rooms.items()}


def _imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def floor(module: str) -> int | None:
    """The floor that a module stands on; None for what names all others, such as the package."""
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 else ""
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def upward(graph: Mapping[str, set[str]]) -> list[str]:
    """Imports that run from a floor to a higher one."""
    found = []
    for name, targets in graph.items():
        for target in targets:
            here, there = floor(name), floor(target)
            if here is not None and there is not None and there > here:
                found.append(f"{name} -> {target}")
    return sorted(found)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, at any distance (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in graph[name]:
            if target not in order:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], order[target])
        if low[name] == order[name]:
            group = []
            while not group or group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in order:
            visit(name)
    return found


def crowded(known: Mapping[str, Path]) -> dict[str, int]:
    """Folders with more files than a reader takes in at a glance; catalogues may have more.

    Files of a few lines, which only point elsewhere, do not count.
    """
    counts = Counter(
        str(path.parent.relative_to(ROOT / PACKAGE))
        for path in known.values()
        if path.name != "__init__.py" and _length(path) > FEW_LINES
    )
    return {
        folder: count
        for folder, count in counts.items()
        if count > MOST_FILES and folder not in CATALOGUES
    }


def long_files(known: Mapping[str, Path]) -> dict[str, int]:
    """Files of more than 300 lines."""
    lengths = {name: _length(path) for name, path in known.items()}
    return {name: count for name, count in lengths.items() if count > MOST_LINES}


def _length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def long_functions(known: Mapping[str, Path]) -> dict[str, int]:
    """Functions of more than 60 lines."""
    found = {}
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MOST_FUNCTION_LINES:
                    found[f"{name}.{node.name}"] = length
    return found


def entered_by_a_run() -> tuple[list[str], int]:
    """Files of the package that a DANN run of 8 steps enters, and its pairs of caller and called."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--trace", folder]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        if run.returncode:
            raise SystemExit(run.stderr)
        found = json.loads((Path(folder) / "entered.json").read_text(encoding="utf-8"))
    return found["files"], found["pairs"]


def _trace(folder: Path) -> None:
    """Train from the command line in this process, and note which files call into which."""
    sys.path.insert(0, str(ROOT))
    from nlp_adapt.cli import main as command
    from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer

    model = folder / "model"
    tiny_model("bert").save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    for name, first in (("reviews", 30), ("tweets", 50)):
        rows = "".join(
            f"{WORDS[first + i % 7]} {WORDS[i % 2]} {WORDS[20 + i % 5]},{'no' if i % 2 else 'yes'}\n"
            for i in range(24)
        )
        (folder / f"{name}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    words = f"train --model {model} --source {folder}/reviews.csv --target {folder}/tweets.csv"
    options = "--method dann --max_steps 8 --per_device_train_batch_size 4 --data_doctor report"
    pairs: set[tuple[str, str]] = set()
    inside = f"{ROOT / PACKAGE}/"

    def note(frame: FrameType, event: str, _: object) -> None:
        # The bodies of modules and classes run on import, and are no calls.
        if event != "call" or frame.f_back is None or not frame.f_code.co_flags & CO_OPTIMIZED:
            return
        called, caller = frame.f_code.co_filename, frame.f_back.f_code.co_filename
        if called.startswith(inside):
            pairs.add((caller, called))

    sys.setprofile(note)
    code = command([*words.split(), *options.split(), "--output_dir", f"{folder}/run"])
    sys.setprofile(None)
    if code:
        raise SystemExit(f"the run ended with {code}")
    files = sorted({called.removeprefix(inside) for _, called in pairs})
    across = {pair for pair in pairs if pair[0].startswith(inside) and pair[0] != pair[1]}
    written = json.dumps({"files": files, "pairs": len(across)})
    (folder / "entered.json").write_text(written, encoding="utf-8")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-run", action="store_true", help="leave the training run out")
    parser.add_argument("--trace", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.trace is not None:
        _trace(args.trace)
        return
    known = modules()
    graph = imports(known)
    figures = {
        "lines": sum(map(_length, known.values())),
        "files": len(known),
        "circles": circles(graph),
        "imports that run back up": upward(graph),
        "crowded folders": crowded(known),
        "files of more than 300 lines": long_files(known),
        "functions of more than 60 lines": long_functions(known),
    }
    if not args.no_run:
        files, pairs = entered_by_a_run()
        figures["files that an 8-step dann run enters"] = len(files)
        figures["pairs of files that call each other in it"] = pairs
    for name, value in figures.items():
        print(f"{name}: {value if isinstance(value, int) else len(value)}")
        items = (
            value.items() if isinstance(value, dict) else value if isinstance(value, list) else ()
        )
        for item in items:
            print("  " + (f"{item[0]}: {item[1]}" if isinstance(item, tuple) else str(item)))


if __name__ == "__main__":
    main()
