"""Try a finished run in the browser: both models' answers to a text, side by side.

nlp-adapt demo runs/auto
nlp-adapt demo runs/auto --out space

With --out it writes a Hugging Face Space instead: app.py, requirements.txt, a README.md with the
Space's settings, and the two models. It quotes none of your data.
"""

import argparse
import importlib.util
import shutil
from pathlib import Path
from typing import Any

from nlp_adapt.escaping import in_lines

HELP = "try a finished run in the browser, or write it as a Space"
GRADIO = "6.31.0"  # of a Space, where none is installed here
SPACE = """\
---
{settings}
---

Models by nlp-adapt, side by side: one was trained on labels of {source} alone, the other one was also
adapted to {target} ({method}).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt demo`."""
    parser.add_argument("run_folder", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", metavar="FOLDER", help="write a Space into this new folder")
    parser.add_argument("--port", type=int, metavar="NUMBER", help="where to serve it (7860)")


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is interrupted, or write the Space."""
    from nlp_adapt.errors import ConfigError
    from nlp_adapt.reporting.results import read_results

    folder = Path(args.run_folder)
    results = read_results(folder)  # says what is wrong with a folder that is no finished run
    if args.out:
        _write_space(folder, results, Path(args.out))
        out = in_lines(args.out)
        print(
            f"Wrote {out}. Try it with `python {out}/app.py`, or upload it: "
            f"`hf upload USER/NAME {out} --repo-type space`."
        )
        return 0
    if importlib.util.find_spec("gradio") is None:
        raise ConfigError('demo needs the package gradio: run `pip install "nlp-adapt[demo]"`.')
    from nlp_adapt.prediction.demo_app import build, load, show

    page = build(load(_models(folder)), " to ".join(_domains(results)))
    show(page, server_port=args.port)
    return 0


def _models(folder: Path) -> dict[str, Path]:
    """The folders of both models by title; of one, where the run trained no twin."""
    from nlp_adapt.errors import ConfigError
    from nlp_adapt.names import ADAPTER_CONFIG
    from nlp_adapt.prediction.demo_app import TITLES
    from nlp_adapt.training.saving.run_folder import RunFolder

    run = RunFolder(folder)
    places = {"source_only": run.source_only, "adapted": run.adapted_model}
    found = {TITLES[key]: path for key, path in places.items() if path.is_dir()}
    for path in found.values():
        if (path / ADAPTER_CONFIG).is_file():
            raise ConfigError(
                f"{path} holds LoRA adapters, and a demo shows plain models: set merge_lora: true and "
                "train again, or see `nlp-adapt push --merge-lora`."
            )
    return found


def _domains(results: dict[str, Any]) -> list[str]:
    """The names of the run's source and target."""
    from nlp_adapt.escaping import one_line
    from nlp_adapt.reporting.results import part

    return [one_line(part(results, side).get("name", side)) for side in ("source", "target")]


def _write_space(folder: Path, results: dict[str, Any], out: Path) -> None:
    """Write all that `hf upload --repo-type space` sends."""
    from importlib.metadata import version  # late: it brings a hundred modules

    from nlp_adapt.errors import RunError
    from nlp_adapt.escaping import escape
    from nlp_adapt.files import write_folder
    from nlp_adapt.prediction import demo_app
    from nlp_adapt.yaml_text import yaml_text

    if out.exists():
        raise RunError(f"--out {out}: already exists; name a new folder.")
    found, (source, target) = _models(folder), _domains(results)
    gradio = version("gradio") if importlib.util.find_spec("gradio") else GRADIO
    needed = [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "transformers")]
    space = {"sdk": "gradio", "sdk_version": gradio, "app_file": "app.py"}
    settings = yaml_text({"title": f"{source} to {target}", **space})
    names = {"source": source, "target": target, "method": str(results.get("method", ""))}
    readme = SPACE.format(settings=settings, **{name: escape(one) for name, one in names.items()})

    def write(staged: Path) -> None:
        shutil.copy(demo_app.__file__, staged / "app.py")
        for key, title in demo_app.TITLES.items():
            if title in found:
                shutil.copytree(found[title], staged / key, ignore=shutil.ignore_patterns("*.md"))
        (staged / "README.md").write_text(readme, encoding="utf-8")
        (staged / "requirements.txt").write_text("\n".join(needed) + "\n", encoding="utf-8")

    write_folder(out, write)
