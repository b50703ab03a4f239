"""The monthly report as one HTML file, which needs no site and no network."""

from web.display.episodes import metric_label
from web.display.report import Report
from web.display.trust import share
from web.rendering import STATIC, template

__all__ = ["report_file"]

_STYLES = ("hoursight.css", "alerts.css", "trust.css")


def report_file(report: Report) -> str:
    """Return the file of a report."""
    styles = "\n".join((STATIC / name).read_text() for name in _STYLES)
    return template("report_file").render(
        report=report, now=report.now, styles=styles, share=share, metric_label=metric_label,
        links=None,
    )  # fmt: skip
