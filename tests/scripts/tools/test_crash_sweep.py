import pytest

from scripts.tools.crash_sweep import SERVER_POINTS, SQLITE_POINTS, SweepResult, sweep
from scripts.tools.postgres_server import missing

# All points of the server take too long for the tests: scripts.tools.crash_sweep has them all.
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
    result = sweep(points, seeds=[1])
    assert result.clean, f"{result}; not reached: {result.missed}; {result.inconsistent_reads[:3]}"
    assert str(result) == f"{len(points)} crash points × 1 seeds, 0 lost, 0 doubled"


def test_the_points_tested_here_are_among_all_points() -> None:
    assert set(AROUND_COMMITS) <= set(SERVER_POINTS)


def test_a_result_with_a_loss_or_a_point_that_was_not_reached_is_not_clean() -> None:
    assert SweepResult(2, 1, kills=2).clean
    assert not SweepResult(2, 1, kills=1).clean
    assert not SweepResult(2, 1, kills=2, lost=1).clean
    assert "half" in str(SweepResult(2, 1, kills=2, inconsistent_reads=["half"]))
