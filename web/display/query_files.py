"""Rows of a query as a file or an answer: any SQL type, as docs/sql.md says."""

from collections.abc import Callable

import pyarrow as pa
from litestar import Response

from storage.query.result_files import arrow_bytes, csv_bytes, json_bytes, parquet_bytes
from web.display.exports import FORMATS, file_response

__all__ = ["TRUNCATED", "query_response"]

# A header: the file ends before the rows do.
TRUNCATED = "X-Hoursight-Truncated"
ENCODERS: dict[str, Callable[[pa.Table], bytes]] = {
    "json": json_bytes, "csv": csv_bytes, "parquet": parquet_bytes, "arrow": arrow_bytes,
}  # fmt: skip


def query_response(rows: pa.Table, extension: str, truncated: bool) -> Response[bytes]:
    """Return rows in one of the FORMATS."""
    return file_response(
        ENCODERS[extension](rows), extension, "query", FORMATS[extension][1],
        **{TRUNCATED: "true" if truncated else "false"},
    )  # fmt: skip
