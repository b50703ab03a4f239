from pathlib import Path

import pytest

from scripts.cli.monthly_report import ReportRefused, write_report
from tests.conftest import NOW
from tests.web.site_lakes import SiteLakeWriter
from tests.web.trust_rows import insert_trust


def test_a_month_is_printed_and_written_as_one_file(tmp_path: Path) -> None:
    writer = SiteLakeWriter(tmp_path / "var")
    insert_trust(writer, NOW)
    writer.close()
    lines: list[str] = []
    write_report(tmp_path / "var", "", tmp_path / "may.html", lines.append, NOW)
    assert lines[0] == "May 2026, so far"
    assert "  80 % bands held 80.0 % of the values, before calibration 70.0 %." in lines
    text = (tmp_path / "may.html").read_text()
    assert "May 2026: promises kept" in text
    assert "<link" not in text
    assert "<script" not in text


def test_what_is_no_month_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ReportRefused, match="--month 'May' is not a valid month"):
        write_report(tmp_path, "May", None, print, NOW)
