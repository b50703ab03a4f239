"""Open a model file, check that it fits and still computes what it did, and forecast with it.

    Model.open(path)        the shipped model when no path is given; ModelUnusable says why not
    model.predict(...)      a Forecast: quantiles, and per metric how far it can be trusted

onnxruntime and NumPy are all this needs. Scaling, gaps and ranges are inside the model.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as NotSupported,
)

from storage.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    MIN_CONTEXT_STEPS,
    QUANTILES,
    schema_hash,
)
from storage.metrics import METRIC_NAMES
from storage.profiles import PROFILE_NAMES

__all__ = ["CARD_KEY", "CONTRACT", "SHIPPED", "Forecast", "Model", "ModelUnusable", "State"]

SHIPPED = Path(__file__).parents[2] / "model_export" / "shipped" / "tft.onnx"
CARD_KEY = "hoursight_card"
CONTRACT = 1  # of inputs, outputs and card, as model_export writes it

_BATCH = 16  # stays in the second-level cache; larger batches are slower
_WORKERS = 2  # onnxruntime lets the interpreter go while it computes
_SELF_TEST_SIGMA = 1e-3  # machines round differently; a wrong graph is off by far more
_LATE_STEPS = 12  # no reading in the window's first hour: the history is short
_MONDAY_S = 4 * 86_400  # 1970-01-05 00:00 UTC
_WEEK_S = 7 * 86_400
_FOREIGN = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotSupported, RuntimeException)

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class ModelUnusable(Exception):
    """The file cannot be served; the message names the path, what is wrong and the remedy."""


class State(StrEnum):
    """How far the forecast of one metric of one server can be trusted."""

    OK = "ok"
    EARLY = "early"  # made from less than a day of history
    ABSTAINED = "abstained"  # fewer than 12 readings: no forecast


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the model answers for n servers."""

    quantiles: Floats  # [n, 96, 14, 7] raw units, in order; NaN where abstained
    state: NDArray[np.str_]  # [n, 14] values of State


class Model:
    """One model file in memory; `predict` may be called from several threads."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.hash = hashlib.sha256(content).hexdigest()[:16]
        self._session = _session(path, content)
        self.card = _card(path, self._session)
        self._places: dict[str, int] = dict(self.card["profiles"])
        self._fallback = self._places[self.card["profile_fallback"]]

    @classmethod
    def open(cls, path: Path | None = None) -> "Model":
        """The model at `path`, or the one that came with the package; raises ModelUnusable."""
        path = path or SHIPPED
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelUnusable(
                f"{path}: cannot be read ({error.strerror}); name a model that exists, "
                "or leave the path out to use the shipped one"
            ) from error
        model = cls(path, content)
        model._self_test()
        return model

    def predict(self, context: Floats, start: datetime, profiles: Sequence[str] | Ints) -> Forecast:
        """Forecast the 8 h after `context` [n, 288, 14]; NaN is missing, the oldest step first.

        `start` is the time, with a zone, of the first context step. `profiles` are names or
        places in PROFILE_NAMES; an unknown one counts as generic.
        Raises ValueError for a context of another shape or a time without a zone.
        """
        readings = _readings(context)
        clock = np.array([_week_minute(start)], np.float32)
        places = self._profile_places(profiles, len(readings))
        quantiles = self._run_all(readings, clock, places)
        return Forecast(quantiles, _states(readings))

    def _run_all(self, readings: Floats, clock: Floats, places: Ints) -> Floats:
        answer = np.empty(
            (len(readings), HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES)), np.float32
        )

        def run(first: int) -> None:
            rows = slice(first, first + _BATCH)
            answer[rows] = self._run(readings[rows], clock, places[rows])

        begins = range(0, len(readings), _BATCH)
        if len(begins) <= 1:
            for first in begins:
                run(first)
            return answer
        with ThreadPoolExecutor(_WORKERS) as pool:
            list(pool.map(run, begins))
        return answer

    def _run(self, context: Floats, clock: Floats, places: Ints) -> Floats:
        inputs = {"context": context, "week_minute": clock, "profile": places}
        return np.asarray(self._session.run(["quantiles"], inputs)[0], np.float32)

    def _profile_places(self, profiles: Sequence[str] | Ints, count: int) -> Ints:
        if len(profiles) != count:
            raise ValueError(f"{len(profiles)} profiles for {count} servers; one each is needed")
        if isinstance(profiles, np.ndarray) and profiles.dtype.kind in "iu":
            known = (profiles >= 0) & (profiles < len(PROFILE_NAMES))
            return np.where(known, profiles, self._fallback).astype(np.int64)
        return np.array([self._places.get(str(p), self._fallback) for p in profiles], np.int64)

    def _self_test(self) -> None:
        """Compare the answers to the card's windows with the answers in the card."""
        fixture = self.card["fixture"]
        context = _unpacked(fixture["context"]).astype(np.float32)
        clock, places = _unpacked(fixture["week_minute"]), _unpacked(fixture["profile"])
        try:
            answer = self._run(context, clock, places)
        except _FOREIGN as error:
            raise ModelUnusable(f"{self.path}: self-test failed ({error}); {_REMEDY}") from error
        first, every = fixture["leads"]
        expected = _unpacked(fixture["quantiles"])
        sigma = _unpacked(fixture["sigma"])[:, None, :, None]  # [6, 1, 14, 1]
        found = answer[:, first::every]
        worst = float(np.nanmax(np.abs(found - expected) / sigma))
        if (np.isnan(found) != np.isnan(expected)).any() or not worst <= _SELF_TEST_SIGMA:
            raise ModelUnusable(
                f"{self.path}: self-test failed, the answers differ by {worst:.1e} σ from those "
                f"in the card (at most {_SELF_TEST_SIGMA:g}); {_REMEDY}"
            )


_REMEDY = "train and export it again (python -m model_export), or use the shipped model"


def _session(path: Path, content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # two collapse when anything else runs on the machine
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is said in ModelUnusable
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _FOREIGN as error:
        raise ModelUnusable(
            f"{path}: truncated or not an ONNX model ({len(content)} bytes); {_REMEDY}"
        ) from error


def _card(path: Path, session: onnxruntime.InferenceSession) -> Mapping[str, Any]:
    told = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if told is None:
        raise ModelUnusable(f"{path}: has no card, so it is not a model of ours; {_REMEDY}")
    try:
        card: Mapping[str, Any] = json.loads(told)
    except ValueError as error:
        raise ModelUnusable(f"{path}: its card cannot be read ({error}); {_REMEDY}") from error
    if card.get("contract") != CONTRACT:
        raise ModelUnusable(
            f"{path}: made for contract {card.get('contract')}, this program has {CONTRACT}; "
            f"{_REMEDY}"
        )
    if card.get("schema_hash") != schema_hash():
        raise ModelUnusable(
            f"{path}: made for schema {card.get('schema_hash')}, this program has {schema_hash()} "
            f"(metrics, grid, quantiles or profiles differ); {_REMEDY}"
        )
    return card


def _unpacked(told: Mapping[str, Any]) -> NDArray[Any]:
    raw = zlib.decompress(base64.b85decode(told["b85"]))
    return np.frombuffer(raw, np.dtype(told["dtype"])).reshape(told["shape"])


def _readings(context: Floats) -> Floats:
    """`context` as float32; an infinity is no reading. ValueError when the shape is another."""
    expected = (CONTEXT_STEPS, len(METRIC_NAMES))
    if context.ndim != 3 or context.shape[1:] != expected:
        raise ValueError(f"context has shape {context.shape}; (servers, 288, 14) is needed")
    readings = np.ascontiguousarray(context, np.float32)
    infinite = np.isinf(readings)
    return np.where(infinite, np.float32(np.nan), readings) if infinite.any() else readings


def _states(readings: Floats) -> NDArray[np.str_]:
    known = ~np.isnan(readings)  # [n, 288, 14]
    few = known.sum(1) < MIN_CONTEXT_STEPS  # [n, 14]
    late = ~known[:, :_LATE_STEPS].any(1)
    return np.where(few, State.ABSTAINED, np.where(late, State.EARLY, State.OK))


def _week_minute(start: datetime) -> float:
    """Minutes after Monday 00:00 UTC; the model makes its calendar of them."""
    if start.tzinfo is None:
        raise ValueError(f"{start} has no zone; the model's calendar is in UTC")
    return (start.astimezone(UTC).timestamp() - _MONDAY_S) % _WEEK_S / 60
