from datetime import timedelta

import pytest

from storage.lake.writer import Writer
from tests.conftest import NOW, LakeFixture

PATTERNS = """
[profiles.patterns]
web_api = ["shop-*"]
database = []
"""


def profiles(house: LakeFixture) -> dict[str, str]:
    rows = house.reader.query("SELECT server, profile FROM servers ORDER BY server").to_pylist()
    return {row["server"]: row["profile"] for row in rows}


def measured(*servers: str) -> list[dict[str, object]]:
    return [{"server": s, "ts": NOW, "load_average": 1.0} for s in servers]


def test_a_server_that_states_nothing_has_the_profile_of_its_name(house: LakeFixture) -> None:
    house.put("metrics", measured("ppdb1", "box"))
    house.put("server_facts", [{"server": "web-2", "ts": NOW, "cores": 4}])
    house.commit()
    assert profiles(house) == {"ppdb1": "database", "box": "generic", "web-2": "web_api"}
    assert house.one("SELECT count(*) FROM servers WHERE first_seen = $now", now=NOW) == 3


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=30)], ids=["now", "in the past"])
def test_a_pattern_never_beats_a_stated_profile(house: LakeFixture, age: timedelta) -> None:
    house.put("metrics", measured("ppdb1"))
    house.commit()
    house.put("server_facts", [{"server": "ppdb1", "ts": NOW - age, "profile": "web_api"}])
    house.commit()
    house.put("server_facts", [{"server": "ppdb1", "ts": NOW + timedelta(seconds=1), "cores": 8}])
    house.commit()
    assert profiles(house) == {"ppdb1": "web_api"}


def test_patterns_of_the_settings_apply_to_servers_that_are_known_already(
    house: LakeFixture,
) -> None:
    house.put("metrics", measured("ppdb1", "shop-1", "ppml1"))
    house.commit()
    house.folders.settings.write_text(PATTERNS)
    house.put("metrics", measured("shop-2"))
    house.commit()
    expected = {"ppdb1": "generic", "shop-1": "web_api", "ppml1": "ml_compute", "shop-2": "web_api"}
    assert profiles(house) == expected


def test_patterns_that_changed_while_no_writer_ran_apply_at_its_start(house: LakeFixture) -> None:
    house.put("metrics", measured("shop-1"))
    house.commit()
    house.writer.close()
    house.folders.settings.write_text(PATTERNS)
    house.writer = Writer.open(house.folders.data)
    assert profiles(house) == {"shop-1": "web_api"}


def test_an_erased_server_keeps_no_profile(house: LakeFixture) -> None:
    house.put("metrics", measured("ppdb1"))
    house.commit()
    house.put("deletions", [{"server": "ppdb1", "ts": NOW}])
    house.commit()
    assert house.one("SELECT count(*) FROM server_facts") == 0
