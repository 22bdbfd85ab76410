"""What commands write: results on stdout, everything else on stderr."""

import argparse
import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

# Read by the libraries when they are imported, which happens only after a command has started.
_QUIET_ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


@contextlib.contextmanager
def quiet_libraries(debug: bool) -> Iterator[None]:
    """Silence the bars and warnings of the libraries underneath, unless `debug`.

    Variables that the user has set are left alone.
    """
    if debug:
        yield
        return
    for name, value in _QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # For libraries that are imported already, the environment comes too late.
        for name in {"transformers", "datasets", "huggingface_hub"} & set(sys.modules):
            logging.getLogger(name).setLevel(logging.ERROR)
        if transformers := sys.modules.get("transformers"):
            transformers.utils.logging.disable_progress_bar()
        yield


@contextlib.contextmanager
def stdout_for_results(json_only: bool) -> Iterator[None]:
    """Send all other output to stderr where a program reads stdout."""
    with contextlib.redirect_stdout(sys.stderr) if json_only else contextlib.nullcontext():
        yield


def show(args: argparse.Namespace, value: Any, words: Callable[[Any], str]) -> None:
    """Print a result: as one JSON object with `--json`, else in `words`."""
    print(json.dumps(value, ensure_ascii=False, indent=2) if args.json else words(value))


def note(message: str) -> None:
    """Tell the user something that is not a result."""
    print(message, file=sys.stderr)
