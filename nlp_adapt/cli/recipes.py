"""List the recipes that come with nlp-adapt, print one, or copy it to change it.

`nlp-adapt train --config NAME` runs one as it is.
"""

import argparse
import json
import re
from pathlib import Path

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import refuse_existing
from nlp_adapt.errors import ConfigError
from nlp_adapt.escaping import in_lines
from nlp_adapt.recipe import recipe_files, shipped_recipes
from nlp_adapt.usual_names import nearest

HELP = "list, print or copy the recipes that come with it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt recipes`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="print it, such as sentiment/auto")
    parser.add_argument(
        "--copy",
        nargs="?",
        const="",
        metavar="FILE",
        help="copy it to FILE (default: its own name, here) instead",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")
    parser.add_argument("--json", action="store_true", help="print the list as one JSON object")


def run(args: argparse.Namespace) -> int:
    """List all recipes, or print or copy one."""
    files = recipe_files()
    if args.name is None:
        if args.copy is not None:
            raise ConfigError("--copy needs a recipe: nlp-adapt recipes NAME --copy.")
        console.show(args, {name: purpose(path) for name, path in files.items()}, _table)
        return 0
    if args.name not in files:
        raise ConfigError(
            f"there is no recipe '{args.name}'{nearest(args.name, list(files))} "
            "(`nlp-adapt recipes` lists them)."
        )
    text = files[args.name].read_text(encoding="utf-8")
    if args.copy is None:
        print(json.dumps({args.name: text}, ensure_ascii=False) if args.json else text.rstrip())
        return 0
    copy = Path(args.copy or files[args.name].name)
    return _copy(text, copy, args.overwrite, is_recipe=args.name in shipped_recipes())


def purpose(path: Path) -> str:
    """The first sentence of the comment that a recipe begins with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# ") or line.startswith("#  "):  # values, or a command to type
            break
        lines.append(line[2:])
    first = re.split(r"(?<! al)\. ", " ".join(lines))[0]
    return first.rstrip(".:") + "."


def _copy(text: str, copy: Path, overwrite: bool, *, is_recipe: bool) -> int:
    from nlp_adapt.files import write_text
    from nlp_adapt.prediction.files.writers import check_output

    check_output(copy, None, "--copy")
    refuse_existing(copy, overwrite, "--copy")
    write_text(copy, text)
    shown = in_lines(str(copy))
    launch = f"accelerate launch --config_file {shown} -m nlp_adapt train --config RECIPE"
    print(
        f"Wrote {shown}. Run it with: {f'nlp-adapt train --config {shown}' if is_recipe else launch}"
    )
    return 0


def _table(purposes: dict[str, str]) -> str:
    width = max(map(len, purposes))
    return "\n".join(f"{name:{width}}  {said}" for name, said in purposes.items())
