"""Constructors of columns, by what they hold: text, names, sentences, times and numbers."""

import pyarrow as pa

from storage.model.table_definition import TIMESTAMP, Column

__all__ = ["SERVER", "flag", "name", "numbers", "prose", "real", "server", "text", "time", "whole"]


def text(column: str, meaning: str, required: bool = False) -> Column:
    """A text column."""
    return Column(column, pa.string(), meaning, required)


def name(column: str, meaning: str, required: bool = False) -> Column:
    """A text column whose values follow storage.model.names."""
    return Column(column, pa.string(), meaning, required, is_name=True)


def server(column: str, meaning: str, required: bool = True) -> Column:
    """A text column of names of servers."""
    return Column(column, pa.string(), meaning, required, is_name=True, is_server=True)


def prose(column: str, meaning: str, kind: pa.DataType = pa.string()) -> Column:  # noqa: B008 - a value
    """A column of sentences, which may name servers."""
    return Column(column, kind, meaning, prose=True)


def time(column: str, meaning: str, required: bool = True) -> Column:
    """A time column (UTC)."""
    return Column(column, TIMESTAMP, meaning, required)


def real(column: str, meaning: str) -> Column:
    """A column of 32-bit floats."""
    return Column(column, pa.float32(), meaning)


def numbers(column: str, meaning: str) -> Column:
    """A column of lists of 32-bit floats."""
    return Column(column, pa.list_(pa.float32()), meaning)


def whole(column: str, meaning: str) -> Column:
    """A column of 64-bit integers."""
    return Column(column, pa.int64(), meaning)


def flag(column: str, meaning: str) -> Column:
    """A column of true and false."""
    return Column(column, pa.bool_(), meaning)


SERVER = server("server", "host name")
