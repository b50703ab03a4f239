"""The report as a file that needs nothing beside it."""

from tests.web.display.test_report import REPORT
from web.report_file import report_file


def test_the_file_has_its_styles_inside_and_no_link_to_the_site() -> None:
    text = report_file(REPORT)
    assert text.startswith("<!doctype html>")
    assert ".promises" in text or "--bg:" in text
    assert "how do we know?" not in text
    assert "href=" not in text
    assert "&lt;b&gt;" in text
