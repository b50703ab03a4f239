from datetime import timedelta

import pytest

from functions.rules.alerts.routes import STOCK_ROUTES, STOCK_STEPS, Routes, Step

STOCK = Routes(STOCK_ROUTES, STOCK_STEPS)


def test_the_stock_ladder_is_whole() -> None:
    assert STOCK.problem() is None
    assert STOCK.ladder("critical") == [
        (timedelta(0), ("on-call",)),
        (timedelta(minutes=15), ("senior",)),
        (timedelta(minutes=30), ("director",)),
    ]


def test_a_severity_without_a_route_goes_nowhere() -> None:
    assert list(STOCK.ladder("watch")) == []


def test_an_escalation_in_a_circle_is_refused_with_its_steps() -> None:
    steps = {"a": Step(("x",), "5m", "b"), "b": Step(("y",), "5m", "a")}
    assert "a → b → a" in str(Routes({"critical": "a"}, steps).problem())


def test_a_step_that_is_missing_is_named() -> None:
    steps = {"a": Step(("x",), "5m", "b")}
    assert "step 'b' of critical is missing" in str(Routes({"critical": "a"}, steps).problem())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"to": ("a,b",)}, "to has 'a,b'"),
        ({"to": ("a",), "after": "5m"}, "expected both or none"),
        ({"to": ("a",), "after": "soon", "then": "b"}, "after: 'soon'"),
    ],
)
def test_a_step_that_cannot_be_is_refused(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        Step(**fields)  # type: ignore[arg-type]
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("channels", "critical", "degrading"),
    [
        ((), [], []),
        (("on-call", "other"), [("on-call",)], []),
        (("senior", "director"), [("senior",), ("director",)], []),
        (("slack", "hook"), [("hook", "slack")], [("hook", "slack")]),
    ],
)
def test_stock_steps_send_to_channels_that_there_are(
    channels: tuple[str, ...], critical: list[tuple[str, ...]], degrading: list[tuple[str, ...]]
) -> None:
    routes = STOCK.among(channels)
    assert [to for _, to in routes.ladder("critical")] == critical
    assert [to for _, to in routes.ladder("degrading")] == degrading


def test_a_step_of_the_users_own_keeps_its_channels() -> None:
    routes = Routes({"critical": "mine"}, dict(STOCK_STEPS) | {"mine": Step(("pager",))})
    assert [to for _, to in routes.among(("slack",)).ladder("critical")] == [("pager",)]
