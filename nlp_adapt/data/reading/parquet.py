"""parquet, read through pyarrow in batches."""

import contextlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.lines import most_unpacked, open_to_seek, refuse_bomb
from nlp_adapt.data.reading.rows import Format, Row, Table, table_from_dataset
from nlp_adapt.errors import DataError

BATCH_ROWS = 1024
NESTED_ROWS = 16
# Up to this size a file's texts are measured before repeated ones are written out: it takes some time,
# and a larger file is no small one that fills the memory.
MEASURED_BYTES = 64 * 1024**2
# What `datasets` raises for an account of the columns that it cannot read.
DAMAGED = (ValueError, KeyError, TypeError, AttributeError)


class Parquet(Format):
    """Typed columns; a file that `datasets` wrote carries class names."""

    endings = (".parquet",)

    def rows(self, path: Path) -> Iterator[Row]:
        """Every row, numbered from 1."""
        batches = _batches(path)
        records = chain.from_iterable(batch.to_pylist() for batch in batches)
        for number, record in enumerate(records, start=1):
            yield Row(f"{path.name}:{number}", record)

    def columns(self, path: Path) -> list[str]:
        """The names in the schema."""
        return list(_opened(path).schema_arrow.names)

    def features(self, path: Path) -> Mapping[str, Any] | None:
        """The types of all columns; None where `datasets` has none for one of them.

        Raises:
            DataError: What `datasets` wrote of them is damaged, and class names would be lost.
        """
        from datasets import Features

        schema = _opened(path).schema_arrow
        try:
            return Features.from_arrow_schema(schema)
        except DAMAGED as error:
            damage = error
        try:
            Features.from_arrow_schema(schema.remove_metadata())
        except DAMAGED:  # such as a mapping
            return None
        with _plain_errors(path):
            raise damage

    def table(self, path: Path) -> Table:
        """The columns as Arrow holds them, where `datasets` has a type for them."""
        import pyarrow
        from datasets import Dataset

        schema = _opened(path).schema_arrow
        whole = pyarrow.Table.from_batches(list(_batches(path)), schema).combine_chunks()
        with _plain_errors(path):  # what `datasets` has written about the columns may be damaged
            dataset = Dataset(_with_known_types(whole))
        return table_from_dataset(dataset, str(path), path.name)


@contextlib.contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, *DAMAGED) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{path} is not a readable parquet file ({reason}).") from None


def _opened(path: Path) -> Any:
    from pyarrow import parquet

    with _plain_errors(path):
        return parquet.ParquetFile(open_to_seek(path))


def _batches(path: Path) -> Iterator[Any]:
    """All rows of a parquet file. Its own account of their size is not to be trusted."""
    import pyarrow
    from pyarrow import parquet

    allowed, seen, most_rows = most_unpacked(path), 0, BATCH_ROWS
    with _plain_errors(path):
        handle = open_to_seek(path)
        file = parquet.ParquetFile(handle)
        plain = file.schema_arrow
        if path.stat().st_size <= MEASURED_BYTES:
            leaves = [file.schema.column(number) for number in range(len(file.schema))]
            texts = [leaf.path for leaf in leaves if _is_text(leaf)]
            flat = [name for name in texts if name in plain.names]
            if len(flat) < len(texts):  # pyarrow has no dictionaries in lists of several parts
                most_rows = NESTED_ROWS
            file = parquet.ParquetFile(handle, metadata=file.metadata, read_dictionary=flat)
        # Without threads of its own: they would read from the handle on while it is being closed.
        for batch in file.iter_batches(batch_size=most_rows, use_threads=False):
            seen += sum(map(_written_out, batch.columns))
            if seen > allowed:
                refuse_bomb(path, allowed)
            for whole in pyarrow.Table.from_batches([batch]).cast(plain).to_batches():
                whole.validate(full=True)  # texts that are no UTF-8
                yield whole


def _is_text(leaf: Any) -> bool:
    # What else is bytes, such as a decimal number, has no dictionary.
    return leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in ("STRING", "NONE")


def _written_out(array: Any) -> int:
    """Bytes of an array with each value in full, of which a dictionary holds repeated ones once."""
    from pyarrow import compute, types

    if types.is_dictionary(array.type):
        lengths = compute.binary_length(array.dictionary)
        return array.nbytes + (compute.sum(lengths.take(array.indices)).as_py() or 0)
    return array.nbytes


def _with_known_types(arrow: Any) -> Any:
    """The columns that `datasets` has a type for: a mapping, say, holds neither text nor labels."""
    import pyarrow
    from datasets import Features

    unknown = []
    for column in arrow.schema:
        try:
            Features.from_arrow_schema(pyarrow.schema([column]))
        except DAMAGED:
            unknown.append(column.name)
    return arrow.drop_columns(unknown).replace_schema_metadata(None) if unknown else arrow
