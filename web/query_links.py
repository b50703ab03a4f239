"""Links from a figure to the query behind it: the SQL page with the text of that query."""

import re
from datetime import UTC, date, datetime
from urllib.parse import urlencode

from web.lake_session import sql

__all__ = ["literal", "query_text", "query_url"]

_PARAMETER = re.compile(r"\$([a-z_]+)")


def query_text(name: str, **parameters: object) -> str:
    """Return the statement in `web/sql/NAME.sql` with its parameters written out.

    The result runs as it is in the SQL page, `hoursight sql` and `connect`. Raises KeyError for a
    parameter that is not given.
    """
    return _PARAMETER.sub(lambda match: literal(parameters[match[1]]), sql(name)).strip()


def query_url(name: str, **parameters: object) -> str:
    """Return the path and query of the SQL page with that statement in it."""
    return f"/sql?{urlencode({'q': query_text(name, **parameters)})}"


def literal(value: object) -> str:
    """Return a value as SQL. Raises TypeError for a type that no query of the site uses."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return repr(value).upper() if isinstance(value, bool) else repr(value)
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(UTC).isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise TypeError(f"{type(value).__name__} has no literal in SQL")
