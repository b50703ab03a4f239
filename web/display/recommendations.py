"""Recommended next step for a server, by its worst metric."""

from storage.model.next_steps import NEXT_STEPS, STALE_STEP
from web.display.server_status import ServerStatus

__all__ = ["next_step", "worst_metric"]

ANY_STEP = "Check the reasons and charts below, worst first."


def worst_metric(server: ServerStatus) -> str | None:
    """Return the metric to check first: of the likely breach or of the strongest reason."""
    forecast_is_worse = (server.ahead_score or 0) > (server.now_score or 0)
    if forecast_is_worse and server.breach_metric:
        return server.breach_metric
    named = next((r.metric for r in server.reasons if r.metric), None)
    return named or server.breach_metric


def next_step(server: ServerStatus) -> str:
    """Return the next step as a sentence, or an empty string when no action is needed."""
    if server.stale:
        return STALE_STEP
    if server.respond_within_minutes is None:
        return ""
    return NEXT_STEPS.get(worst_metric(server) or "", ANY_STEP)
