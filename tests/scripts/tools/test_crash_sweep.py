import pytest

from scripts.tools.crash_sweep import SERVER_POINTS, SQLITE_POINTS, Outcome, sweep
from scripts.tools.postgres_server import missing

# All points of the server take too long for every run of the tests: they are played by
# python -m scripts.tools.crash_sweep.
AROUND_COMMITS = (
    "server: about to commit", "server: committed", "server: files merged",
    "COMMIT sent", "COMMIT done", "COMMIT cut",
)  # fmt: skip
CATALOGS = [
    pytest.param(SQLITE_POINTS, id="sqlite"),
    pytest.param(
        AROUND_COMMITS,
        id="postgres",
        marks=pytest.mark.skipif(missing() is not None, reason=str(missing())),
    ),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("points", CATALOGS)
def test_a_crash_at_any_step_loses_nothing_doubles_nothing_and_shows_readers_no_half(
    points: tuple[str, ...],
) -> None:
    found = sweep(points, seeds=[1])
    assert found.clean, f"{found}; not reached: {found.missed}; {found.torn[:3]}"
    assert str(found) == f"{len(points)} crash points × 1 seeds, 0 lost, 0 doubled"


def test_the_points_of_every_day_are_among_all() -> None:
    assert set(AROUND_COMMITS) <= set(SERVER_POINTS)


def test_an_outcome_with_a_loss_or_a_point_that_was_not_reached_is_not_clean() -> None:
    assert Outcome(2, 1, kills=2).clean
    assert not Outcome(2, 1, kills=1).clean
    assert not Outcome(2, 1, kills=2, lost=1).clean
    assert "half" in str(Outcome(2, 1, kills=2, torn=["half"]))
