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
from nlp_adapt.launch import is_hearsay, process_count, reason_of_all

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
    except BrokenPipeError:  # the reader of our output has gone, as in `nlp-adapt methods | head`
        sys.stderr.close()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        said, code = _end(error, debug)
        if process_count() > 1:
            said, code = reason_of_all(said, code, hearsay=is_hearsay(error))
        full = full_disk(error)
        with contextlib.suppress(OSError) if full else contextlib.nullcontext():
            console.print_error(said)
        if full:
            _let_go_of_stdout()
        return code


def _end(error: BaseException, debug: bool) -> tuple[str, int]:
    """What to say of what ended a command, and the exit code."""
    said, code = _sentence(error)
    if said and (not debug or isinstance(error, RunStopped)):
        return said, code
    # Python itself would show a traceback as it is, with tokens and whatever a name holds.
    return "".join(traceback.format_exception(error)), code


def _sentence(error: BaseException) -> tuple[str | None, int]:
    """A sentence for all but faults of the program, and the exit code."""
    if isinstance(error, RunStopped):
        return f"nlp-adapt: {error}", error.exit_code
    if isinstance(error, AdaptationError):
        return f"nlp-adapt: error: {error}", USER_ERROR
    if isinstance(error, KeyboardInterrupt):
        code = 128 + error.number if isinstance(error, console.Stopped) else INTERRUPTED
        return "nlp-adapt: interrupted", code
    reason = full_disk(error)
    if "huggingface_hub" in sys.modules and isinstance(error, Exception) and is_broken_line(error):
        reason = HUB_UNREACHABLE.format(type(error).__name__)
    return (f"nlp-adapt: error: {reason}", USER_ERROR) if reason else (None, 1)


def _let_go_of_stdout() -> None:
    """Close it if the full disk holds it, since it would fail once more at the end of Python."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
