"""Forecaster: opens a model file, checks that it fits and computes correctly, and forecasts.

    Forecaster.open(path)      a file, a data folder, or the serving model; raises ModelUnusable
    forecaster.predict(...)    a Forecast: quantiles, and for each metric how far to trust them

It needs onnxruntime and NumPy only. Scaling, gaps and ranges are inside the model.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
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

from storage.config.folders import Folders, default_data
from storage.errors import HoursightError
from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    MIN_CONTEXT_STEPS,
    QUANTILES,
    schema_hash,
)
from storage.model.metrics import METRIC_NAMES
from storage.model.model_seal import is_intact
from storage.model.profiles import PROFILE_NAMES
from storage.platform.trusted_files import NotTrusted, read_trusted

__all__ = ["CARD_KEY", "CONTRACT", "SHIPPED", "Forecast", "Forecaster", "ModelUnusable", "State"]

SHIPPED = Path(__file__).parents[2] / "model_export" / "shipped" / "tft.onnx"
CARD_KEY = "hoursight_card"
CONTRACT = 2  # of inputs, outputs and card, as model_export writes it

_BATCH = (
    16  # the least CPU a server of 4 … 64, see scripts.tools.bench model; more only take memory
)
_WORKERS = 2  # onnxruntime lets the interpreter go while it computes
_SELF_TEST_SIGMA = 1e-3  # machines round differently; a wrong graph is off by far more
_LATE_STEPS = 12  # no reading in the window's first hour: the history is short
_MONDAY_S = 4 * 86_400  # 1970-01-05 00:00 UTC
_WEEK_S = 7 * 86_400
_FOREIGN = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotSupported, RuntimeException)

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class ModelUnusable(HoursightError):
    """The file cannot be served; the message names the path, what is wrong and the remedy."""


class State(StrEnum):
    """How far the forecast of one metric of one server can be trusted."""

    OK = "ok"
    EARLY = "early"  # made from less than a day of history
    ABSTAINED = "abstained"  # fewer than 12 readings: no forecast


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecasts of n servers."""

    quantiles: Floats  # [n, 96, 14, 7] raw units, in order; NaN where abstained
    state: NDArray[np.str_]  # [n, 14] values of State


class Forecaster:
    """One model file in memory; `predict` may be called from several threads."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.hash = hashlib.sha256(content).hexdigest()[:16]
        if not is_intact(content):
            raise ModelUnusable(
                f"{path}: damaged, or changed after its export: its content does not have the hash "
                f"at its end; {_REMEDY}"
            )
        self._session = _session(path, content)
        self.card = _card(path, self._session)
        age = np.arange(1 - CONTEXT_STEPS, 1, dtype=np.float32)[:, None]
        self._grown = age * np.array(self.card["growth_per_step"], np.float32)  # [288, 14]
        self._places: dict[str, int] = dict(self.card["profiles"])
        self._fallback = self._places[self.card["profile_fallback"]]

    @classmethod
    def open(cls, path: Path | str | None = None) -> "Forecaster":
        """Open a model file, or the serving model of a data folder.

        Without a path it is the serving model of the default data folder (`HOURSIGHT_DATA`, else
        `var`). In a folder without a model of its own the one in the package serves. Raises
        ModelUnusable.
        """
        place = Path(path or default_data())
        if path is None or place.is_dir():
            return cls.serving(Folders.at(place))
        return cls._open(place, Path.read_bytes)

    @classmethod
    def serving(cls, folders: Folders) -> "Forecaster":
        """Open the serving model of a data folder. Raises ModelUnusable.

        A model in the data folder that other users can have written is not opened.
        """
        own = folders.own_model
        return cls._open(own, read_trusted) if own else cls._open(SHIPPED, Path.read_bytes)

    @classmethod
    def _open(cls, path: Path, read: Callable[[Path], bytes]) -> "Forecaster":
        try:
            content = read(path)
        except NotTrusted as error:
            raise ModelUnusable(str(error)) from error
        except OSError as error:
            raise ModelUnusable(
                f"{path}: cannot be read ({error.strerror}); name a model that exists, "
                "or leave the path out for the one that serves"
            ) from error
        model = cls(path, content)
        model._self_test()
        return model

    def predict(
        self, context: Floats, start: datetime, profile: str | Sequence[str] | Sequence[int] | Ints
    ) -> Forecast:
        """Forecast the 8 h after `context`: [n, 288, 14] of the metrics, in raw units.

        The oldest step comes first; NaN and infinity are missing; a shorter history has NaN in
        front. `start` is the time of the first step, with a time zone. `profile` is a name, or an
        index in storage.model.profiles.PROFILE_NAMES, for each server, or one name for all; an
        unknown one counts as generic. Raises ValueError, which says what is wrong and the remedy.
        """
        readings = _readings(context)
        clock = np.array([_week_minute(start)], np.float32)
        places = self._profile_places(profile, len(readings))
        quantiles = self._run_all(readings, clock, places)
        return Forecast(quantiles, _states(readings))

    def _run_all(self, readings: Floats, clock: Floats, places: Ints) -> Floats:
        answer = _room(len(readings))

        def run(first: int) -> None:
            rows = slice(first, first + _BATCH)
            self._run(readings[rows], clock, places[rows], answer[rows])

        begins = range(0, len(readings), _BATCH)
        if len(begins) <= 1:
            for first in begins:
                run(first)
            return answer
        with ThreadPoolExecutor(_WORKERS) as pool:
            list(pool.map(run, begins))
        return answer

    def _run(self, context: Floats, clock: Floats, places: Ints, answer: Floats) -> None:
        """Write the quantiles of one batch into `answer`, without a copy."""
        binding = self._session.io_binding()
        inputs = {"context": context, "ranked": self._ranked(context)}
        for name, values in (inputs | {"week_minute": clock, "profile": places}).items():
            binding.bind_cpu_input(name, values)
        binding.bind_output("quantiles", "cpu", 0, answer.dtype, answer.shape, answer.ctypes.data)
        self._session.run_with_iobinding(binding)

    def _ranked(self, context: Floats) -> Floats:
        """Each metric's readings in order, [n, 14, 288]; NumPy sorts 20 times faster than ONNX."""
        levels = (context - self._grown).transpose(0, 2, 1)
        return np.sort(levels, axis=-1)

    def _profile_places(
        self, profile: str | Sequence[str] | Sequence[int] | Ints, count: int
    ) -> Ints:
        given = np.asarray([profile] * count if isinstance(profile, str) else profile)
        if given.shape != (count,):
            raise ValueError(
                f"{given.shape} profiles for {count} servers (expected one for each server)"
            )
        if given.dtype.kind in "iu":
            known = (given >= 0) & (given < len(PROFILE_NAMES))
            return np.where(known, given, self._fallback).astype(np.int64)
        if count and given.dtype.kind not in "UTO":
            raise ValueError(f"profiles are {given.dtype} (expected names or whole numbers)")
        return np.array([self._places.get(str(name), self._fallback) for name in given], np.int64)

    def _self_test(self) -> None:
        """Compare the answers to the card's windows with the answers in the card."""
        fixture = self.card["fixture"]
        context = _unpacked(fixture["context"]).astype(np.float32)
        clock, places = _unpacked(fixture["week_minute"]), _unpacked(fixture["profile"])
        answer = _room(len(context))
        try:
            self._run(context, clock, places, answer)
        except _FOREIGN as error:
            raise ModelUnusable(f"{self.path}: self-test failed ({error}); {_REMEDY}") from error
        first, every = fixture["leads"]
        expected = _unpacked(fixture["quantiles"])
        sigma = _unpacked(fixture["sigma"])[:, None, :, None]  # [6, 1, 14, 1]
        computed = answer[:, first::every]
        worst = float(np.nanmax(np.abs(computed - expected) / sigma))
        if (np.isnan(computed) != np.isnan(expected)).any() or not worst <= _SELF_TEST_SIGMA:
            raise ModelUnusable(
                f"{self.path}: self-test failed, the results differ by {worst:.1e} σ from those "
                f"in the card (at most {_SELF_TEST_SIGMA:g}); {_REMEDY}"
            )


_REMEDY = (
    "train it again (hoursight train), or use the package's own (hoursight models promote shipped)"
)


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
    try:
        text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    except UnicodeDecodeError as error:
        raise ModelUnusable(f"{path}: damaged ({error}); {_REMEDY}") from error
    if text is None:
        raise ModelUnusable(f"{path}: has no card, so it is not a model of ours; {_REMEDY}")
    try:
        card: Mapping[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
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


def _room(servers: int) -> Floats:
    return np.empty((servers, HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES)), np.float32)


def _unpacked(packed: Mapping[str, Any]) -> NDArray[Any]:
    raw = zlib.decompress(base64.b85decode(packed["b85"]))
    return np.frombuffer(raw, np.dtype(packed["dtype"])).reshape(packed["shape"])


def _readings(context: Floats) -> Floats:
    """`context` as float32; an infinity is no reading. ValueError when it cannot be one."""
    given = np.asarray(context)
    expected = (CONTEXT_STEPS, len(METRIC_NAMES))
    if given.ndim != 3 or given.shape[1:] != expected:
        raise ValueError(
            f"context has shape {given.shape}; (servers, 288, 14) is needed: "
            "5-minute steps, with NaN in front of a shorter history"
        )
    if given.dtype.kind not in "fiu":
        raise ValueError(f"context holds {given.dtype}; float32 is needed, NaN for what is missing")
    with np.errstate(over="ignore"):  # beyond float32 is beyond any reading
        readings = np.ascontiguousarray(given, np.float32)
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
        raise ValueError(f"start {start} has no zone; the model's calendar is in UTC")
    return (start.astimezone(UTC).timestamp() - _MONDAY_S) % _WEEK_S / 60
