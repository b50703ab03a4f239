"""`hoursight report`: the report of a month, as sentences or as a file."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.errors import HoursightError
from storage.query.reader import Reader
from web.display.report import MonthInvalid, month_called, read_report
from web.report_file import report_file

__all__ = ["ReportRefused", "write_report"]

Say = Callable[..., Any]


class ReportRefused(HoursightError):
    """There is no report of that month; the message says why."""


def write_report(
    data: Path, month: str, html_file: Path | None, say: Say, now: datetime | None = None
) -> None:
    """Print the report of a month, and write it to `html_file` if given. Raises ReportRefused."""
    now = now or datetime.now(UTC)
    try:
        wanted = month_called(month, now)
    except MonthInvalid as error:
        raise ReportRefused(f"--month {error}") from error
    with closing(Reader.open(data)) as reader:
        report = read_report(reader, wanted, now)
    say(f"{report.month.title}{'' if report.is_complete else ', so far'}")
    for sentence in report.sentences or ("No forecast was scored in this month.",):
        say(f"  {sentence}")
    if html_file is not None:
        html_file.write_text(report_file(report))
        say(f"wrote {html_file}")
