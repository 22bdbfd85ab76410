"""Teachers of `distilled_from_ENCODER`: source-only models of a larger encoder, each trained once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark_runs import code_hash
from filelock import FileLock
from methods_table import DISTILLED

from nlp_adapt import AdaptationTrainer, Domain, load_recipe

# What the table of the large encoder trains with, as far as it changes a model.
LARGE = {"max_source_rows": 1500, "num_train_epochs": 2, "learning_rate": 2e-5}


def teacher_of(
    method: str, folder: Path, recipe: Path, suite: Mapping[str, Any], source: Domain, seed: int
) -> str:
    """The folder of the teacher of a method, trained now where `folder` does not hold it yet."""
    encoder = method.removeprefix(DISTILLED)
    kept = folder / f"{encoder.replace('/', '_')}.{source.name}.{seed}.{code_hash()}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{kept}.lock"):  # shards may want the same one
        if not (kept / "config.json").is_file():
            model = encoder if "/" in encoder else f"builtin:{encoder}"
            own = {"model": model, "seed": seed, "output_dir": str(kept / "run")}
            always = {"compare_source_only": False, "disable_tqdm": True, "overwrite": True}
            settings = load_recipe(recipe, {**suite, **LARGE, **own, **always})
            trainer = AdaptationTrainer(settings.model, settings.adaptation_config(), source)
            trainer.train()
            trainer.save_model(kept)
    return str(kept)
