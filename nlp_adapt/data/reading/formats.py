"""The formats that rows are read from: to add one, write its `Format` and list it here.

`prediction.files.writers` lists those that labelled rows are written in.
"""

import re
from pathlib import Path

from nlp_adapt.data.reading.conll import Conll
from nlp_adapt.data.reading.delimited import Csv, Tsv, Xlsx
from nlp_adapt.data.reading.jsonl import Jsonl
from nlp_adapt.data.reading.lines import Texts
from nlp_adapt.data.reading.parquet import Parquet
from nlp_adapt.data.reading.rows import Format
from nlp_adapt.errors import DataError

FORMATS: tuple[Format, ...] = (Csv(), Tsv(), Xlsx(), Jsonl(), Parquet(), Texts(), Conll())

ENDINGS = {ending: form for form in FORMATS for ending in form.endings}
"""The format of each ending; every one may be followed by .gz."""

# Of files that are not read, and that nobody calls a dataset of the Hub by.
_OTHER_ENDING = re.compile(
    r"\.(ann|arrow|bz2|conllu|docx?|feather|gz|html?|iob2|md|ods|pdf|pickle|pkl|rtf|spacy|sqlite"
    r"|tar|tgz|xls|xlsm|xml|xz|ya?ml|zip|zst)",
    re.IGNORECASE,
)


def data_ending(path: Path) -> str | None:
    """The ending that says a file's format, without .gz; None where none does."""
    name = path.name.lower().removesuffix(".gz")
    return next((ending for ending in ENDINGS if name.endswith(ending)), None)


def names_a_file(path: Path) -> bool:
    """Whether a name is that of a file by its ending, whether or not it can be read."""
    return data_ending(path) is not None or _OTHER_ENDING.fullmatch(path.suffix) is not None


def format_of(path: Path) -> Format:
    """The format that a file's name says."""
    if ending := data_ending(path):
        return ENDINGS[ending]
    if not path.is_file():
        what = "is a folder: name a file in it" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}.")
    raise DataError(
        f"{path} has an unknown format: use one of {', '.join(ENDINGS)}, each also with .gz; a file "
        "of CoNLL columns is renamed to .conll."
    )
