"""Guard of CSV files: no text of a row is a formula where a spreadsheet opens the file."""

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["guarded"]

# With the full-width signs, which spreadsheets of some languages take for the same.
FORMULA = "^(['\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20])"
NUMBER = "^[+-][0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$"


def guarded(rows: pa.Table) -> pa.Table:
    """Return `rows` with a ' before each text and column name that a spreadsheet would calculate.

    A text is guarded if its first character after white space and ' is =, +, - or @, and it is more
    than a number. Removing one ' from each such text that begins with it gives back the original,
    also of one that began with '. Columns of numbers and times stay as they are.
    """
    for place, field in enumerate(rows.schema):
        column = rows.column(place)
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            rows = rows.set_column(place, field.name, _guarded(column))
    return rows.rename_columns(_guarded(pa.array(rows.column_names)).to_pylist())


def _guarded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    quoted = pc.replace_substring_regex(texts, FORMULA, r"'\1")
    return pc.if_else(pc.match_substring_regex(texts, NUMBER), texts, quoted)
