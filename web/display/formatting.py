"""Numbers, durations and UTC times as text."""

from datetime import datetime, timedelta

from storage.model.time_limits import age_s

__all__ = [
    "ago",
    "ahead",
    "clock",
    "clock_minutes",
    "duration",
    "percent",
    "reading",
    "sentence",
    "size",
]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
# A time further away than this is shown with its day.
_SAME_DAY = timedelta(hours=20)


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: `42 s`, `2 h 10 min`; from 10 min up no seconds.

    A negative duration is `0 s`.
    """
    left = max(0, round(seconds))
    if left >= 600:
        left = round(left / 60) * 60
    for index, (size, unit) in enumerate(_UNITS):
        if left >= size:
            return _two_units(left, size, unit, index)
    return "0 s"


def _two_units(seconds: int, size: int, unit: str, index: int) -> str:
    whole, rest = divmod(seconds, size)
    text = f"{whole} {unit}"
    if index + 1 < len(_UNITS):
        smaller, name = _UNITS[index + 1]
        if rest // smaller:
            text += f" {rest // smaller} {name}"
    return text


def ago(then: datetime | None, now: datetime) -> str:
    """Return the age of a time: `3 s ago`; `never` for None."""
    return "never" if then is None else f"{duration(age_s(then, now))} ago"


def ahead(then: datetime, now: datetime) -> str:
    """Return the time until `then` in steps of 5 minutes: `50 min`, `less than 5 min`."""
    minutes = (then - now).total_seconds() / 60
    if minutes < 5:
        return "less than 5 min"
    return duration(round(minutes / 5) * 300)


def clock(then: datetime, now: datetime) -> str:
    """Return a UTC time to the second, with its day unless within 20 h of now: `02:11:05 UTC`."""
    near = abs(now - then) < _SAME_DAY
    return then.strftime("%H:%M:%S UTC" if near else "%d %b %H:%M UTC")


def clock_minutes(then: datetime, now: datetime) -> str:
    """Return a UTC time to the minute, with its day unless within 20 h of now: `02:11 UTC`."""
    near = abs(now - then) < _SAME_DAY
    return then.strftime("%H:%M UTC" if near else "%d %b %H:%M UTC")


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 as `81 %`, `< 1 %`, `> 99 %`; `–` for None."""
    if share is None:
        return "–"
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{round(share * 100)} %"


def reading(value: float | None, unit: str = "") -> str:
    """Return a metric value with two or three digits: `7.4 %`, `83 %`, `4.20`; `–` for None."""
    if value is None:
        return "–"
    if unit == "sockets" or abs(value) >= 100:
        text = f"{value:,.0f}"
    elif unit == "load" and value < 10:
        text = f"{value:.2f}"
    else:
        text = f"{value:.1f}" if abs(value) < 9.95 or unit != "%" else f"{value:.0f}"
    return f"{text} {unit}" if unit in ("%", "MB/s", "days") else text


def size(count: int) -> str:
    """Return a number of bytes in its largest unit: `0 B`, `12.3 MB`, `1.5 GB`."""
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= bytes_each:
            return f"{count / bytes_each:.1f} {unit}"
    return f"{count} B"


def sentence(text: str) -> str:
    """Return the text with a capital first letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]
