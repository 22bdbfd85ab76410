"""What commands write: results on stdout, everything else on stderr."""

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from nlp_adapt.escaping import Terminal, in_lines, one_line, visible
from nlp_adapt.launch import process_count

# Read by the libraries when they are imported, which happens only after a command has started.
_QUIET_ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
}
_NO_BARS = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}


class _Lines(logging.Formatter):
    """A line for each message, whatever it quotes; tracebacks follow."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (its name)
        return one_line(record.message)


@contextlib.contextmanager
def fit_to_be_shown() -> Iterator[None]:
    """Let all that a command prints, logs or fails with pass through `escaping.visible`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Terminal(stream) if stream else stream for stream in before)
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Lines())
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        sys.stdout, sys.stderr = before


class Stopped(KeyboardInterrupt):
    """A signal that would have ended the process at once, with what it has in temporary folders."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def tidying_up_after_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP end a command as Ctrl-C does: what it has begun is removed.

    Afterwards one of several processes is deaf to signals: its launcher sends one as soon as
    another process has ended, which would cut off what this one says.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Stopped(number)

    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    here = threading.current_thread() is threading.main_thread()
    ours = [one for one in numbers if here and one and signal.getsignal(one) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        several = process_count() > 1
        for number in [*ours, signal.SIGINT] if several and here else ours:
            signal.signal(number, signal.SIG_IGN if several else signal.SIG_DFL)


@contextlib.contextmanager
def quiet_libraries(debug: bool) -> Iterator[None]:
    """Silence the bars of the libraries underneath, and their warnings unless `debug`.

    Variables that the user has set are left alone.
    """
    for name, value in _NO_BARS.items():
        os.environ.setdefault(name, value)
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
    """Print a result: as one JSON object with `--json`, else in `words`.

    Names and labels in a value cannot break the lines that `words` makes of it.
    """
    print(json.dumps(value, ensure_ascii=False, indent=2) if args.json else words(in_lines(value)))


_STYLES = {"bold": "1", "dim": "2", "red": "1;31", "cyan": "36"}


def has_colours(stream: Any) -> bool:
    """Whether what is printed there may be coloured: a terminal, and nobody has asked for none."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(stream.isatty())


def painted(text: str, style: str) -> str:
    """`text` in a style: bold, dim, red or cyan."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def print_error(said: str) -> None:
    """Print what ended a command on standard error, its first words in red on a terminal."""
    first, colon, rest = said.partition("error:")
    if colon and "\n" not in first and has_colours(sys.stderr):
        bare = getattr(sys.stderr, "bare", sys.stderr)
        bare.write(painted(first + colon, "red"))
        said = rest
    print(said, file=sys.stderr)


def note(message: str) -> None:
    """Tell the user something that is not a result."""
    print(one_line(message), file=sys.stderr)


def show_tables(texts: Sequence[str], tables: Sequence[Sequence[list[str]]]) -> None:
    """Print a text, tables whose first row is their header, and a text after them.

    Rules and colours are for a terminal; a file or a program gets plain columns.
    """
    from nlp_adapt.reporting.table import layout

    before, after = texts
    if not sys.stdout.isatty():
        print("\n\n".join(["", before, *map(layout, tables), after]).removeprefix("\n"))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cell(text: str, header: str = "") -> Text:
        gain = "difference" in header
        return Text(visible(text), "green" if gain and text[:1] == "+" else "")

    screen = Console(file=getattr(sys.stdout, "bare", sys.stdout), highlight=False)
    head, _, verdict = visible(before).partition("\n\n")
    screen.print(Text(f"\n{head}", "dim"), Text(verdict, "bold"), sep="\n\n")
    for header, *rows in tables:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        wide = len(layout([header, *rows]).splitlines()[1]) > screen.width - 2
        for place, name in enumerate(header):
            title = name.replace(" ", "\n", 1) if wide and place else name
            table.add_column(cell(title), justify="right" if place else "left")
        for row in rows:
            style = "bold" if row[0] == "difference" else ""
            table.add_row(*(cell(one, header[place]) for place, one in enumerate(row)), style=style)
        screen.print(table)
    screen.print(Text(visible(after)))
