"""A double of PagerDuty's Events API v2, by its documentation: one incident for each dedup_key."""

import json
from typing import Any

from tests.functions.delivery.receiver import Received, Reply

__all__ = ["EventsApi"]

STATES = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}


class EventsApi:
    """The incidents by dedup_key; an event that is not valid is answered with 400."""

    KEY = "R0123456789ABCDEF0123456789ABCDE"

    def __init__(self) -> None:
        self.incidents: dict[str, str] = {}
        self.opened: list[str] = []

    def handle(self, request: Received) -> Reply:
        event = request.json
        errors = list(self._errors(event))
        if errors:
            body = {"status": "invalid event", "message": "Event object is invalid"}
            return Reply(400, json.dumps(body | {"errors": errors}).encode())
        key = event.get("dedup_key") or f"made-{len(self.incidents)}"
        self._apply(event["event_action"], key)
        body = {"status": "success", "message": "Event processed", "dedup_key": key}
        return Reply(202, json.dumps(body).encode())

    def _errors(self, event: dict[str, Any]) -> list[str]:
        errors = []
        if event.get("routing_key") != self.KEY:
            errors.append("'routing_key' is invalid")
        if event.get("event_action") not in STATES:
            errors.append("'event_action' is missing or invalid")
        elif event["event_action"] != "trigger" and not event.get("dedup_key"):
            errors.append("'dedup_key' is missing or blank")
        elif event["event_action"] == "trigger":
            payload = event.get("payload", {})
            errors += [f"'{k}' is missing" for k in ("summary", "source") if not payload.get(k)]
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                errors.append("'severity' is invalid")
        return errors

    def _apply(self, action: str, key: str) -> None:
        """Triggers join an open incident; what is not open is neither acknowledged nor resolved."""
        is_open = self.incidents.get(key) in ("triggered", "acknowledged")
        if action == "trigger" and not is_open:
            self.opened.append(key)
        if action == "trigger" and self.incidents.get(key) == "acknowledged":
            return
        if action == "trigger" or is_open:
            self.incidents[key] = STATES[action]
