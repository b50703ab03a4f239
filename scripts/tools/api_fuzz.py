"""Requests made up by schemathesis to every operation of a running site's OpenAPI description.

    python -m scripts.tools.api_fuzz --url http://127.0.0.1:8080 --seconds 60

An answer of 5xx, an answer that the description does not have, or a method that is not refused is
printed with the `curl` that repeats it, and the exit code is 1. Pushed rows are committed and
functions run: give it a data folder of its own.
"""

import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import click
import schemathesis
from schemathesis.cli import schemathesis as schemathesis_command

__all__ = ["fuzz"]

# Which rows are taken depends on their times and on the lake, which no schema can say: that a valid
# body is accepted, and another one refused, is left to our own tests.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "unsupported_method",
    "allow_header_conformance", "missing_required_header", "ignored_auth",
)  # fmt: skip
ENDLESS = "^/live$"
# A cache would keep requests with their keys in the working folder.
CONFIG = "[cache]\nenabled = false\n"


@schemathesis.serializer("application/x-protobuf")
def _bytes(_: Any, value: Any) -> bytes:
    return str(value).encode()


def fuzz(
    url: str, key: str | None, seed: int, options: Sequence[str], excluded: str = ENDLESS
) -> int:
    """Run schemathesis against the site at `url` with more of its options; return its exit code.

    `excluded` is the regular expression of the paths that are left out.
    """
    header = ["--header", f"X-API-Key: {key}"] if key else []
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(CONFIG)
        config.flush()
        arguments = ["--config-file", config.name, *_arguments(url, excluded, seed), *header]
        return _run([*arguments, *options])


def _arguments(url: str, excluded: str, seed: int) -> list[str]:
    return [
        "run", f"{url}/schema", "--exclude-path-regex", excluded, "--checks", ",".join(CHECKS),
        "--warnings", "off", "--seed", str(seed), "--generation-database", "none",
    ]  # fmt: skip


def _run(arguments: list[str]) -> int:
    try:
        code = schemathesis_command.main(arguments, standalone_mode=False)
    except SystemExit as exit_:
        code = exit_.code
    return int(code or 0)


@click.command()
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The site.")
@click.option("--key", help="An API key with the scope admin, if the site needs one.")
@click.option("--seconds", default=60, show_default=True, help="Ends after this time.")
@click.option("--seed", default=1, show_default=True, help="The same seed repeats the requests.")
def main(url: str, key: str | None, seconds: int, seed: int) -> None:
    """Send made-up requests to every operation of a running site."""
    sys.exit(fuzz(url, key, seed, ["--max-time", str(seconds), "--continue-on-failure"]))


if __name__ == "__main__":
    main()
