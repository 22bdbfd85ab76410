"""The command `nlp-adapt`: one file a command, and nothing heavy imported before one runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nlp_adapt.cli import console
from nlp_adapt.cli.parser import build_parser, parse
from nlp_adapt.errors import AdaptationError

USER_ERROR = 2
INTERRUPTED = 130

__all__ = ["build_parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; default: those of the process.

    Returns:
        The exit code: 0, 2 after a mistake that the user can mend (one sentence on stderr), 130
        after an interrupt, 1 after an error of the program itself.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        try:
            args = parse(words)
        except SystemExit as stop:  # argparse has printed what --help or --version ask for
            return int(stop.code or 0)
        with console.quiet_libraries(debug):
            return args.run(args)
    except AdaptationError as error:
        if debug:
            raise
        print(f"nlp-adapt: error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        if debug:
            raise
        print("nlp-adapt: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `nlp-adapt methods | head`
        sys.stderr.close()
        return 1
