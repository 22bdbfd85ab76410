"""Errors that a user can mend.

Each message is one clear sentence that names the file, row, key or option and says what to do.
The command line prints the message alone, without a traceback.
"""

from nlp_adapt.escaping import one_line

_LONGEST = 4_000  # characters; what is cut is a value, which stands in the middle
_END = 500


def _cut(line: str) -> str:
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST - _END]} ... {line[-_END:]}"


def first_line(error: BaseException) -> str:
    """The first line of what a library says, without its full stop; its class where that is nothing."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__).rstrip(".")


class AdaptationError(Exception):
    """Base class of every error that comes from the user's input or environment.

    Each argument is a line of the message, whatever names and labels it quotes.
    """

    def __str__(self) -> str:
        return "\n".join(map(_cut, map(one_line, self.args)))


class ConfigError(AdaptationError):
    """A recipe key or command-line option is unknown, missing or of the wrong type."""


class DataError(AdaptationError):
    """A domain cannot be read, or its rows cannot be used for the task."""


class ModelError(AdaptationError):
    """A model or tokenizer cannot be loaded, or does not fit the task."""


class RunError(AdaptationError):
    """An output folder, checkpoint or saved run cannot be used."""


class RunStopped(AdaptationError):  # noqa: N818 (not a fault: a wish that was granted)
    """A run was asked to stop by a signal, and has saved where it stands.

    Attributes:
        exit_code: 128 plus the signal's number: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
