"""Words that data, models and scores share: the tasks, and what marks a label as none."""

import re

SEQUENCE_CLASSIFICATION = "sequence-classification"
TOKEN_CLASSIFICATION = "token-classification"
TASKS = (SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION)

OUTSIDE = "O"
"""The tag of a word outside any entity."""

IGNORED_LABEL = -100
"""The class index of what has no label, as in torch's losses."""


def label_key(name: str) -> str:
    """What two names must have in common to be the same label."""
    return re.sub(r"\s+", " ", name.strip()).casefold()
