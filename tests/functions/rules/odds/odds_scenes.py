"""A small fleet whose memory climbs into breaches, and the odds that were issued for it."""

import numpy as np

from functions.rules.fleet_state import NAMES
from functions.rules.odds.cases import Cases, Issued, cases_of
from storage.model.grid import LEAD_MINUTES

MEMORY = NAMES.index("mem_used_pct")
DAY = 288
CRITICAL = np.full(len(NAMES), 100.0)
WARN = np.full(len(NAMES), 80.0)


def climbing(servers: int, days: int, seed: int = 5) -> np.ndarray:
    """Values [n, T, judged]: memory at 40 climbs over two hours to 110, about twice a day."""
    rng = np.random.default_rng(seed)
    values = np.full((servers, days * DAY, len(NAMES)), 20.0)
    values += rng.normal(0, 0.5, values.shape)
    for row in range(servers):
        for start in range(int(rng.integers(40, 120)), days * DAY - 60, DAY // 2):
            begin = start + int(rng.integers(0, 40))
            values[row, begin : begin + 24, MEMORY] = np.linspace(40, 105, 24)
            values[row, begin + 24 : begin + 36, MEMORY] = 110.0
    return values


def issued(values: np.ndarray, said: float = 0.02) -> Issued:
    """The same odds `said` for every case of memory, each quarter of an hour; none for the rest."""
    n, steps, judged = values.shape
    origins = np.arange(96, steps - 98, 3)
    raw = np.full((n, len(origins), judged, len(LEAD_MINUTES)), np.nan)
    raw[:, :, MEMORY] = said
    return Issued(origins, raw, raw.copy(), np.ones(raw.shape[:3]))


def levels(servers: int) -> tuple[np.ndarray, np.ndarray]:
    """The critical and warn levels [n, judged]."""
    return np.tile(CRITICAL, (servers, 1)), np.tile(WARN, (servers, 1))


def cases(servers: int = 6, days: int = 6) -> Cases:
    values = climbing(servers, days)
    return cases_of(values, *levels(servers), issued(values))
