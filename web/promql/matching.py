"""Matchers of a selector: which names and labels of series they accept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from web.promql.errors import BadData, Unsupported

__all__ = ["Matcher", "Selector", "selector_of"]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label: `operator` is =, !=, =~ or !~."""

    name: str
    operator: str
    value: str

    def chosen(self, texts: Sequence[str]) -> list[bool]:
        """Return which of the texts it accepts; a label that is missing is the empty text.

        Patterns are those of RE2, on the whole text. Raises BadData for one that is not valid.
        """
        if self.operator in ("=", "!="):
            return [(text == self.value) == (self.operator == "=") for text in texts]
        try:
            matched = pc.match_substring_regex(
                pa.array(texts, pa.string()), f"^(?s:{self.value})$"
            ).to_pylist()
        except pa.ArrowInvalid as error:
            raise BadData(f"{self.value!r} is not a regular expression: {error}") from None
        return [bool(match) == (self.operator == "=~") for match in matched]


@dataclass(frozen=True, slots=True)
class Selector:
    """The matchers of a selector, with the name of the metric among them, and its times [s]."""

    matchers: tuple[Matcher, ...]
    offset: float = 0.0
    at: str | float | None = None  # start, end or a time
    window: float | None = None

    def accepted(self, name: str, texts: Iterable[str]) -> list[str]:
        """Return the texts that every matcher of the label `name` accepts, in their order."""
        kept = list(texts)
        for matcher in self.matchers:
            if matcher.name == name:
                chosen = matcher.chosen(kept)
                kept = [text for text, is_chosen in zip(kept, chosen, strict=True) if is_chosen]
        return kept

    def accepts(self, name: str, text: str) -> bool:
        """Return True if every matcher of the label accepts this text."""
        return bool(self.accepted(name, [text]))


_OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def selector_of(node: Any) -> Selector:
    """Return what a node of the parser selects. Raises BadData and Unsupported."""
    window = None
    if type(node).__name__ == "MatrixSelector":
        window, node = node.range.total_seconds(), node.vector_selector
    if node.matchers.or_matchers:
        raise Unsupported("alternatives of matchers (or inside braces) are not offered")
    matchers = [
        Matcher(m.name, _OPERATORS[str(m.op).rpartition(".")[2]], m.value)
        for m in node.matchers.matchers
    ]
    if node.name:
        matchers.insert(0, Matcher("__name__", "=", node.name))
    if all(matcher.chosen([""])[0] for matcher in matchers):
        raise BadData("vector selector must contain at least one non-empty matcher")
    offset = node.offset.total_seconds() if node.offset is not None else 0.0
    return Selector(tuple(matchers), offset, _at(node.at), window)


def _at(modifier: Any) -> str | float | None:
    """The time of a modifier @: start, end or seconds."""
    if modifier is None:
        return None
    kind = str(modifier.type).rpartition(".")[2].lower()
    if kind in ("start", "end"):
        return kind
    return float(str(modifier).removeprefix("@").strip())
