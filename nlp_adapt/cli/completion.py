"""Print a script that completes commands and options in bash, zsh or fish.

bash: eval "$(nlp-adapt completion bash)"    in ~/.bashrc
zsh:  eval "$(nlp-adapt completion zsh)"     in ~/.zshrc, after compinit
fish: nlp-adapt completion fish | source     in ~/.config/fish/config.fish
"""

import argparse
import shlex
from collections.abc import Iterator

HELP = "print a script that completes commands and options"
SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt completion`."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads it")


def run(args: argparse.Namespace) -> int:
    """Print the script, made from the parser as it is."""
    print("\n".join(_fish() if args.shell == "fish" else _bash(zsh=args.shell == "zsh")))
    return 0


def words() -> dict[str, dict[str, list[str]]]:
    """By command, its options, each with the values to choose from; "" for what stands alone."""
    from nlp_adapt.cli.parser import COMMANDS, build_parser
    from nlp_adapt.methods import METHODS
    from nlp_adapt.recipe import shipped_recipes

    parser = build_parser()
    choices = next(one.choices for one in parser._actions if one.dest == "command")
    assert isinstance(choices, dict)
    known: dict[str, dict[str, list[str]]] = {}
    for name in COMMANDS:
        known[name] = {}
        for action in choices[name]._actions:
            values = [str(one) for one in action.choices or ()]
            for flag in action.option_strings or ([""] if values else []):
                known[name][flag] = values
        if "--config" in known[name]:
            known[name]["--config"] = list(shipped_recipes())
            known[name]["--method"] = list(METHODS)
    known["methods"][""] = list(METHODS)
    known["recipes"][""] = list(shipped_recipes())
    return known


def helps() -> dict[str, str]:
    """The line of help of each command."""
    from nlp_adapt.cli.parser import COMMANDS

    return {name: module.HELP for name, module in COMMANDS.items()}


def _bash(*, zsh: bool) -> Iterator[str]:
    """One function for both: zsh reads those of bash. Files are completed where no list is known."""
    if zsh:
        yield "autoload -U +X bashcompinit && bashcompinit"
    known = words()
    yield "_nlp_adapt() {"
    yield '  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" list=""'
    yield "  COMPREPLY=()"
    yield "  if [ $COMP_CWORD -eq 1 ]; then"
    yield f"    list={shlex.quote(' '.join([*known, '--help', '--version']))}"
    yield "  else"
    yield '    case "${COMP_WORDS[1]} $before" in'
    for command, flags in known.items():
        for flag, values in flags.items():
            if flag and values:
                yield f"      {shlex.quote(f'{command} {flag}')}) list={_quoted(values)} ;;"
    yield "      *)"
    yield '        case "${COMP_WORDS[1]}" in'
    for command, flags in known.items():
        alone = flags.get("", [])
        listed = _quoted([flag for flag in flags if flag])
        yield f"          {command}) case $current in -*) list={listed} ;; *) list={_quoted(alone)} ;; esac ;;"
    yield "        esac ;;"
    yield "    esac"
    yield "  fi"
    yield '  COMPREPLY=( $(compgen -W "$list" -- "$current") )'
    yield "}"
    yield "complete -o default -F _nlp_adapt nlp-adapt"


def _quoted(values: list[str]) -> str:
    return shlex.quote(" ".join(values))


def _fish() -> Iterator[str]:
    for command, said in helps().items():
        yield (
            f"complete -c nlp-adapt -n __fish_use_subcommand -a {command} -d {shlex.quote(said)}"
        )
    for command, flags in words().items():
        seen = f"complete -c nlp-adapt -n '__fish_seen_subcommand_from {command}'"
        for flag, values in flags.items():
            listed = f" -xa {_quoted(values)}" if values else ""
            name = f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}" if flag else ""
            yield f"{seen}{name}{listed}"
