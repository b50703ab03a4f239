from pathlib import Path

import pytest

from scripts.cli.doctor import findings
from tests.conftest import NOW, LakeFixture
from tests.scripts.cli.two_servers import fill, run, servers


@pytest.fixture
def lost(house: LakeFixture) -> Path:
    """A data folder with 8 rows of two servers whose catalog was removed."""
    data = fill(house)
    house.reader.close()
    house.writer.close()
    for path in data.glob("catalog.sqlite*"):
        path.unlink()
    return data


def test_a_rebuild_prints_the_rows_before_and_after_and_the_lake_is_back(
    lost: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("rebuild", "--data", str(lost)) == 0
    printed = capsys.readouterr().out
    assert "Before: " in printed
    assert "of the tables metrics" in printed
    assert "without a catalog snapshot" in printed
    assert "no key twice" in printed
    assert servers(lost) == ["ppdb001", "ppdb002"]
    assert run("rebuild", "--data", str(lost)) == 1
    assert "is whole: nothing has to be rebuilt" in capsys.readouterr().err


def test_commands_and_checks_refuse_the_lake_and_offer_the_rebuild(
    lost: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ["sql", "SELECT 1"], ["backup", str(tmp_path / "b.tar")], ["up"], ["demo"],
        ["delete", "ppdb001", "--yes"],
    ):  # fmt: skip
        assert run(*command, "--data", str(lost)) == 1
        refusal = capsys.readouterr().err
        assert "catalog.sqlite is missing, and" in refusal
        assert "hoursight rebuild --data" in refusal
    last = list(findings(lost, NOW))[-1]
    assert last.about == "lake"
    assert last.remedy is not None
    assert "hoursight rebuild" in last.remedy
    assert not (lost / "catalog.sqlite").exists()


def test_a_whole_catalog_and_its_missing_snapshot_are_well(house: LakeFixture) -> None:
    lake = {f.about: f for f in findings(fill(house), NOW)}
    assert lake["lake"].well
    assert lake["catalog"].well
    assert "no snapshot yet" in lake["catalog"].text
