"""Deletions on record: a server that sends again is told about, or refused at every door."""

import pytest

from storage.config.sample_settings import DeletionSettings
from storage.config.settings import Settings, write_settings
from storage.model.names import erased_name
from tests.conftest import NOW, LakeFixture


def delete(house: LakeFixture) -> None:
    house.put("metrics", [{"server": "web-1", "ts": NOW, "mem_used_pct": 1.0}])
    house.commit()
    house.put("deletions", [{"server": "web-1", "ts": NOW}])
    house.commit()


def send(house: LakeFixture) -> None:
    sample = {"ts": NOW, "mem_used_pct": 1.0}
    house.put("metrics", [sample | {"server": name} for name in ("web-1", "web-10")])
    house.put("server_facts", [{"server": "web-1", "ts": NOW, "cores": 4}])
    house.commit()


def test_a_server_that_was_deleted_and_sends_again_is_named_in_the_log_once(
    house: LakeFixture, caplog: pytest.LogCaptureFixture
) -> None:
    delete(house)
    for _ in range(2):
        send(house)
    (record,) = [r for r in caplog.messages if "sends again" in r]
    assert record.startswith("web-1 was deleted at 2026-")
    assert house.one("SELECT count(*) FROM metrics") == 2


def test_whatever_way_it_comes_it_is_refused_and_counted_where_the_settings_say_so(
    house: LakeFixture,
) -> None:
    delete(house)
    write_settings(house.folders.data, Settings(deletions=DeletionSettings("refuse")))
    send(house)
    assert house.one("SELECT string_agg(server) FROM metrics") == "web-10"
    assert house.one("SELECT count(*) FROM server_facts WHERE server = 'web-1'") == 0
    said = house.one(
        "SELECT refusals[1] FROM segments WHERE rows_refused > 0 AND table_name = 'metrics'"
    )
    assert said.startswith(f"{erased_name('web-1')}: the server was deleted here")
