"""Prometheus' text format 0.0.4: what a metric is, and how its values are written."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["CONTENT_TYPE", "Measure", "Values", "exposed"]

CONTENT_TYPE = "text/plain; version=0.0.4"  # as any text it is UTF-8

# By name (of a summary: name and `_sum` or `_count`), then by the values of its labels.
Values = Mapping[str, Mapping[tuple[str, ...], float]]

# Prometheus takes a zero byte for the end; other control characters only spoil a terminal.
_ESCAPES = {code: f"\\\\x{code:02x}" for code in (*range(32), 127)}
_ESCAPES |= {ord("\n"): r"\n", ord("\\"): r"\\", ord('"'): r"\""}


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric: its name, kind, meaning in a sentence, and the names of its labels."""

    name: str
    kind: Literal["counter", "gauge", "summary"]
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which its values stand."""
        return (
            (f"{self.name}_sum", f"{self.name}_count") if self.kind == "summary" else (self.name,)
        )


def exposed(measures: Iterable[Measure], values: Values) -> str:
    """The text of all measures that have values; of equal label sets the last one counts."""
    lines: list[str] = []
    for measure in measures:
        samples = {
            f"{name}{_labels(measure.labels, given)}": value
            for name in measure.series
            for given, value in values.get(name, {}).items()
        }
        if samples:
            lines.append(f"# HELP {measure.name} {_help(measure.meaning)}")
            lines.append(f"# TYPE {measure.name} {measure.kind}")
            lines += [f"{series} {_number(value)}" for series, value in samples.items()]
    return "\n".join(lines) + "\n"


def _labels(names: tuple[str, ...], given: tuple[str, ...]) -> str:
    pairs = [f'{n}="{v.translate(_ESCAPES)}"' for n, v in zip(names, given, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
