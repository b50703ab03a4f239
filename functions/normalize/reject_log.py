"""What was refused, counted by its reason, each with an example."""

from dataclasses import dataclass, field

__all__ = ["RejectLog"]

MAX_REASONS = 20


@dataclass
class RejectLog:
    """Reasons with their counts; the first example of each is kept."""

    count: int = 0
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _examples: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, about: str, what: str, remedy: str, example: str, count: int = 1) -> None:
        """Refuse `count` values or records: `about` names the field or metric, `what` is wrong."""
        key = (f"{about}: {what}", remedy)
        self.count += count
        self._counts[key] = self._counts.get(key, 0) + count
        self._examples.setdefault(key, example)

    def add_all(self, other: "RejectLog") -> None:
        """Take in what another has."""
        self.count += other.count
        for key, count in other._counts.items():
            self._counts[key] = self._counts.get(key, 0) + count
            self._examples.setdefault(key, other._examples[key])

    def words(self) -> tuple[str, ...]:
        """One sentence a reason, the most frequent first."""
        ranked = sorted(self._counts.items(), key=lambda item: -item[1])
        return tuple(
            f"{why}, as {self._examples[why, remedy]}: {remedy} ({_times(count)})"
            for (why, remedy), count in ranked[:MAX_REASONS]
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
