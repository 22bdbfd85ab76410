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


class Parquet(Format):
    """Typed columns; a file that `datasets` wrote carries class names."""

    endings = (".parquet",)

    def rows(self, path: Path) -> Iterator[Row]:
        """Every row, numbered from 1."""
        batches = _batches(path, _opened(path))
        records = chain.from_iterable(batch.to_pylist() for batch in batches)
        for number, record in enumerate(records, start=1):
            yield Row(f"{path.name}:{number}", record)

    def columns(self, path: Path) -> list[str]:
        """The names in the schema."""
        return list(_opened(path).schema_arrow.names)

    def features(self, path: Path) -> Mapping[str, Any] | None:
        """The types of all columns; None where `datasets` has none for one of them."""
        from datasets import Features

        try:
            return Features.from_arrow_schema(_opened(path).schema_arrow)
        except ValueError:  # such as a mapping
            return None

    def table(self, path: Path) -> Table:
        """The columns as Arrow holds them, where `datasets` has a type for them."""
        import pyarrow
        from datasets import Dataset

        file = _opened(path)
        batches = list(_batches(path, file))
        whole = pyarrow.Table.from_batches(batches, file.schema_arrow).combine_chunks()
        return table_from_dataset(Dataset(_with_known_types(whole)), str(path), path.name)


@contextlib.contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a readable parquet file ({reason}).") from None


def _opened(path: Path) -> Any:
    from pyarrow import parquet

    with _plain_errors(path):
        return parquet.ParquetFile(open_to_seek(path))


def _batches(path: Path, file: Any) -> Iterator[Any]:
    """All rows of a parquet file. Its own account of their size is not to be trusted."""
    allowed, seen = most_unpacked(path), 0
    with _plain_errors(path):
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            seen += batch.nbytes
            if seen > allowed:
                refuse_bomb(path, allowed)
            yield batch


def _with_known_types(arrow: Any) -> Any:
    """The columns that `datasets` has a type for: a mapping, say, holds neither text nor labels."""
    import pyarrow
    from datasets import Features

    unknown = []
    for column in arrow.schema:
        try:
            Features.from_arrow_schema(pyarrow.schema([column]))
        except ValueError:
            unknown.append(column.name)
    return arrow.drop_columns(unknown).replace_schema_metadata(None) if unknown else arrow
