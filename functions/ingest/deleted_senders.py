"""Pushed samples of servers that were deleted: left out and counted, where the settings say so.

What is stored about it has the server's pseudonym; only the sender's answer has its name.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from functions.ingest.partial_samples import PartialSamples
from storage.config.deleted_servers import REFUSED, DeletedServers
from storage.model.names import erased_name
from storage.model.reject_log import RejectLog

__all__ = ["drop_readings", "drop_rows", "named", "pseudonymous"]


def drop_readings(deleted: DeletedServers, readings: PartialSamples) -> dict[str, int]:
    """Remove the readings of refused servers; return how many times each of them had."""
    gone = {}
    for server in [each for each in readings.servers if deleted.refuses(each)]:
        parts = readings.servers.pop(server)
        gone[server] = len(set().union(*(times for times, _ in parts.values())))
    return gone


def drop_rows(deleted: DeletedServers, rows: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows without those of refused servers, and how many each of them had."""
    counts = pc.value_counts(rows["server"]).to_pylist()
    gone = {each["values"]: each["counts"] for each in counts if deleted.refuses(each["values"])}
    if not gone:
        return rows, gone
    refused = pc.is_in(rows["server"], pa.array(list(gone), pa.string()))
    return rows.filter(pc.invert(refused)), gone


def named(rejects: RejectLog, gone: Mapping[str, int]) -> RejectLog:
    """Return the rejects with those of refused servers, for the answer to their sender."""
    return _with(rejects, gone)


def pseudonymous(rejects: RejectLog, gone: Mapping[str, int]) -> RejectLog:
    """Return the rejects with those of refused servers, as they are stored."""
    return _with(rejects, {erased_name(server): count for server, count in gone.items()})


def _with(rejects: RejectLog, gone: Mapping[str, int]) -> RejectLog:
    merged = RejectLog.merged([rejects])
    for server, count in gone.items():
        merged.add(REFUSED, server, count)
    return merged
