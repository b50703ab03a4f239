"""A what-if of a server as the page shows it: what changes, and the forecast of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from web.display import formatting
from web.display.metric_display import display_of

__all__ = ["Effect", "WhatIf", "what_if"]

LEADS = {"in 1 h": 11, "in 8 h": 95}  # the steps of a forecast that the table shows
LEAST_EFFECT = 0.01  # of the base case: a smaller one is not listed


@dataclass(frozen=True, slots=True)
class Effect:
    """A metric and its medians by lead, base case and changed, as text."""

    name: str
    label: str
    values: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answer to a what-if; `error` says why there is none, and `refused` that `text` is why.

    `changes` are in words, `effects` the metrics that the model sees change, strongest first;
    `rows` have the 80 % band and the median of each metric.
    """

    text: str
    error: str = ""
    refused: bool = False
    changes: Sequence[str] = ()
    effects: Sequence[Effect] = ()
    rows: Sequence[Mapping[str, Any]] = ()


def what_if(text: str, answer: Mapping[str, Any] | None, error: str, refused: bool) -> WhatIf:
    """Return the what-if in the answer of the function `what_if`, or why there is none."""
    if answer is None:
        return WhatIf(text, error or "the engine gave no answer", refused)
    issued_at = datetime.fromisoformat(answer["issued_at"])
    made = [each for each in answer["forecasts"] if each["changed"] is not None]
    rows = [{"metric": each["metric"], "issued_at": issued_at} | each["changed"] for each in made]
    both = [each for each in made if each["base"] is not None]
    strong = [each for each in both if _strength(each) >= LEAST_EFFECT]
    effects = [_effect(each) for each in sorted(strong, key=_strength, reverse=True)]
    return WhatIf(text, "", False, [_change(each) for each in answer["changes"]], effects, rows)


def _change(change: Mapping[str, Any]) -> str:
    display = display_of(change["metric"])
    before, after = (
        formatting.reading(display.value(change[side]), display.unit) for side in ("from", "to")
    )
    return f"{display.label} {after} in place of {before} (last hour)"


def _strength(forecast: Mapping[str, Any]) -> float:
    """Return the largest change of the median, as a share of the base case."""
    base, after = (forecast[case]["p50"] for case in ("base", "changed"))
    scale = max(max(abs(value) for value in base), 1e-6)
    return float(max(abs(a - b) for a, b in zip(after, base, strict=True)) / scale)


def _effect(forecast: Mapping[str, Any]) -> Effect:
    display = display_of(forecast["metric"])

    def shown(case: str, step: int) -> str:
        return formatting.reading(display.value(forecast[case]["p50"][step]), display.unit)

    values = {lead: (shown("base", at), shown("changed", at)) for lead, at in LEADS.items()}
    return Effect(display.name, display.label, values)
