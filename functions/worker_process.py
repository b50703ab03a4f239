"""Worker process: loads one source, calls its functions on request, and writes nothing itself.

`python -m functions.worker_process FD PARENT LOG`: FD is its end of a socket pair, PARENT the id of
the process at the other end, and LOG the descriptor for log records.
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
    CostMeter,
    InProcessExecutor,
    error_text,
    outcome_of,
)
from functions.engine.executors.trusted_imports import add_import_folder
from functions.engine.executors.worker_protocol import (
    CallMessage,
    CallReply,
    CodeSource,
    LoadMessage,
    LoadReply,
    Message,
    MessageReader,
    Raised,
    packed,
)
from functions.engine.function import (
    DeprecatedArgument,
    Function,
    Unreachable,
    functions_in,
    hash_of,
)
from functions.normalize.strict_toml import SourceInvalid
from storage.config.folders import Folders
from storage.config.settings import Settings, adopt_settings
from storage.platform import logs

__all__ = ["load"]

CHUNK = 1 << 20
DEPRECATIONS = (DeprecatedImport, DeprecatedArgument)
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Reply to messages until the other end is closed."""
    end, parent, log_end = (int(argument) for argument in sys.argv[1:4])
    _die_with(parent)
    connection = socket.socket(fileno=end)
    connection.set_inheritable(False)
    faulthandler.enable()
    # With this signal the parent makes it print the stack of a run that is to be stopped.
    faulthandler.register(signal.SIGUSR1, all_threads=False, chain=False)
    first = _next(connection)
    if not isinstance(first, LoadMessage):
        return
    _log_to(log_end, first.source)
    settings = msgspec.msgpack.decode(first.settings, type=Settings)
    adopt_settings(first.data, settings)
    executor = InProcessExecutor(Folders.at(first.data), settings)
    reply, functions = _load(first.source, executor)
    connection.sendall(packed(reply))
    while isinstance(message := _next(connection), CallMessage):
        connection.sendall(_call(executor, functions[message.name], message))


def _log_to(end: int, source: CodeSource) -> None:
    """Log as `PROCESS/SOURCE`, with the level and the format of the process at the other end."""
    os.set_inheritable(end, False)
    process = os.environ.get(logs.PROCESS_VARIABLE, "python")
    logs.configure(f"{process}/{source.name}", stream=os.fdopen(end, "w", buffering=1))


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be watched
        sys.exit()


def _next(connection: socket.socket) -> Message | None:
    incoming = MessageReader()
    while more := connection.recv(CHUNK):
        message = incoming.add(more)
        if message is not None:
            return message
    return None


def _load(
    source: CodeSource, executor: InProcessExecutor
) -> tuple[LoadReply, Mapping[str, Function]]:
    with _deprecations() as messages:
        try:
            loaded = load(source, executor.folders, executor.settings)
        except (Exception, SystemExit) as error:  # whatever a source does while it is imported
            return LoadReply(error=_text_of(error, source.path)), {}
    declared = tuple(f.declared() for f in loaded)
    return LoadReply(declared, warnings=tuple(messages)), {f.name: f for f in loaded}


@contextmanager
def _deprecations() -> Iterator[list[str]]:
    """Collect the warnings about what ends with a release; print others as Python does."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        for category in DEPRECATIONS:
            warnings.simplefilter("always", category)
        yield messages
    for each in caught:
        if issubclass(each.category, DEPRECATIONS):
            messages.append(f"line {each.lineno}: {each.message}")
        else:
            warnings.showwarning(each.message, each.category, each.filename, each.lineno)


def load(source: CodeSource, folders: Folders, settings: Settings) -> list[Function]:
    """Return the functions of a source. Raises what its code raises, and ImportError for none."""
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
    add_import_folder(path.parent)  # for modules of the user's own beside it
    code = compile(source.text, str(path), "exec")
    # The file may have changed since; tracebacks must show what runs.
    lines = source.text.decode(errors="replace").splitlines(keepends=True)
    linecache.cache[str(path)] = (len(source.text), None, lines, str(path))
    exec(code, module.__dict__)  # noqa: S102 - this is what the process is for
    loaded = functions_in(module)
    if not loaded:
        raise ImportError("no function in it: put @function(on=…, writes=…) above one")
    fingerprint = hash_of(source.text)
    return [msgspec.structs.replace(f, code_hash=fingerprint) for f in loaded]


def _call(executor: InProcessExecutor, function: Function, message: CallMessage) -> bytes:
    """Return the reply, packed: what cannot be packed is an error of the function too."""
    meter = CostMeter()
    try:
        with logs.during_run(message.run_id):
            result = executor.call(function, message.request)
        return packed(CallReply(message.number, meter.cost(), result))
    except (Exception, SystemExit) as error:  # a function is foreign code and may raise anything
        text = _text_of(error, function.call.__code__.co_filename)
        return packed(
            CallReply(message.number, meter.cost(), None, outcome_of(error), text, Raised.of(error))
        )


def _text_of(error: BaseException, path: str | None) -> str:
    """Return the error as text, with the line of the source at `path` where it was raised."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    if isinstance(error, Unreachable | SourceInvalid):  # no line of any source is at fault
        return error_text(error)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    where = f" (line {lines[-1]} of {Path(str(path)).name})" if lines else ""
    return error_text(error) + where


if __name__ == "__main__":
    main()
