"""Time and memory against size: every input that others send, at n, 2n, 4n and 8n bytes.

    python -m scripts.tools.linear_time            # all
    python -m scripts.tools.linear_time lines gzip # those of a door, or with such a name

Each run is a process of its own, bounded in CPU time. The exponent is that of time = bytes ** e:
about 1 for linear, 2 for quadratic. Inputs are built to be the worst for their parser.
"""

import argparse
import contextlib
import gzip
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from functions.ingest import json_records
from functions.ingest.decompression import decompress
from functions.ingest.remote_write import read_series
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.series_count import series_bytes
from functions.ingest.telegraf import TelegrafReader
from functions.normalize.devices import link_layer, volume_layer
from functions.normalize.file_readers import read_chunks
from functions.normalize.linear_regex import search
from functions.normalize.numbers import floats
from storage.errors import HoursightError
from storage.ipc.decoding import decode_json
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.names import server_name
from storage.platform.printable import printable
from storage.query.statement import names_of

__all__ = ["PROBES", "Probe", "main", "run"]

SIZES = (1, 2, 4, 8)
BASE_BYTES = 250_000
CPU_LIMIT_S = 60
# Shorter times are mostly noise: no exponent is computed of them.
MEASURABLE_S = 0.02
NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
RECORD = b'[{"server":"a","timestamp":"2026-05-06T12:00:00Z","cpu_idle_pct":"%b"}]'


class Probe(NamedTuple):
    """One kind of input: its door, its name, how it is made in about n bytes, and its reader."""

    door: str
    name: str
    make: Callable[[int], bytes]
    read: Callable[[bytes], object]


def _lines(body: bytes) -> object:
    readings = TelegrafReader(METRIC_NAMES).read(body.decode(), "s", NOW).readings
    return RowAssembler("influx", METRIC_NAMES).rows(readings)


def _records(body: bytes) -> object:
    sent = json_records.read_records(body)
    return json_records.validate_records(sent, METRICS, NOW, "s", "feed")


def _series(body: bytes) -> object:
    series_bytes(body)
    return RowAssembler("remote_write", METRIC_NAMES).rows(read_series(body, NOW))


def _file(ending: str) -> Callable[[bytes], object]:
    def read(body: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"file{ending}")
            path.write_bytes(body)
            return sum(len(chunk.documents) for chunk in read_chunks(path))

    return read


def _pattern(pattern: str) -> Callable[[bytes], object]:
    return lambda body: search(pattern, [body.decode()])


def _repeated(text: bytes, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + text * (size // len(text)) + after


def _numbered(line: str, size: int, between: bytes = b"\n", most: int = 1 << 30) -> bytes:
    """Lines with a number {n} and a time {t} that differ in each."""
    count = min(most, size // len(line.format(n=10_000, t=NOW_S)))
    return between.join(line.format(n=n, t=NOW_S - n).encode() for n in range(count))


def _message(field: int, body: bytes) -> bytes:
    """A field of protobuf that holds a message."""
    size, length = len(body), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + body


def _devices(size: int) -> bytes:
    """A remote write of one sample for each of many links, all at other times."""
    series = []
    for n in range(size // 100):
        labels = {
            "__name__": "node_network_receive_bytes_total", "instance": "a", "device": f"eth{n}",
        }  # fmt: skip
        made = b"".join(
            _message(1, _message(1, name.encode()) + _message(2, value.encode()))
            for name, value in labels.items()
        )
        ms, varint = (NOW_S - n) * 1000, b""
        while ms >= 0x80:
            varint += bytes([ms & 0x7F | 0x80])
            ms >>= 7
        sample = b"\x09" + b"\0" * 8 + b"\x10" + varint + bytes([ms])
        series.append(_message(1, made + _message(2, sample)))
    return b"".join(series)


def _snappy(body: bytes) -> object:
    return decompress(body, "snappy")


def _gzip(body: bytes) -> object:
    return decompress(body, "gzip")


def _sql(body: bytes) -> object:
    with duckdb.connect() as connection:
        return names_of(connection, body.decode())


def _numbers(body: bytes) -> object:
    return floats([body.decode(), "x"], lambda *_: None, percent=True)


HONEST = b"m,host=a cpu_idle_pct=1\n"
PROBES = (
    *(
        Probe("lines", name, make, _lines)
        for name, make in {
            "one open quote": lambda n: _repeated(HONEST, n, b'm,host=a text="x\n'),
            "open quotes": lambda n: _repeated(b'm,host=a text="x\n', n),
            "open quotes and a far end": lambda n: _repeated(b'm t="a\n' + b"x\n" * 5000, n),
            "an open string of escapes": lambda n: _repeated(b'\\"', n, b'm,host=a text="'),
            "many strings, then a mistake": lambda n: _repeated(b'a="1",', n, b"m ", b"x y"),
            "spaces": lambda n: _repeated(b" ", n, b'm,host=a a="1"', b"x"),
            "fields of other names": lambda n: b"m,host=a " + _numbered("a{n}=1", n, b","),
            "servers": lambda n: _numbered("m,host=h{n} cpu_idle_pct=1", n),
            "shapes of lines": lambda n: _numbered("m,host=a cpu_idle_pct=1,x{n}=1", n),
            "processes": lambda n: _numbered(
                "procstat,host=a,process_name=java cpu_usage=1,pid={n}i {t}", n
            ),
            "links at other times": lambda n: _numbered(
                "net,host=a,interface=eth{n} bytes_recv=1 {t}", n
            ),
            "tags": lambda n: _repeated(b"\\,,", n, b"m,host=a,", b" a=1"),
            "a long name of a link": lambda n: _repeated(
                b".", n, b"net,host=a,interface=", b" bytes_recv=1"
            ),
            "a long number": lambda n: _repeated(b"1", n, b"m,host=a cpu_idle_pct="),
            "a long integer": lambda n: _repeated(b"1", n, b"m,host=a cpu_idle_pct=", b"i"),
            "a long time": lambda n: _repeated(b"1", n, b"m,host=a cpu_idle_pct=1 "),
        }.items()
    ),
    *(
        Probe("records", name, make, _records)
        for name, make in {
            "empty objects": lambda n: _repeated(b"{},", n, b"[", b"{}]"),
            "empty lists": lambda n: _repeated(b"[],", n, b"[", b"[]]"),
            "brackets": lambda n: _repeated(b"[", n),
            "names": lambda n: b"[{" + _numbered('"a{n}":1', n, b",") + b"}]",
            "digits and a letter": lambda n: RECORD % _repeated(b"1", n, b"", b"x"),
            "digits, a comma, a letter": lambda n: RECORD % _repeated(b"1", n, b"", b",x"),
            "groups of digits": lambda n: RECORD % _repeated(b"123,", n, b"", b"x"),
            "blanks before a sign": lambda n: RECORD % _repeated(b" ", n, b"1", b"x%"),
            "times that are none": lambda n: (
                b"["
                + _numbered('{{"server":"a","timestamp":"x{n}","load":1}}', n, b",", 10_000)
                + b"]"
            ),
            "NaN and surrogates": lambda n: _repeated(
                b"\\ud83d\\ude00", n, b'[{"server":"a","x":NaN,"y":"', b'"}]'
            ),
        }.items()
    ),
    *(
        Probe("remote write", name, make, _series)
        for name, make in {
            "empty series": lambda n: _repeated(b"\x0a\x00", n),
            "empty labels": lambda n: _message(1, _repeated(b"\x0a\x00", n)),
            "empty samples": lambda n: _message(1, _repeated(b"\x12\x00", n)),
            "links at other times": _devices,
        }.items()
    ),
    Probe("gzip", "empty members", lambda n: _repeated(gzip.compress(b"", mtime=0), n), _gzip),
    Probe("gzip", "zeros", lambda n: gzip.compress(b"\0" * n, mtime=0), _gzip),
    Probe(
        "snappy", "zeros",
        lambda n: bytes(pa.compress(b"\0" * n, codec="snappy", asbytes=True)), _snappy,
    ),
    *(
        Probe("csv", name, make, _file(".csv"))
        for name, make in {
            "sections": lambda n: _repeated(b"#group,a\na,b\n1,2\n", n // 20),
            "marked sections": lambda n: _repeated(b"# host;time\na;1\n", n // 20),
            "comments": lambda n: _repeated(b"#\n", n, b"a,b\n1,2\n"),
            "lines that are not UTF-8": lambda n: _repeated(b"\xff\n", n, b"a,b\n1,2\n"),
            "short rows": lambda n: _repeated(b"1\n", n, b"a,b\n1,2\n"),
            "an open quote": lambda n: _repeated(b"1\n", n, b'a,b\n1,2\n"'),
            "quotes in the header": lambda n: _repeated(b'"', n, b"a,", b"\n1,2\n"),
            "columns": lambda n: _numbered("a{n}", n, b",") + b"\n1",
        }.items()
    ),
    *(
        Probe("json file", name, make, _file(".json"))
        for name, make in {
            "empty lists": lambda n: _repeated(b"[],", n, b"[", b"[]]"),
            "lines that are not JSON": lambda n: _repeated(b"x\n", n, b"{}\n"),
            "open objects": lambda n: _repeated(b"{\n", n),
        }.items()
    ),
    Probe("numbers", "digits and a letter", lambda n: _repeated(b"1", n, b"", b"x"), _numbers),
    Probe("numbers", "blanks and a sign", lambda n: _repeated(b"x ", n, b"", b"%\0"), _numbers),
    *(
        Probe("names", name, make, lambda body: link_layer(body.decode()))
        for name, make in {
            "link of points": lambda n: _repeated(b".", n, b"", b"\n"),
            "link of bridges": lambda n: _repeated(b"br", n, b"", b"\n"),
        }.items()
    ),
    Probe(
        "names", "mount point", lambda n: _repeated(b"/snap/", n, b"", b"\n"),
        lambda body: volume_layer("ext4", body.decode()),
    ),
    Probe("names", "server", lambda n: _repeated(b" ", n), lambda b: server_name(b.decode())),
    Probe("names", "control characters", lambda n: b"\x1b" * n, lambda b: printable(b.decode())),
    *(
        Probe("patterns", pattern, lambda n: _repeated(b"a", n, b"", b"b"), _pattern(pattern))
        for pattern in ("(a+)+$", "^(a|a)*$", "(.*)x(.*)y", r"^(?:.*, ?)?a(.*)\}")
    ),
    Probe(
        "patterns", "*a*a*a*a*b of a setting", lambda n: _repeated(b"a", n),
        lambda body: fnmatchcase(body.decode(), "*a*a*a*a*b"),
    ),
    Probe("sql", "words", lambda n: _repeated(b"a, ", n, b"EXPLAIN SELECT ", b"1"), _sql),
    Probe(
        "answers", "values of Prometheus",
        lambda n: _repeated(b'[0,""],', n, b'{"data":{"result":[{"metric":{},"values":[', b"[0]"),
        lambda body: decode_json(body),
    ),
)  # fmt: skip


def run(probe: Probe, size: int) -> float:
    """Read an input of about `size` bytes; return the seconds of CPU time.

    It may be refused in words.
    """
    body = probe.make(size)
    began = time.process_time()
    with contextlib.suppress(HoursightError):
        probe.read(body)
    return time.process_time() - began


def main(arguments: list[str] | None = None) -> None:
    """Print a row for each probe whose door or name has one of the given words."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="*", help="doors, or parts of names; all without")
    parser.add_argument("--bytes", type=int, default=BASE_BYTES, help="the smallest size")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one is not None:
        _print_one(PROBES[options.one], options.bytes)
        return
    print(f"{'input':45}" + "".join(f"{f'{k}n [s]':>9}" for k in SIZES) + f"{'MB':>7} exponent")
    for place, probe in enumerate(PROBES):
        about = f"{probe.door}: {probe.name}"
        if not options.words or any(word in about for word in options.words):
            print(_row(about, place, options.bytes), flush=True)


def _print_one(probe: Probe, size: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    run(probe, 1000)  # what is imported and compiled at first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = run(probe, size)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "mb": (after - before) / 1024}))


def _row(about: str, place: int, base: int) -> str:
    taken: list[dict[str, float]] = []
    for factor in SIZES:
        result = _measured(place, base * factor)
        if result is None:
            break
        taken.append(result)
    times = [f"{each['seconds']:9.3f}" for each in taken]
    times += [f"{'> ' + str(CPU_LIMIT_S):>9}"] * (len(SIZES) - len(taken))
    largest = f"{taken[-1]['mb']:7.0f}" if taken else f"{'-':>7}"
    return f"{about:45}{''.join(times)}{largest} {_exponent([each['seconds'] for each in taken])}"


def _measured(place: int, size: int) -> dict[str, Any] | None:
    """Seconds and megabytes of one run; None where a signal ended it, as it took too long."""
    command = (sys.executable, "-m", __spec__.name, "--one", str(place), "--bytes", str(size))
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.getcwd())
    if done.returncode > 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout) if done.returncode == 0 else None


def _exponent(seconds: Iterable[float]) -> str:
    """The exponent between the first measurable time and the last one."""
    known = [(k, s) for k, s in zip(SIZES, seconds, strict=False) if s >= MEASURABLE_S]
    if len(known) < 2:
        return "(too fast)" if len(known) == 0 else "-"
    (first, early), *_, (last, late) = known
    return f"{math.log(late / early) / math.log(last / first):.2f}"


if __name__ == "__main__":
    main()
