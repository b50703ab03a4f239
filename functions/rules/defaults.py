"""Defaults of the loop: the measured settings of calibration, race, odds, warnings and drift."""

from typing import Final

from storage.model.evidence import LEAST_EVENTS, SKILL_HOURS
from storage.model.served import CANDIDATES

__all__ = [
    "ABSOLUTE_DISTANCE", "BANDS_WINDOW", "BREACH_QUIET_STEPS", "BREACH_STEPS", "CALIBRATION_STEP",
    "CALIBRATION_STEP_FLOOR", "CANDIDATES", "CLOSE_AFTER", "CLOSE_GAP", "CLOSE_ODDS",
    "DRIFT_CHECKS", "DRIFT_LIMIT", "FARTHEST_MEDIAN", "FLAP_MEMORY", "LARGEST_LOG_FACTOR",
    "LEAST_EVENTS", "LEAST_KNOWN_SHARE", "LEAST_LOSS_EXCESS", "LONGEST_QUIET", "ODDS_TO_PAGE",
    "ODDS_TO_WARN", "ODDS_UNCHECKED", "PRESET_AFTER_HOURS", "PROFILE_SERVERS", "RACE_CASE_HOURS",
    "RACE_CAUTION", "RACE_ETA", "RACE_EVIDENCE_HOURS", "RACE_HALF_LIFE_HOURS", "RACE_LEAST_LOSS",
    "RACE_LEAST_SHARE", "RACE_MARGIN", "RACE_PRIOR", "REOPEN_AFTER", "SERVER_PULL", "SERVER_STEP",
    "SKILL_HOURS", "SKILL_TO_RETURN", "TREND_WINDOW",
]  # fmt: skip

# A breach: so many 5-minute steps in a row at or over the level, after so many without.
BREACH_STEPS: Final = 3
BREACH_QUIET_STEPS: Final = 24

# Online calibration: step max(.1 * (1 + n / 24) ** -.75, .015) each 15 minutes, n counted in them.
CALIBRATION_STEP: Final = 0.1
CALIBRATION_STEP_FLOOR: Final = 0.015
PRESET_AFTER_HOURS: Final = 24.0  # then set once to the quantile of the ratios seen
SERVER_STEP: Final = 0.5  # of the fleet's step
SERVER_PULL: Final = 0.02  # of the step, towards 0
PROFILE_SERVERS: Final = 5.0  # a profile of so many servers counts half as much as the fleet
LARGEST_LOG_FACTOR: Final = 2.1  # a band is made 8 times wider or narrower at most
ABSOLUTE_DISTANCE: Final = 0.002  # of the series' P1 to P99 range: the least distance

# Race of the forecasts that may be served.
RACE_PRIOR: Final = (0.7, 0.1, 0.1, 0.1)
RACE_ETA: Final = 60.0
RACE_HALF_LIFE_HOURS: Final = 72.0
RACE_EVIDENCE_HOURS: Final = 24.0
RACE_CAUTION: Final = 0.25  # standard errors by which an advantage must exceed its noise
RACE_MARGIN: Final = 0.02  # by which it must exceed it beyond that
RACE_CASE_HOURS: Final = 8.0  # hours of losses that are one independent case
RACE_LEAST_LOSS: Final = 0.0005  # of the scale; smaller losses count as this one
RACE_LEAST_SHARE: Final = 0.01  # a smaller share goes to the model

# No forecast is served with a skill below 0 over 7 days, judged from SKILL_HOURS of scores on.
SKILL_TO_RETURN: Final = 0.02  # it is served again above this
LEAST_LOSS_EXCESS: Final = 0.001  # of the scale: less is no loss to speak of
# Measured on four public sets: an 80 % band from a reading an hour holds .60 (calibration mends
# that), and no median left the readings of its context by more than .31 of their range.
LEAST_KNOWN_SHARE: Final = 1 / 15  # of the steps since the first reading
FARTHEST_MEDIAN: Final = 3.0

# Drift: the lower bound of log(loss / reference) over this in so many checks, an hour apart.
DRIFT_LIMIT: Final = 1.05
DRIFT_CHECKS: Final = 3

# Warnings open at one of these odds for so much of the last time: 2 of 3 issues, 5 minutes
# apart, with the odds of the bands alone, 6 of 8 with a trend head.
ODDS_TO_WARN: Final = {"1h": 0.2, "2h": 0.3}
ODDS_UNCHECKED: Final = {"2h": 0.5, "8h": 0.7}  # until they were checked on the fleet's breaches
ODDS_TO_PAGE: Final = {"1h": 0.5}
BANDS_WINDOW: Final = ("10m", "15m")
TREND_WINDOW: Final = ("30m", "40m")
# They close below this share of the opening odds, and a breach this share of the distance from the
# critical to the warn level below its level, for so long; then no warning reopens for so long.
CLOSE_ODDS: Final = 0.5
CLOSE_GAP: Final = 0.2
CLOSE_AFTER: Final = "30m"
REOPEN_AFTER: Final = "2h"
# Both double with each episode of this series that came to nothing within so long, up to so long.
FLAP_MEMORY: Final = "24h"
LONGEST_QUIET: Final = "8h"
