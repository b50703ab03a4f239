"""Prometheus text format 0.0.4: declaration of metrics and encoding of their samples."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from storage.platform.printable import printable

__all__ = ["CONTENT_TYPE", "Measure", "Values", "exposed"]

CONTENT_TYPE = "text/plain; version=0.0.4"  # UTF-8, as every text response

# By name (of a summary: name and `_sum` or `_count`), then by the values of its labels.
Values = Mapping[str, Mapping[tuple[str, ...], float]]

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\""})


@dataclass(frozen=True, slots=True)
class Measure:
    """Declaration of a metric: name, type, help text and label names."""

    name: str
    kind: Literal["counter", "gauge", "summary"]
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Names of its samples: two for a summary, else the metric's own name."""
        return (
            (f"{self.name}_sum", f"{self.name}_count") if self.kind == "summary" else (self.name,)
        )


def exposed(measures: Iterable[Measure], values: Values) -> str:
    """Return the exposition text of all measures that have values.

    When two label sets are equal after escaping, the last one wins: a duplicate series would make
    Prometheus drop the whole scrape.
    """
    lines: list[str] = []
    for measure in measures:
        samples = {
            f"{name}{_labels(measure.labels, label_values)}": value
            for name in measure.series
            for label_values, value in values.get(name, {}).items()
        }
        if samples:
            lines.append(f"# HELP {measure.name} {_help(measure.meaning)}")
            lines.append(f"# TYPE {measure.name} {measure.kind}")
            lines += [f"{series} {_number(value)}" for series, value in samples.items()]
    return "\n".join(lines) + "\n"


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = [f'{n}="{_value(v)}"' for n, v in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _value(text: str) -> str:
    """A label's value: its line breaks as the format has them, what else does not print escaped.

    Prometheus treats a zero byte as the end of input; other control characters garble terminals.
    """
    return r"\n".join(printable(line).translate(_ESCAPES) for line in text.split("\n"))


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
