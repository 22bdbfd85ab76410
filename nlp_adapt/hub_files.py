"""The files of a run as they go to the Hub: nothing of the user's machine, no rows, no tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

from nlp_adapt.errors import RunError
from nlp_adapt.privacy import shareable

Content: TypeAlias = "Path | bytes"


def run_files(folder: Path) -> dict[str, Content]:
    """What goes to the repository: path there -> local file, or content that others may see.

    Raises:
        RunError: If the folder holds no finished run.
    """
    if not (folder / "model").is_dir() or not (folder / "results.json").is_file():
        raise RunError(f"{folder}: holds no finished run to push; train first.")
    model = folder / "model"
    files: dict[str, Content] = {
        path.relative_to(model).as_posix(): _without_folder(path)
        for path in sorted(model.rglob("*"))
        if path.is_file()
    }
    for path in sorted((folder / "adaptation").glob("*.safetensors")):
        files[f"adaptation/{path.name}"] = path
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for key in ("machine", "findings"):  # the user's own affair; findings may quote rows
        results.pop(key, None)
    text = json.dumps(shareable(results), indent=2, ensure_ascii=False) + "\n"
    files["adaptation/results.json"] = text.encode()
    if (folder / "recipe.yaml").is_file():
        from nlp_adapt.reporting.model_card import recipe_to_repeat

        files["adaptation/recipe.yaml"] = recipe_to_repeat(folder / "recipe.yaml").encode()
    return files


def is_replaced(name: str) -> bool:
    """Whether a file of an earlier push would be mistaken for a part of this one."""
    if "/" in name:
        return name.startswith("adaptation/")
    weights = name.endswith((".safetensors", ".safetensors.index.json"))
    return weights or name == "adapter_config.json"


def _without_folder(path: Path) -> Content:
    """A model's file; a configuration that names a folder of this machine loses the folder."""
    if path.suffix != ".json" or not path.name.endswith("config.json"):
        return path
    values = json.loads(path.read_text(encoding="utf-8"))
    shown = {
        key: shareable(value) if key.endswith("name_or_path") else value
        for key, value in values.items()
    }
    return path if shown == values else (json.dumps(shown, indent=2) + "\n").encode()


def name_in_card(card: Content, repo_id: str) -> bytes:
    """The card with the repository in its example."""
    from nlp_adapt.reporting.model_card import PLACE_OF_MODEL

    text = card if isinstance(card, bytes) else card.read_bytes()
    return text.replace(f'"{PLACE_OF_MODEL}"'.encode(), f'"{repo_id}"'.encode())
