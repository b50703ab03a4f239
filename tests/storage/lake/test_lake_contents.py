from datetime import date
from pathlib import Path

from storage.lake.lake_contents import contents_of, has_parquet

FILES = (
    "main/metrics/year=2026/month=5/day=6/ducklake-1.parquet",
    "main/metrics/year=2025/month=12/day=31/ducklake-2.parquet",
    "main/metrics/ducklake-3-delete.parquet", "main/runs/ducklake-4.parquet",
)  # fmt: skip


def test_contents_are_counted_by_names_without_masks(tmp_path: Path) -> None:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 500_000)
    contents = contents_of(tmp_path)
    assert (contents.files, contents.tables) == (3, ("metrics", "runs"))
    assert (contents.first, contents.last) == (date(2025, 12, 31), date(2026, 5, 6))
    assert str(contents) == (
        "3 Parquet files (1.5 MB) of the tables metrics, runs, "
        "with rows from 2025-12-31 to 2026-05-06"
    )


def test_a_folder_with_masks_only_or_that_is_missing_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a-delete.parquet").write_bytes(b"x")
    assert not has_parquet(tmp_path)
    assert not has_parquet(tmp_path / "missing")
    assert contents_of(tmp_path).files == 0
