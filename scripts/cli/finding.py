"""Finding: the result of one check of `hoursight doctor`."""

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; it has a `remedy` if something is wrong."""

    about: str
    text: str
    remedy: str | None = None

    @property
    def well(self) -> bool:
        """True if nothing has to be done."""
        return self.remedy is None
