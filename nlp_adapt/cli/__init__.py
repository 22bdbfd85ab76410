"""The command `nlp-adapt`: one file a command, and nothing heavy imported before one runs."""

import sys
import traceback
from collections.abc import Sequence

from nlp_adapt.cli import console
from nlp_adapt.cli.parser import build_parser, parse
from nlp_adapt.errors import AdaptationError, RunStopped
from nlp_adapt.escaping import redact
from nlp_adapt.hub.errors import is_broken_line

USER_ERROR = 2
INTERRUPTED = 130
HUB_UNREACHABLE = (
    "the connection to the Hub broke ({}): check the network, or set HF_HUB_OFFLINE=1 to use what "
    "is in the local cache."
)

__all__ = ["build_parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, given without the program's name; default: that of the process.

    Returns:
        The exit code: 0, 2 after a mistake that the user can mend (one sentence on stderr), 130
        after an interrupt and 143 after SIGTERM, 1 after an error of the program itself.
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
    except RunStopped as stopped:
        print(f"nlp-adapt: {stopped}", file=sys.stderr)
        return stopped.exit_code
    except AdaptationError as error:
        if debug:
            raise
        print(f"nlp-adapt: error: {redact(str(error))}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        if debug:
            raise
        print("nlp-adapt: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `nlp-adapt methods | head`
        sys.stderr.close()
        return 1
    except Exception as error:
        if not debug and "huggingface_hub" in sys.modules and is_broken_line(error):
            reason = HUB_UNREACHABLE.format(type(error).__name__)
            print(f"nlp-adapt: error: {reason}", file=sys.stderr)
            return USER_ERROR
        # A fault of the program: its traceback, in which no token may stand.
        print(redact(traceback.format_exc()), file=sys.stderr)
        return 1
