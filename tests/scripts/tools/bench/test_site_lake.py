"""The lake of the site's benchmark."""

from pathlib import Path

from scripts.tools.bench.site_lake import SiteLake
from storage.query.reader import Reader


def test_every_server_reports_and_has_a_forecast_and_a_risk(tmp_path: Path) -> None:
    lake = SiteLake(tmp_path / "var", 2)
    lake.commit_samples(lake.now)
    lake.close()
    with_all = "last_seen IS NOT NULL AND score IS NOT NULL AND forecast_state = 'ok'"
    reader = Reader.open(tmp_path / "var")
    rows = reader.query(f"SELECT server FROM fleet_now WHERE {with_all} ORDER BY server")
    reader.close()
    assert lake.first_server in rows["server"].to_pylist()
    assert rows.num_rows == 2
