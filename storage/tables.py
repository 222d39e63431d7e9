"""Tables that people bring: CSV, JSONL or Parquet, from a disk or any fsspec URL."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from avkd.errors import CorpusError
from avkd.storage import objects
from avkd.storage.arrow_memory import open_bytes

if TYPE_CHECKING:
    import pyarrow

TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")
_JSON_BLOCK_BYTES = 1 << 24  # pyarrow refuses lines longer than a block


def is_table(source: str) -> bool:
    """Tell whether a name ends like a table."""
    return PurePosixPath(source.lower()).suffix in TABLE_SUFFIXES


def read_table(source: str, *, text_columns: Iterable[str] = ()) -> "pyarrow.Table":
    """Read a CSV, JSONL or Parquet table.

    Args:
        source: a path or a URL.
        text_columns: of a CSV, not to be taken for numbers: ``007`` stays ``007``.

    Raises:
        CorpusError: it is missing, empty or not what its suffix says.
    """
    import pyarrow as pa

    try:
        table = _parse(source, objects.read_bytes(source), text_columns)
    except FileNotFoundError:
        raise CorpusError(f"no table at {source}; check the path") from None
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"cannot read {source} as a table: {_first_line(error)}") from error
    if table.num_rows == 0:
        raise CorpusError(f"{source} has no rows; give a table with one row a recording")
    return table


def _parse(source: str, data: bytes, text_columns: Iterable[str]) -> "pyarrow.Table":
    suffix = PurePosixPath(source.lower()).suffix
    if suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(open_bytes(data))
    if suffix == ".jsonl":
        import pyarrow.json

        options = pyarrow.json.ReadOptions(block_size=_JSON_BLOCK_BYTES)
        return pyarrow.json.read_json(open_bytes(data), read_options=options)
    if suffix == ".csv":
        return _parse_csv(data, text_columns)
    raise CorpusError(f"{source} is no table; give one that ends in {', '.join(TABLE_SUFFIXES)}")


def _parse_csv(data: bytes, text_columns: Iterable[str]) -> "pyarrow.Table":
    import pyarrow
    import pyarrow.csv

    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(text_columns, pyarrow.string()), strings_can_be_null=True
    )
    return pyarrow.csv.read_csv(
        open_bytes(data),
        convert_options=convert,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
