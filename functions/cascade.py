"""Cascades: while servers are in trouble, which other server's trouble theirs follows."""

from datetime import timedelta

import pyarrow as pa

from functions.engine.function import function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rollup import SETTLE
from functions.rules.cascades import CASCADE_STEPS, CascadeLink, cascade_links
from storage.model.grid import floor_step
from storage.model.schema import table

# A breach that ended within this time still has a cause worth knowing.
RECENT = timedelta(minutes=30)
# A link that is the newest of its server is written again after this time.
REPEATED = timedelta(hours=1)


@function(on=(rows("breaches", pause="1m"), every("5m")), writes="cascade_links")
def cascade(window: Window) -> pa.Table:
    """Link each server in trouble to the one whose trouble it follows, if there is one.

    It reads the last 24 h of the fleet, and nothing while no two servers are in trouble.
    """
    names = _in_trouble(window)
    links: list[CascadeLink] = []
    servers: tuple[str, ...] = ()
    if len(names) > 1:
        fleet = window.contexts(floor_step(window.now - SETTLE), CASCADE_STEPS)
        servers = fleet.servers
        downstream = [i for i, name in enumerate(servers) if name in names]
        links = cascade_links(fleet.values, fleet.profiles, downstream)
    known = _newest(window) if links else {}
    new = [each for each in links if known.get(servers[each.downstream]) != servers[each.upstream]]
    return pa.Table.from_pylist(
        [
            {
                "downstream": servers[each.downstream], "upstream": servers[each.upstream],
                "ts": window.now, "downstream_metric": each.downstream_metric,
                "upstream_metric": each.upstream_metric, "lag_minutes": round(each.lag_minutes),
                "correlation": each.correlation, "p_value": each.p_value,
            }
            for each in new
        ],
        table("cascade_links").arrow,
    )  # fmt: skip


def _in_trouble(window: Window) -> set[str]:
    """Return the servers that are at a level of theirs, or were until a short time ago."""
    rows = window.sql(
        "SELECT DISTINCT server FROM breaches WHERE ts <= $now AND ts > $now - INTERVAL 1 DAY "
        "AND coalesce(ended_at, $now) >= $since",
        now=window.now, since=window.now - RECENT,
    )  # fmt: skip
    return set(rows["server"].to_pylist())


def _newest(window: Window) -> dict[str, str]:
    """Return the upstream server of the newest link of each server, of those of late."""
    rows = window.sql(
        "SELECT downstream, upstream FROM cascade_links WHERE ts > $since AND ts <= $now "
        "QUALIFY row_number() OVER (PARTITION BY downstream ORDER BY ts DESC) = 1",
        since=window.now - REPEATED, now=window.now,
    )  # fmt: skip
    return dict(zip(rows["downstream"].to_pylist(), rows["upstream"].to_pylist(), strict=True))
