"""New servers an hour from one sender: an honest fleet passes, a flood of names does not."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from storage.inbox.new_servers import NewServers
from tests.conftest import NOW, LakeFixture


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def names(count: int, prefix: str = "web") -> list[str]:
    return [f"{prefix}-{i}" for i in range(count)]


def none_known() -> Iterable[str]:
    return ()


def test_what_is_over_the_limit_is_refused_and_the_rest_taken() -> None:
    servers = NewServers(10, none_known)
    assert servers.refused("a", names(7)) == set()
    assert servers.refused("a", [*names(7), *names(5, "db")]) == {"db-3", "db-4"}
    assert servers.refused("a", [*names(7), *names(3, "db")]) == set()


def test_each_sender_has_a_limit_of_its_own() -> None:
    servers = NewServers(10, none_known)
    assert servers.refused("a", names(10)) == set()
    assert servers.refused("b", names(10, "db")) == set()
    assert servers.refused("a", ["c"]) == {"c"}


def test_after_an_hour_there_may_be_new_ones_again() -> None:
    clock = Clock()
    servers = NewServers(2, none_known, clock)
    servers.refused("a", names(2))
    clock.now = 3599.0
    assert servers.refused("a", ["late"]) == {"late"}
    clock.now = 3600.0
    assert servers.refused("a", ["late"]) == set()


def test_servers_of_the_lake_are_not_new_after_a_restart() -> None:
    asked: Iterator[None] = iter([None])

    def known() -> list[str]:
        next(asked)  # once is enough
        return names(5000)

    servers = NewServers(100, known)
    assert servers.refused("a", names(5000)) == set()
    assert servers.refused("a", names(101, "invented")) == {"invented-100"}


def test_senders_without_number_do_not_fill_the_memory() -> None:
    servers = NewServers(1, none_known)
    for i in range(10_050):
        servers.refused(f"sender {i}", [f"server {i}"])
    assert len(servers._counts) == 10_000


def test_a_source_that_invents_servers_has_the_reason_in_the_commit_log(house: LakeFixture) -> None:
    (house.folders.settings).write_text("[servers]\nnew_per_hour = 2\n")
    rows = [{"server": f"web-{i}", "ts": NOW, "load_average": 1.0} for i in range(5)]
    house.put("metrics", rows[:2])
    house.commit()
    house.put("metrics", [row | {"ts": NOW + timedelta(seconds=9)} for row in rows])
    house.commit()
    assert house.one("SELECT count(*) FROM metrics") == 4
    logged = house.reader.query("SELECT * FROM segments WHERE rows_refused > 0").to_pylist()[0]
    assert logged["rows_refused"] == 3
    assert "more than 2 new servers within an hour" in logged["refusals"][0]
    assert "raise new_per_hour below [servers]" in logged["refusals"][0]
