"""Errors that a user can mend.

Each message is one clear sentence that names the file, row, key or option and says what to do.
The command line prints the message alone, without a traceback.
"""


class AdaptationError(Exception):
    """Base class of every error that comes from the user's input or environment."""


class ConfigError(AdaptationError):
    """A recipe key or command-line option is unknown, missing or of the wrong type."""


class DataError(AdaptationError):
    """A domain cannot be read, or its rows cannot be used for the task."""


class ModelError(AdaptationError):
    """A model or tokenizer cannot be loaded, or does not fit the task."""


class RunError(AdaptationError):
    """An output folder, checkpoint or saved run cannot be used."""
