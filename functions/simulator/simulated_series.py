"""Simulated series: the 14 metrics of servers at any times, from seed, names and timeline alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from functions.simulator.incident_kinds import KINDS
from functions.simulator.incidents import Episodes, episodes
from functions.simulator.noise import SETTLED_SECONDS, ar_noise
from functions.simulator.normal_levels import COLUMNS, MEANS, SPREADS, WEEK
from functions.simulator.rng import Floats, Ints, Keys, keyed, normal, uniform
from functions.simulator.simulated_fleet import FleetColumns, SimulatedServer, fleet_columns
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES, levels_for

__all__ = ["simulate"]

_BLOCK_CELLS = 1 << 16  # servers × timestamps of a block: what a core's cache holds
_TRAITS, _PHASE, _BACKUP, _DISK, _BOOT = range(100, 105)
_DAY = 86400
_MONDAY = 4 * _DAY  # 5 January 1970
_BOOT_ROUND = 40 * _DAY
_CURVES = np.array([kind.curve for kind in KINDS], dtype=np.float32)
_NOISES = (*COLUMNS, "activity", "traffic")
_LEVELS = [levels_for(profile, cores=1) for profile in PROFILE_NAMES]

# Deviation over time as a part of the deviation between servers; memory and disk change slowly.
_SWINGS = {"mem": 0.15, "swap": 0.1, "disk": 0.02, "net_in": 0.3, "net_out": 0.3, "load": 0.15}


@dataclass(frozen=True, slots=True)
class _SeriesBlock:
    """A block of servers and timestamps; arrays are [servers, timestamps] or [servers, 1]."""

    servers: FleetColumns
    timestamps: Ints
    normal: dict[str, Floats]  # the level of each column on an average day
    swing: dict[str, Floats]  # deviation over time, relative to normal
    noise: dict[str, Floats]
    critical: dict[str, Floats]
    drives: dict[int, Floats]  # depth of the incidents by kind, 0 to about 1

    def pushed(self, value: Floats, channel: str) -> Floats:
        """Return `value` raised towards the targets of the incidents that drive `channel`."""
        for kind, drive in self.drives.items():
            target = KINDS[kind].targets.get(channel)
            if target is not None:
                value = value + drive * np.maximum(target * self.critical[channel] - value, 0)
        return value

    def traffic(self, value: Floats, channel: str) -> Floats:
        """Return `value` scaled by the incidents that change the traffic of `channel`."""
        for kind, drive in self.drives.items():
            factor = KINDS[kind].targets.get(channel)
            if factor is not None:
                value = value * (1 + drive * np.float32(factor - 1))
        floored: Floats = np.maximum(value, 0)
        return floored

    def lively(self, column: str, base: Floats | float = 1.0) -> Floats:
        """Return `column` at `base` times its normal level, with its own noise."""
        noise = 1 + self.swing[column] * self.noise[column]
        lively: Floats = self.normal[column] * base * np.maximum(noise, np.float32(0.05))
        return lively


def simulate(
    fleet: Sequence[SimulatedServer],
    timestamps: Ints,
    timeline: Sequence[tuple[datetime, str]],
    seed: int,
) -> Floats:
    """Return samples as float32 [servers, timestamps, 14], in the order and units of METRIC_NAMES.

    `timestamps` are ascending epoch seconds at any spacing. A sample depends on seed, server,
    timeline and its own timestamp alone. Raises ValueError for timestamps out of order and for a
    timeline that `incidents` does not accept.
    """
    if np.any(np.diff(timestamps) < 0):
        raise ValueError("timestamps go back in time: pass them in ascending order")
    samples = np.empty((len(fleet), len(timestamps), len(METRIC_NAMES)), dtype=np.float32)
    if samples.size == 0:
        return samples
    servers = fleet_columns(fleet, seed)
    window = (int(timestamps[0]), int(timestamps[-1]) + 1)
    drawn = episodes(fleet, timeline, window, seed)
    for rows, span in _blocks(len(fleet), timestamps):
        block = _block(servers.part(rows), timestamps[span], _of_rows(drawn, rows))
        samples[rows, span] = _samples(block)
    return samples


def _blocks(servers: int, timestamps: Ints) -> Iterator[tuple[slice, slice]]:
    """Slices of servers and timestamps that fit a core's cache, without a long gap inside."""
    gaps = [int(gap) for gap in np.flatnonzero(np.diff(timestamps) > SETTLED_SECONDS) + 1]
    for begin, end in zip([0, *gaps], [*gaps, len(timestamps)], strict=True):
        height = max(1, _BLOCK_CELLS // (end - begin))
        for row in range(0, servers, height):
            yield slice(row, min(row + height, servers)), slice(begin, end)


def _of_rows(drawn: Episodes, rows: slice) -> Episodes:
    """The episodes of a block's servers, numbered from its first row."""
    part = drawn.where((drawn.servers >= rows.start) & (drawn.servers < rows.stop))
    return replace(part, servers=part.servers - rows.start)


def _block(servers: FleetColumns, timestamps: Ints, drawn: Episodes) -> _SeriesBlock:
    means = _means(servers)
    noise = ar_noise(servers.keys, timestamps, _NOISES)
    return _SeriesBlock(
        servers,
        timestamps,
        {name: means[:, nth, None] for nth, name in enumerate(COLUMNS)},
        {name: _swing(servers, nth, name) for nth, name in enumerate(COLUMNS)},
        noise,
        _critical(servers),
        _drives(drawn, timestamps, noise["activity"]),
    )


def _means(servers: FleetColumns) -> Floats:
    """Normal levels of each server, [servers, COLUMNS]; they differ within a profile."""
    traits = normal(keyed(servers.keys[:, None], _TRAITS, np.arange(len(COLUMNS), dtype=np.int64)))
    offsets = SPREADS[servers.profiles] * np.float32(0.7) * np.clip(traits, -1.5, 1.5)
    means: Floats = np.maximum(MEANS[servers.profiles] + offsets, np.float32(0.2))
    # A server whose normal level is its warning level would warn on a healthy day.
    tops = np.array([level["cpu_iowait_pct"].warn for level in _LEVELS], dtype=np.float32)
    iowait = COLUMNS.index("iowait")
    means[:, iowait] = np.minimum(means[:, iowait], np.float32(0.85) * tops[servers.profiles])
    return means


def _swing(servers: FleetColumns, nth: int, name: str) -> Floats:
    relative = SPREADS[:, nth] / MEANS[:, nth] * np.float32(_SWINGS.get(name, 0.35))
    capped: Floats = np.minimum(relative, np.float32(0.3))
    return capped[servers.profiles, None]


def _critical(servers: FleetColumns) -> dict[str, Floats]:
    """The critical levels that the targets of a channel are multiples of; 1 where they are %."""
    metrics = {"iowait": "cpu_iowait_pct", "back": "back_close_wait", "front": "front_close_wait"}
    critical = dict.fromkeys(("busy", "mem", "disk"), np.ones((1, 1), dtype=np.float32))
    for channel, metric in metrics.items():
        levels = np.array([level[metric].critical for level in _LEVELS], dtype=np.float32)
        critical[channel] = levels[servers.profiles, None]
    per_core = np.array([level["load_average"].critical for level in _LEVELS], dtype=np.float32)
    critical["load"] = (per_core[servers.profiles] * servers.cores.astype(np.float32))[:, None]
    return critical


def _drives(drawn: Episodes, timestamps: Ints, jitter: Floats) -> dict[int, Floats]:
    """The depth of the incidents by kind, [servers, timestamps] like `jitter`."""
    begins = np.searchsorted(timestamps, drawn.starts)
    counts = np.searchsorted(timestamps, drawn.ends) - begins
    rows = np.repeat(np.arange(len(drawn)), counts)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts - begins, counts)
    depths = _depths(drawn.where(rows), timestamps[columns])
    drives = {}
    for kind in np.unique(drawn.kinds[rows]):
        of_kind = drawn.kinds[rows] == kind
        drive = np.zeros_like(jitter)
        cells = (drawn.servers[rows[of_kind]], columns[of_kind])
        np.maximum.at(drive, cells, depths[of_kind])
        drives[int(kind)] = drive * (1 - np.float32(0.008) * np.abs(jitter))
    return drives


def _depths(drawn: Episodes, timestamps: Ints) -> Floats:
    """The depth of each episode at its timestamp: growing, then recovering."""
    grown = _part(timestamps - drawn.starts, drawn.peaks - drawn.starts)
    curve = _CURVES[drawn.kinds]
    left = _part(drawn.ends - timestamps, drawn.ends - drawn.eases)
    return drawn.depths * grown * (1 - curve + curve * grown) * left


def _part(done: Ints, whole: Ints) -> Floats:
    part: Floats = np.clip(done / np.maximum(whole, 1), 0, 1).astype(np.float32)
    return part


def _samples(block: _SeriesBlock) -> Floats:
    """The 14 metrics of a block, each derived from those that cause it."""
    since_boot = _since_boot(block)
    warm = np.minimum(np.float32(0.3) + since_boot.astype(np.float32) / 2600, np.float32(1))
    activity = _activity(block)
    backup = _backup(block)
    network = _network(block, activity, backup)
    mem = block.pushed(block.lively("mem", 1 + np.float32(0.06) * (activity - 1)) * warm, "mem")
    mem = np.minimum(mem, np.float32(99.9))
    thrash = 70 * np.clip((mem - 92) / np.float32(7.5), 0, 1)
    swap = np.minimum(block.lively("swap") * warm + thrash, 100)
    cpu = _cpu(block, activity, backup, thrash)
    load = _load(block, 100 - cpu["cpu_idle_pct"], thrash)
    columns = {
        **network,
        **cpu,
        "mem_used_pct": mem,
        "swap_used_pct": swap,
        "disk_usage_pct": _disk(block),
        "load_average": load,
        "uptime_days": since_boot / _DAY,
    }
    return np.stack([columns[name].astype(np.float32) for name in METRIC_NAMES], axis=-1)


def _activity(block: _SeriesBlock) -> Floats:
    """Activity over the week, 1 on average; each server's week is shifted by up to 30 minutes."""
    phase = ((uniform(keyed(block.servers.keys, _PHASE)) - 0.5) * 3600).astype(np.int64)
    seconds = (block.timestamps + phase[:, None] - _MONDAY) % (7 * _DAY)
    hours = seconds // 3600
    into = ((seconds - hours * 3600) / 3600).astype(np.float32)
    profiles = block.servers.profiles[:, None]
    begun = WEEK[profiles, hours]
    week: Floats = begun + into * (WEEK[profiles, hours + 1] - begun)
    return week * (1 + np.float32(0.05) * block.noise["activity"])


def _backup(block: _SeriesBlock) -> Floats:
    """The nightly backup, 0 to 1: each server has its own minute between 1 h and 4 h."""
    draws = uniform(keyed(block.servers.keys[:, None], _BACKUP), np.arange(2, dtype=np.int64))
    middle = (3600 * (1 + 3 * draws[:, :1])).astype(np.int64)
    half = (60 * (20 + 30 * draws[:, 1:])).astype(np.int64)
    away = np.abs((block.timestamps - middle + _DAY // 2) % _DAY - _DAY // 2)
    return _part(half + 600 - away, np.full_like(half, 600))


def _network(block: _SeriesBlock, activity: Floats, backup: Floats) -> dict[str, Floats]:
    """Traffic, and the CLOSE_WAIT sockets that it leaves behind."""
    flow = activity * (1 + np.float32(0.12) * block.noise["traffic"])
    net_in = block.traffic(block.lively("net_in", flow), "net_in")
    net_out = block.lively("net_out", flow * (1 + np.float32(0.4) * backup))
    net_out = block.traffic(net_out, "net_out")
    relative = net_in / block.normal["net_in"] + net_out / block.normal["net_out"]
    traffic = np.float32(0.5) * relative
    return {
        "net_in_mb_s": net_in,
        "net_out_mb_s": net_out,
        "back_close_wait": np.rint(block.pushed(block.lively("back", traffic), "back")),
        "front_close_wait": np.rint(block.pushed(block.lively("front", traffic), "front")),
    }


def _cpu(
    block: _SeriesBlock, activity: Floats, backup: Floats, thrash: Floats
) -> dict[str, Floats]:
    """The parts of the CPU in %; hypervisor and interrupts take what is missing to 100."""
    reads = np.float32(0.5) + np.float32(0.5) * activity + np.float32(0.4) * backup
    waits = block.lively("iowait", reads)
    iowait = block.pushed(waits, "iowait") + np.float32(0.45) * thrash
    iowait = np.minimum(iowait, np.float32(96))
    user = block.lively("user", activity)
    sys = block.lively("sys", np.float32(0.4) + np.float32(0.6) * activity)
    in_kernel = np.minimum(sys / (user + sys) + np.float32(0.004) * thrash, np.float32(0.7))
    calm = _bent(user + sys + waits, 70, 88) - waits
    work = block.pushed(calm + iowait, "busy") - iowait
    work = np.minimum(work, np.float32(99.6) - iowait)
    java = block.lively("java") / (block.normal["user"] + block.normal["sys"])
    taken = np.float32(0.2) + np.float32(0.15) * np.abs(block.noise["sys"])
    return {
        "cpu_user_pct": work * (1 - in_kernel),
        "cpu_sys_pct": work * in_kernel,
        "cpu_iowait_pct": iowait,
        "cpu_idle_pct": np.maximum(100 - work - iowait - taken, 0),
        "java_cpu_pct": work * np.minimum(java, np.float32(0.96)),
    }


def _load(block: _SeriesBlock, used: Floats, thrash: Floats) -> Floats:
    """Load average: follows the CPU, and rises when memory has run out."""
    cores = block.servers.cores.astype(np.float32)[:, None]
    # The loads in the table of normal levels are those of 12 cores at its CPU levels.
    typical = block.normal["user"] + block.normal["sys"] + block.normal["iowait"]
    queue = np.clip(block.normal["load"] / 12 / (typical / 100), np.float32(0.6), np.float32(1.1))
    calm = 1 + block.swing["load"] * block.noise["load"]
    per_core = _bent(used / 100 * queue * calm, np.float32(0.7), np.float32(0.96))
    return block.pushed(cores * (per_core + np.float32(0.012) * thrash), "load")


def _disk(block: _SeriesBlock) -> Floats:
    """Disk usage in %: growth over days until a clean-up, and logs until their daily rotation."""
    draws = uniform(keyed(block.servers.keys[:, None], _DISK), np.arange(5, dtype=np.int64))
    days = block.timestamps / _DAY
    weeks = (days / (5 + 6 * draws[:, :1]) + draws[:, 1:2]) % 1 - 0.5
    logs = (days + draws[:, 2:3]) % 1 - 0.5
    grown = (2 + 3 * draws[:, 3:4]) * weeks + (0.4 + 1.4 * draws[:, 4:5]) * logs
    level = np.minimum(block.lively("disk"), np.float32(76)) + grown.astype(np.float32)
    return np.minimum(block.pushed(level, "disk"), np.float32(99.5))


def _since_boot(block: _SeriesBlock) -> Ints:
    """Seconds since the last boot; each server boots once in each of its rounds of 40 days."""
    keys = keyed(block.servers.keys[:, None], _BOOT)
    rounds = block.timestamps[None, :] // _BOOT_ROUND
    booted = _boot(keys, rounds)
    return block.timestamps - np.where(booted <= block.timestamps, booted, _boot(keys, rounds - 1))


def _boot(keys: Keys, rounds: Ints) -> Ints:
    return rounds * _BOOT_ROUND + (uniform(keys, rounds) * _BOOT_ROUND).astype(np.int64)


def _bent(value: Floats, knee: float | np.float32, top: float | np.float32) -> Floats:
    """`value` up to `knee`, above it a curve that approaches `top`."""
    over = np.maximum(value - knee, 0)
    room = top - knee
    bent: Floats = np.minimum(value, knee) + room * over / (over + room)
    return bent
