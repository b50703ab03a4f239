"""Numbers and times as an operator reads them."""

from datetime import datetime, timedelta

__all__ = ["ago", "ahead", "clock", "moment", "percent", "reading", "span"]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def span(seconds: float) -> str:
    """A duration in its two largest units, past 10 min without seconds: `42 s`, `2 h 10 min`."""
    left = max(0, round(seconds))
    if left >= 600:
        left = round(left / 60) * 60
    for index, (size, unit) in enumerate(_UNITS):
        if left >= size:
            return _two_units(left, size, unit, index)
    return "0 s"


def _two_units(left: int, size: int, unit: str, index: int) -> str:
    whole, rest = divmod(left, size)
    words = f"{whole} {unit}"
    if index + 1 < len(_UNITS):
        smaller, name = _UNITS[index + 1]
        if rest // smaller:
            words += f" {rest // smaller} {name}"
    return words


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago: `3 s ago`; `never` for None."""
    return "never" if then is None else f"{span((now - then).total_seconds())} ago"


def ahead(then: datetime, now: datetime) -> str:
    """How far ahead, rounded as a forecast deserves: `50 min`, `2 h 10 min`, `less than 5 min`."""
    minutes = (then - now).total_seconds() / 60
    if minutes < 5:
        return "less than 5 min"
    return span(round(minutes / 5) * 300)


def clock(then: datetime, now: datetime) -> str:
    """The time in UTC to the second, with the day unless it is within 20 hours: `02:11:05 UTC`."""
    near = abs(now - then) < timedelta(hours=20)
    return then.strftime("%H:%M:%S UTC" if near else "%d %b %H:%M UTC")


def moment(then: datetime, now: datetime) -> str:
    """The time in UTC to the minute, with the day unless it is within 20 hours."""
    near = abs(now - then) < timedelta(hours=20)
    return then.strftime("%H:%M UTC" if near else "%d %b %H:%M UTC")


def percent(share: float | None) -> str:
    """A probability: `81 %`, `< 1 %`, `> 99 %`, `–` for None."""
    if share is None:
        return "–"
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{round(share * 100)} %"


def reading(value: float | None, unit: str = "") -> str:
    """A reading in few digits: `7.4 %`, `83 %`, `4.20`, `1,204`; `–` for None."""
    if value is None:
        return "–"
    if unit == "sockets" or abs(value) >= 100:
        text = f"{value:,.0f}"
    elif unit == "load" and value < 10:
        text = f"{value:.2f}"
    else:
        text = f"{value:.1f}" if abs(value) < 9.95 or unit != "%" else f"{value:.0f}"
    return f"{text} {unit}" if unit in ("%", "MB/s", "days") else text
