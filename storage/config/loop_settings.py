"""Settings of the loop: whether scores correct forecasts, and whether models are trained."""

import msgspec

__all__ = ["LoopSettings", "TrainingSettings"]


class LoopSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the scores of past forecasts change what is served of the next ones."""

    correct: bool = True


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether models are trained by the system itself, or only when a person requests it."""

    automatic: bool = True
