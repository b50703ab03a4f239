from pathlib import Path

from storage.config.folders import Folders
from storage.lake.file_reports import report_file, take_reports


def test_each_reported_file_is_taken_once_by_its_name_alone(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    for path in ("/somewhere/main/metrics/a.parquet", "../../b.parquet", "/x/a.parquet"):
        report_file(folders, path)
    assert take_reports(folders) == ["a.parquet", "b.parquet"]
    assert take_reports(folders) == []


def test_a_file_without_a_name_is_reported_too(tmp_path: Path) -> None:
    report_file(Folders.at(tmp_path), None)
    assert take_reports(Folders.at(tmp_path)) == [""]


def test_a_reader_that_may_not_report_says_nothing(tmp_path: Path) -> None:
    missing = Folders.at(tmp_path / "missing")
    report_file(missing, "a.parquet")
    assert take_reports(missing) == []
