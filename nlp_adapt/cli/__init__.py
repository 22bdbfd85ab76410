"""The command `nlp-adapt`: one file a command, and nothing heavy imported before one runs."""

import contextlib
import sys
import traceback
from collections.abc import Sequence

from nlp_adapt.cli import console
from nlp_adapt.cli.parser import build_parser, parse
from nlp_adapt.errors import AdaptationError, RunStopped
from nlp_adapt.files import full_disk
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
    with console.fit_to_be_shown():
        return _run(list(sys.argv[1:] if argv is None else argv))


def _run(words: Sequence[str]) -> int:
    debug = "--debug" in words
    try:
        try:
            args = parse(words)
        except SystemExit as stop:  # argparse has printed what --help or --version ask for
            return int(stop.code or 0)
        with console.quiet_libraries(debug), console.tidying_up_after_signals():
            code = args.run(args)
            sys.stdout.flush()  # what is wrong with it is said here, not at the end of Python
            return code
    except RunStopped as stopped:
        print(f"nlp-adapt: {stopped}", file=sys.stderr)
        return stopped.exit_code
    except AdaptationError as error:
        # Python itself would show a traceback as it is, with tokens and whatever a name holds.
        print(traceback.format_exc() if debug else f"nlp-adapt: error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as stop:
        print(traceback.format_exc() if debug else "nlp-adapt: interrupted", file=sys.stderr)
        return 128 + stop.number if isinstance(stop, console.Stopped) else INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `nlp-adapt methods | head`
        sys.stderr.close()
        return 1
    except Exception as error:
        if not debug and "huggingface_hub" in sys.modules and is_broken_line(error):
            reason = HUB_UNREACHABLE.format(type(error).__name__)
            print(f"nlp-adapt: error: {reason}", file=sys.stderr)
            return USER_ERROR
        if not debug and (said := full_disk(error)):
            with contextlib.suppress(OSError):
                print(f"nlp-adapt: error: {said}", file=sys.stderr)
            try:
                sys.stdout.flush()
            except OSError:  # what it still holds would fail once more at the end of Python
                with contextlib.suppress(OSError):
                    sys.stdout.close()
            return USER_ERROR
        print(traceback.format_exc(), file=sys.stderr)  # a fault of the program
        return 1
