"""Parts of a mapping: texts, columns whose names hold a server, cores, and what is not mapped."""

import re

import msgspec

from functions.normalize.linear_regex import check_pattern

__all__ = [
    "ColumnPattern", "Cores", "Names", "Text", "Unmapped", "Where", "compiled", "names_in",
]  # fmt: skip

Names = str | tuple[str, ...]
# The values that count, by field: texts with * and ?, one of which must match; '' is a missing one.
Where = dict[str, str | int | bool | tuple[str | int | bool, ...]]


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text of a document, such as its server: the first of the fields that there is.

    With `prefix` it is what follows it, in a tag of a list too (`site:` of ["site:fra1"]); with
    `pattern` the first group of it that matches. `values` puts other words in the place of the
    source's. `fixed` is one text for all documents instead.
    """

    field: Names = ()
    prefix: str = ""
    pattern: str = ""
    values: dict[str, str] = {}
    fixed: str = ""

    def __post_init__(self) -> None:
        if self.fixed and (self.field or self.prefix or self.pattern or self.values):
            raise ValueError(
                f"fixed is {self.fixed!r} for all documents: leave field, prefix, pattern and "
                "values out, or fixed"
            )
        if self.pattern and not compiled("pattern", self.pattern).groups:
            raise ValueError(
                f"pattern is {self.pattern!r}: put the part that counts into (), such as '([^:]+)'"
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the field, in the order in which they are tried."""
        return names_in(self.field)


class ColumnPattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Columns whose names hold a server or more, as in exports that have a column per series.

    `pattern` is a regular expression over the name of a column. Its named groups become fields of
    the record, such as `server`; the column's value becomes the field that the group `field`
    names, else `value`. Columns that do not match belong to every record. The column that `time`
    matches is called 'time'.
    """

    pattern: str
    time: str = ""

    def __post_init__(self) -> None:
        if not compiled("pattern", self.pattern).groupindex:
            raise ValueError(
                f"pattern is {self.pattern!r}: name the group that holds the server, such as "
                "'(?P<server>[^:]+):.*'"
            )
        compiled("time", self.time)


class Unmapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field of a source that cannot be mapped to a metric for certain, and `why`.

    It is there where a `field` is, or where a record matches `where`.
    """

    why: str
    field: str = ""
    where: Where = {}


class Cores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logical CPUs of a server: a field, or one number for all."""

    field: Names = ()
    number: int | None = None

    def __post_init__(self) -> None:
        if self.number is not None and self.number < 1:
            raise ValueError(
                f"cores.number is {self.number}: write how many logical CPUs there are"
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the field, in the order in which they are tried."""
        return names_in(self.field)


def names_in(field: Names) -> tuple[str, ...]:
    """The names of a field, in the order in which they are tried."""
    return field if isinstance(field, tuple) else (field,) if field else ()


def compiled(key: str, pattern: str) -> re.Pattern[str]:
    """The regular expression of a key. Raises ValueError, which names both."""
    try:
        return check_pattern(pattern)
    except ValueError as error:
        raise ValueError(f"{key} is {pattern!r}, {error}") from None
