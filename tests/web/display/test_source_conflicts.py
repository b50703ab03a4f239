"""Sources that write the same metric of a server at the same time are named on both."""

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import NOW, LakeFixture
from web.display.source_conflicts import source_conflicts

FRESH = (NOW, NOW)


def row(server: str, source: str, ago_s: float, **values: float) -> dict[str, Any]:
    return {"server": server, "source": source, "ts": NOW - timedelta(seconds=ago_s), **values}


def conflicts_of(house: LakeFixture, *rows: dict[str, Any]) -> dict[str, list[str]]:
    house.put("metrics", list(rows))
    house.commit(NOW)
    return source_conflicts(house.reader, FRESH, NOW)


def test_both_sources_are_named_with_the_first_server_and_its_metrics(house: LakeFixture) -> None:
    found = conflicts_of(
        house,
        *(row(server, "influx", ago, load_average=1, mem_used_pct=2)
          for server in ("b", "a") for ago in (20, 10)),
        *(row(server, "shop", 15, load_average=3, mem_used_pct=4) for server in ("a", "b")),
        row("c", "shop", 15, load_average=3),
    )  # fmt: skip
    assert found.keys() == {"influx", "shop"}
    assert found["influx"] == found["shop"] == [
        "two sources write a and 1 more server at the same time: influx and shop, both "
        "load_average, mem_used_pct. Stop one of them, or give each machine a name of its own"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rows",
    [
        [*(row("a", "influx", ago, load_average=1) for ago in (40, 10)),
         *(row("a", "shop", ago, mem_used_pct=1) for ago in (30, 20))],
        [*(row("a", "influx", ago, load_average=1) for ago in (40, 10)),
         *(row("b", "shop", ago, load_average=1) for ago in (30, 20))],
        [row("a", "influx", 40, load_average=1), row("a", "shop", 20, load_average=1)],
        [row("a", "influx", 900, load_average=1), row("a", "shop", 20, load_average=1)],
    ],
    ids=["other metrics", "other servers", "one after the other", "long ago"],
)  # fmt: skip
def test_sources_that_do_not_meet_are_no_conflict(
    house: LakeFixture, rows: list[dict[str, Any]]
) -> None:
    assert conflicts_of(house, *rows) == {}


def test_nothing_is_read_while_only_one_source_sends() -> None:
    assert source_conflicts(None, (NOW, None, NOW - timedelta(hours=1)), NOW) == {}
