"""Prometheus remote write 1.0: a protobuf message of series, decoded by a minimal definition."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from functions.ingest.node_exporter import NAMES, add_series
from functions.ingest.partial_samples import PartialSamples
from functions.ingest.rejection import PushRejected, time_reason
from functions.ingest.sender_conflicts import ObserveStream, bounded_labels
from functions.ingest.server_label import INSTANCE, ServerLabel
from functions.normalize.devices import STOCK_RULES, DeviceRules
from storage.model.names import EXPECTED, REMEDY, server_name
from storage.model.reject_log import RejectLog
from storage.model.time_limits import STOCK_LIMITS, TimeLimits, TimeRange

__all__ = ["WriteRequest", "read_series"]

NAME_UNIT = "send milliseconds, as the protocol demands: the number is a time in {unit}"
INVALID = f"label {{}}: not a valid name ({EXPECTED}): {REMEDY}"
MISSING = (
    "label {}: missing: it names the server, so let the sender keep it, or name another in "
    "remote_write.server_label"
)
# Series of which two senders are looked for, by their labels of devices: one for each server.
WATCHED = {
    "node_load1": {}, "node_memory_MemAvailable_bytes": {}, "node_boot_time_seconds": {},
    "node_cpu_seconds_total": {"cpu": "0", "mode": "idle"},
}  # fmt: skip
_KNOWN = frozenset(NAMES)
_STRING, _DOUBLE, _INT64, _MESSAGE = 9, 1, 3, 11
# message: field: (number, type, repeated)
_MESSAGES: dict[str, dict[str, tuple[int, int | str, bool]]] = {
    "Label": {"name": (1, _STRING, False), "value": (2, _STRING, False)},
    "Sample": {"value": (1, _DOUBLE, False), "timestamp": (2, _INT64, False)},
    "TimeSeries": {"labels": (1, "Label", True), "samples": (2, "Sample", True)},
    "WriteRequest": {"timeseries": (1, "TimeSeries", True)},
}


def _defined() -> Any:
    """The message class of `prometheus.WriteRequest`, with the fields that are read here."""
    file = descriptor_pb2.FileDescriptorProto(
        name="hoursight/remote_write.proto", package="prometheus", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            descriptor = message.field.add(name=field, number=number, label=3 if repeated else 1)
            descriptor.type = _MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                descriptor.type_name = f".prometheus.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


WriteRequest = _defined()


def read_series(
    body: bytes,
    now: datetime,
    reasons: RejectLog | None = None,
    rules: DeviceRules = STOCK_RULES,
    limits: TimeLimits = STOCK_LIMITS,
    server_label: ServerLabel = INSTANCE,
    observe: ObserveStream | None = None,
) -> PartialSamples:
    """Decode a request; samples whose times are outside the `limits` at `now` are left out.

    `reasons` takes these, and series without a valid name in `server_label`. `observe` is called
    with each series that is used. Raises PushRejected (400).
    """
    reasons = RejectLog() if reasons is None else reasons
    try:
        request = WriteRequest.FromString(body)
    except DecodeError as error:
        raise PushRejected(
            400, "the body is not a prometheus.WriteRequest", "send remote write 1.0"
        ) from error
    within = limits.at(now)
    earliest_ms, latest_ms = within.earliest_us // 1000, within.latest_us // 1000
    readings = PartialSamples()
    for series in request.timeseries:
        labels = {label.name: label.value for label in series.labels}
        name = labels.get("__name__", "")
        server = server_name(stated := server_label.name(labels)) if name in _KNOWN else None
        if name in _KNOWN and server is None:
            what, example = (INVALID, stated) if stated else (MISSING, str(labels))
            reasons.add(what.format(server_label), example, len(series.samples))
        elif server is not None:
            samples = [s for s in series.samples if earliest_ms <= s.timestamp <= latest_ms]
            if len(samples) < len(series.samples):
                _refuse_times([s.timestamp for s in series.samples], server, within, reasons)
            timestamps, values = [s.timestamp * 1000 for s in samples], [s.value for s in samples]
            used = add_series(readings, name, labels, timestamps, values, rules, server)
            if observe is not None and used and samples and _is_watched(name, labels):
                del labels["__name__"]
                observe(server, name, "", bounded_labels(labels.items()), timestamps, values)
    readings.refuse_surplus(reasons)
    return readings


def _is_watched(name: str, labels: dict[str, str]) -> bool:
    device = WATCHED.get(name)
    return device is not None and device.items() <= labels.items()


def _refuse_times(
    times_ms: Sequence[int], server: str, within: TimeRange, reasons: RejectLog
) -> None:
    for number in times_ms:
        problem = within.problem(number * 1000, number)
        if problem is not None:
            example = f"{number} of {server}: {within.readings(number)}"
            reasons.add(time_reason(problem, NAME_UNIT), example)
