from datetime import UTC, datetime, timedelta

import pytest

from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import HistoryError, from_lake, week_minute
from tests.conftest import LakeFixture

START = datetime(2026, 1, 5, tzinfo=UTC)


def test_the_week_begins_on_monday_at_midnight() -> None:
    assert week_minute(int(START.timestamp())) == 0
    assert week_minute(int((START + timedelta(days=8, hours=2)).timestamp())) == 1440 + 120


def test_the_lake_gives_its_last_steps(house: LakeFixture) -> None:
    ts = [START + timedelta(minutes=5 * i) for i in range(4)]
    house.put("server_facts", [{"server": "ppdb1", "ts": START}])
    house.put("metrics_5m", [{"server": "ppdb1", "ts": t, "load_average_mean": i}
                             for i, t in enumerate(ts)])  # fmt: skip
    house.commit()
    history = from_lake(house.reader, 3)
    assert history.span == (ts[1], ts[3] + timedelta(minutes=5))
    assert history.values[0, :, METRIC_NAMES.index("load_average")].tolist() == [1, 2, 3]
    assert PROFILE_NAMES[history.profiles[0]] == "database"


def test_a_lake_without_a_complete_step_is_told_so(house: LakeFixture) -> None:
    with pytest.raises(HistoryError, match="no complete 5-minute step yet"):
        from_lake(house.reader, 3)
