"""Print versions and machine, to be pasted into a bug report. It holds no names and no paths."""

import argparse
import os
import platform
import re
from typing import Any

from nlp_adapt.cli import console

HELP = "print versions and machine for a bug report"
PACKAGE = "nlp-adapt"
# Names of variables that change what a run does; their values could be private.
TELLING = ("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "NO_COLOR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt env`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what there is."""
    console.show(args, describe_environment(), _lines)
    return 0


def describe_environment() -> dict[str, Any]:
    """Versions of this package, Python and all dependencies, extras too; and the machine."""
    import nlp_adapt

    return {
        "versions": {
            "nlp_adapt": nlp_adapt.__version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in dependencies()},
        },
        "machine": {
            "platform": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            **_accelerators(),
            "set": [name for name in TELLING if name in os.environ],
        },
    }


def dependencies() -> list[str]:
    """The packages that this one may use, in the order of its metadata; tools for its own tests aside."""
    import importlib.metadata  # late: it brings a hundred modules, and help needs none of them

    try:
        required = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        required = ["torch", "transformers", "datasets", "accelerate", "peft", "numpy"]
    used = (line for line in required if not re.search(r"extra == ['\"](test|docs)['\"]", line))
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in used]
    return list(dict.fromkeys(names))


def _version(name: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _accelerators() -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        return {"devices": []}
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = [torch.cuda.get_device_name(number) for number in range(count)]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {"devices": devices, "cuda": torch.version.cuda, "threads": torch.get_num_threads()}


def _lines(found: dict[str, Any]) -> str:
    rows = {**found["versions"], **found["machine"]}
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {_said(value)}" for name, value in rows.items())


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "not installed" if value is None else str(value)
