"""An expression or a parameter that cannot be answered, as Prometheus's API reports it."""

from storage.errors import HoursightError

__all__ = ["BadData", "PromqlError", "QueryTooLarge", "Unsupported"]


class PromqlError(HoursightError):
    """The query is refused; `kind` and `status` are those of Prometheus's API."""

    kind, status = "execution", 422


class BadData(PromqlError):
    """An expression or a parameter cannot be read."""

    kind, status = "bad_data", 400


class Unsupported(BadData):
    """A part of PromQL that is not offered here; the message names it."""


class QueryTooLarge(PromqlError):
    """The answer would need more samples than a query may read."""
