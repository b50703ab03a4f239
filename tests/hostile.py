"""JSON texts that an endpoint has to refuse, or to take without harm, whoever sends them."""

__all__ = ["HARMLESS", "MALFORMED", "TOO_LARGE"]

MALFORMED: dict[str, bytes] = {
    "25,000 open brackets": b"[" * 25_000,
    "25,000 closed brackets": b"[" * 25_000 + b"]" * 25_000,
    "deeper than the limit": b"[" * 65 + b"]" * 65,
    "objects deeper than the limit": b'{"a":' * 65 + b"1" + b"}" * 65,
    "deep behind many": b"[" + b"{}," * 100 + b"[" * 500 + b"]" * 501,
    "invalid UTF-8": b'["\xff"]',
    "an encoded surrogate": b'["\xed\xa0\x80"]',
    "a lone escaped surrogate": b'["\\ud800"]',
    "a raw NUL": b'["a\x00b"]',
    "NaN": b"[NaN]",
    "more than a double holds": b"[1e999]",
    "an integer of 5,000 digits": b"[" + b"9" * 5000 + b"]",
    "truncated": b'{"records": [{"server": "a"',
    "two values": b"{} {}",
    "a byte order mark": b"\xef\xbb\xbf[]",
}
# Valid JSON: taken as such, and what is in it judged.
HARMLESS: dict[str, bytes] = {
    "duplicate keys": b'{"records": [], "records": [{"server": "a"}]}',
    "an integer of 65 bits": b'[{"server": "a", "n": 18446744073709551616}]',
    "an integer of 400 digits": b'[{"server": "a", "mem_used_pct": ' + b"9" * 400 + b"}]",
    "a time of 400 digits": b'[{"server": "a", "load_average": 1, "ts": ' + b"9" * 400 + b"}]",
    "nested up to the limit": b"[" * 64 + b"]" * 64,
    "an escaped NUL": b'[{"server": "a\\u0000b"}]',
    "a number": b"1",
    "null": b"null",
}  # fmt: skip
TOO_LARGE = b"[" + b"1," * (8 << 20) + b"1]"
