"""The files of a run as they go to the Hub: nothing of the user's machine, no rows, no tokens."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from nlp_adapt.errors import ConfigError
from nlp_adapt.escaping import shareable
from nlp_adapt.names import ADAPTER_CONFIG
from nlp_adapt.reporting.card import PLACE_OF_MODEL, build_card, recipe_to_repeat
from nlp_adapt.reporting.card_metadata import looks_like_hub_id
from nlp_adapt.reporting.results import read_log, read_recipe, read_results

Content: TypeAlias = "Path | bytes"


def run_files(folder: Path, model: Path) -> dict[str, Content]:
    """What goes to the repository: path there -> local file, or content that others may see."""
    files: dict[str, Content] = {
        path.relative_to(model).as_posix(): _without_folder(path)
        for path in sorted(model.rglob("*"))
        if path.is_file()
    }
    for path in sorted((folder / "adaptation").glob("*.safetensors")):
        files[f"adaptation/{path.name}"] = path
    results = read_results(folder)
    for key in ("machine", "findings"):  # the user's own affair; findings name their files
        results.pop(key, None)
    text = json.dumps(shareable(results), indent=2, ensure_ascii=False) + "\n"
    files["adaptation/results.json"] = text.encode()
    if recipe := read_recipe(folder):
        files["adaptation/recipe.yaml"] = f"{recipe_to_repeat(recipe)}\n".encode()
    return files


@contextlib.contextmanager
def model_to_push(folder: Path, merge_lora: bool) -> Iterator[Path]:
    """The model of a run; with `merge_lora` a copy with its adapters merged in, and a card for it.

    Raises:
        ConfigError: If there is nothing to merge, or others could not open the adapters, whose base
            model is on this machine alone.
    """
    model = folder / "model"
    config = model / ADAPTER_CONFIG
    if not merge_lora:
        base = json.loads(config.read_text("utf-8")) if config.is_file() else None
        if base and not looks_like_hub_id(base["base_model_name_or_path"] or ""):
            raise ConfigError(
                f"{folder}: holds adapters on {read_results(folder)['model']}, which only this "
                "machine has, so nobody could open them from the Hub: add --merge_lora to push a "
                "plain model with the adapters merged in."
            )
        yield model
        return
    if not config.is_file():
        raise ConfigError(f"{folder}: holds no adapters to merge: leave out --merge_lora.")
    from nlp_adapt.modeling.tokenizers import save_tokenizer
    from nlp_adapt.prediction.opening import load_predictor

    predictor = load_predictor(folder, device="cpu")
    recipe = {**read_recipe(folder), "merge_lora": True}
    card = build_card(read_results(folder), recipe, lines=read_log(folder))
    with tempfile.TemporaryDirectory() as staged:
        copy = Path(staged)
        predictor.task_model.save_pretrained(copy)
        save_tokenizer(predictor.tokenizer, copy, predictor.max_length)
        (copy / "README.md").write_text(card, encoding="utf-8")
        yield copy


def is_replaced(name: str) -> bool:
    """Whether a file of an earlier push would be mistaken for a part of this one."""
    if "/" in name:
        return name.startswith("adaptation/")
    weights = name.endswith((".safetensors", ".safetensors.index.json"))
    return weights or name == ADAPTER_CONFIG


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
    text = card if isinstance(card, bytes) else card.read_bytes()
    return text.replace(f'"{PLACE_OF_MODEL}"'.encode(), f'"{repo_id}"'.encode())
