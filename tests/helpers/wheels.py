"""The package as users get it: a wheel, made of a copy of the sources and unpacked elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


def build_wheel(folder: Path) -> Path:
    """The wheel of the sources as they are, without what earlier builds have left beside them."""
    tree = folder / "tree"
    tree.mkdir()
    for name in SOURCES:
        shutil.copy(ROOT / name, tree)
    for name in ("nlp_adapt", "recipes"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, tree)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> None:
    """Unpack a wheel into a folder; its dependencies are those of this environment."""
    pip("install", "--no-deps", "--no-index", "--target", folder, wheel)


def pip(*words: object) -> None:
    """Run pip, which must succeed."""
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def run_installed(folder: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with what is unpacked in `folder`, from a directory outside of the repository."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
