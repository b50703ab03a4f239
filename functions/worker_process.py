"""A child process: loads one source, calls its functions when asked, and writes nothing itself.

`python -m functions.worker_process FD PARENT LOG`, where FD is its end of a socket pair, PARENT the
process at the other end and LOG the descriptor to which log records go.
"""

import ctypes
import faulthandler
import importlib
import linecache
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import msgspec

from functions.deprecated_imports import DeprecatedImport
from functions.engine.executors.executor import (
    CallRequest,
    CostMeter,
    InProcessExecutor,
    error_text,
    outcome_of,
)
from functions.engine.executors.worker_protocol import (
    CallMessage,
    CallReply,
    CodeSource,
    LoadMessage,
    LoadReply,
    Message,
    MessageReader,
    Raised,
    blobs_of,
    packed,
)
from functions.engine.function import Function, Unreachable, functions_in, hash_of
from storage.config.folders import Folders
from storage.config.settings import Settings, adopt_settings
from storage.platform import logs

__all__ = ["load"]

CHUNK = 1 << 20
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer until the other end is closed."""
    end, parent, log_end = (int(argument) for argument in sys.argv[1:4])
    _die_with(parent)
    line = socket.socket(fileno=end)
    line.set_inheritable(False)
    faulthandler.enable()
    # The parent asks with this where a run stands that has to be stopped.
    faulthandler.register(signal.SIGUSR1, all_threads=False, chain=False)
    first = _next(line)
    if not isinstance(first, LoadMessage):
        return
    _log_to(log_end, first.source)
    settings = msgspec.msgpack.decode(first.settings, type=Settings)
    adopt_settings(first.data, settings)
    hands = InProcessExecutor(Folders.at(first.data), settings)
    loaded, found = _load(first.source, hands)
    line.sendall(packed(loaded))
    while isinstance(message := _next(line), CallMessage):
        called, blobs = _call(hands, found[message.name], message)
        line.sendall(packed(called, blobs))


def _log_to(end: int, source: CodeSource) -> None:
    """Log as `PROCESS/SOURCE`, with the level and the format of the process at the other end."""
    os.set_inheritable(end, False)
    process = os.environ.get(logs.PROCESS_VARIABLE, "python")
    logs.configure(f"{process}/{source.name}", stream=os.fdopen(end, "w", buffering=1))


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be watched
        sys.exit()


def _next(line: socket.socket) -> Message | None:
    incoming = MessageReader()
    while more := line.recv(CHUNK):
        whole = incoming.add(more)
        if whole is not None:
            return whole[0]
    return None


def _load(source: CodeSource, hands: InProcessExecutor) -> tuple[LoadReply, Mapping[str, Function]]:
    with _deprecated_imports() as messages:
        try:
            found = load(source, hands.folders, hands.settings)
        except (Exception, SystemExit) as error:  # whatever a source does while it is imported
            return LoadReply(error=_told(error, source.path)), {}
    declared = tuple(f.declared() for f in found)
    return LoadReply(declared, warnings=tuple(messages)), {f.name: f for f in found}


@contextmanager
def _deprecated_imports() -> Iterator[list[str]]:
    """Collect what is said of old import paths; print other warnings as Python does."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecatedImport)
        yield messages
    for each in caught:
        if issubclass(each.category, DeprecatedImport):
            messages.append(f"line {each.lineno}: {each.message}")
        else:
            warnings.showwarning(each.message, each.category, each.filename, each.lineno)


def load(source: CodeSource, folders: Folders, settings: Settings) -> list[Function]:
    """The functions of a source; raises whatever its code does, and ImportError for none."""
    if source.module is not None:
        return functions_in(importlib.import_module(source.module))
    assert source.path is not None
    path = Path(source.path)
    if path.suffix == ".toml":
        from functions.connectors.incremental_read import source_function

        return [source_function(path.stem, source.text, folders, settings)]
    module = ModuleType(f"users.{path.stem}")  # a file may have any name, also one of ours
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    sys.path.append(str(path.parent))  # for modules of the user's own beside it
    code = compile(source.text, str(path), "exec")
    # The file may be another one by now; what runs is what was handed over.
    lines = source.text.decode(errors="replace").splitlines(keepends=True)
    linecache.cache[str(path)] = (len(source.text), None, lines, str(path))
    exec(code, module.__dict__)  # noqa: S102 - this is what the process is for
    found = functions_in(module)
    if not found:
        raise ImportError("no function in it: put @function(on=…, writes=…) above one")
    fingerprint = hash_of(source.text)
    return [msgspec.structs.replace(f, code_hash=fingerprint) for f in found]


def _call(
    hands: InProcessExecutor, function: Function, message: CallMessage
) -> tuple[CallReply, list[bytes]]:
    paths = tuple(Path(path) for path in message.paths)
    asked = CallRequest(message.now, message.cursor, paths, message.body)
    meter = CostMeter()
    try:
        with logs.during_run(message.run_id):
            answer = hands.call(function, asked)
        blobs = blobs_of(answer.batch)
    except (Exception, SystemExit) as error:  # a function is foreign code and may raise anything
        cost = meter.cost()
        called = CallReply(
            message.number, cost.cpu_s, cost.peak_rss_mb, outcome_of(error),
            _told(error, function.call.__code__.co_filename), Raised.of(error),
        )  # fmt: skip
        return called, []
    batch, cost = answer.batch, meter.cost()
    called = CallReply(
        message.number, cost.cpu_s, cost.peak_rss_mb,
        tables=tuple(batch.rows), cursor=batch.cursor, window_key=batch.window_key,
        model=batch.model, snapshot=answer.snapshot, rows_in=answer.rows_in, more=batch.more,
        refused=batch.refused, reasons=batch.reasons,
    )  # fmt: skip
    return called, blobs


def _told(error: BaseException, path: str | None) -> str:
    """The error in words, with the line of the source at `path` that it comes from."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    if isinstance(error, Unreachable):
        return error_text(error)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    where = f" (line {lines[-1]} of {Path(str(path)).name})" if lines else ""
    return error_text(error) + where


if __name__ == "__main__":
    main()
