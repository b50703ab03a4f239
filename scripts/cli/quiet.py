"""`hoursight quiet`: when a server can be away with the least harm, for people and automation."""

import json
from pathlib import Path

from functions.engine.caller import FunctionCaller
from scripts.cli.printer import say, say_lines
from storage.errors import HoursightError

__all__ = ["NOW", "UNKNOWN", "WAIT", "quiet"]

# Exit codes.
NOW, WAIT, UNKNOWN = 0, 1, 2


def quiet(data: Path, server: str, lasts: str, within: str, as_json: bool) -> int:
    """Print when `server` can be away for `lasts`; return the exit code. Nothing is stored."""
    body = {"server": server, "lasts": lasts, "within": within}
    try:
        batch = FunctionCaller.at(data).call("quiet_hour", dry=True, body=body).batch
    except HoursightError as error:
        say_lines(f"hoursight: {error}", err=True)
        return UNKNOWN
    if batch.answer is None:
        say_lines(f"hoursight: {'; '.join(batch.reasons)}", err=True)
        return UNKNOWN
    say(json.dumps(batch.answer) if as_json else batch.answer["text"])
    return {False: NOW, True: WAIT, None: UNKNOWN}[batch.answer["wait"]]
