"""What a release relies on: the lock, the files of others, and reasoned exceptions of rules."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "releasing.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = ("functions", "storage", "web", "model_export", "scripts", "tests")
PINNED = re.compile(
    r"^([\w.-]+)==(\S+)(?: ; [^\\]+)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def lock() -> str:
    return (ROOT / "requirements.lock").read_text()


def sources(rooms: tuple[str, ...]) -> list[Path]:
    return [ROOT / "hoursight.py", *(p for room in rooms for p in (ROOT / room).rglob("*.py"))]


def test_each_line_of_the_lock_is_a_version_with_digests() -> None:
    rest = PINNED.sub("", lock())
    assert all(line.startswith("#") for line in rest.splitlines())
    assert len(PINNED.findall(lock())) > 20


def test_the_lock_has_what_the_project_needs_in_versions_that_fit() -> None:
    pinned = {canonicalize_name(name): version for name, version, _ in PINNED.findall(lock())}
    needed = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    assert len(needed) > 20
    for each in needed:
        version = pinned[canonicalize_name(each.name)]
        assert each.specifier.contains(version, prereleases=True), (each, version)


def test_the_page_names_the_origin_of_each_file_of_others_in_its_version() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| npm `([^@`]+)@([^`]+)`, `[^`]+` \|$", PAGE, re.M)
    vendor = ROOT / "web" / "static" / "vendor"
    assert {file for file, _, _ in rows} == {p.name for p in vendor.iterdir()} - {"SHA256SUMS"}
    for file, package, version in rows:
        assert file.startswith(f"{package.removesuffix('.org')}-{version}.")


def test_each_exception_of_a_security_rule_has_its_reason_beside_it() -> None:
    lines = [line for path in sources(ROOMS) for line in path.read_text().splitlines()]
    exceptions = [line for line in lines if re.search(r"# noqa: ?S\d", line)]
    assert len(exceptions) > 5
    assert [line for line in exceptions if not re.search(r"# noqa: ?S\d+ - \w", line)] == []


def test_each_rule_that_is_off_everywhere_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    off = re.search(r"\[tool\.ruff\.lint\]\n.*?ignore = \[\n(.*?)\n\]", text, re.S)
    assert off is not None
    assert all("# " in line for line in off[1].splitlines())
    assert "S" in PROJECT["tool"]["ruff"]["lint"]["select"]


def test_asserts_outside_of_tests_only_say_what_a_type_cannot() -> None:
    narrowing = re.compile(r"assert [\w.\[\]]+ is not None$|assert isinstance\(")
    shipped = [p for p in sources(ROOMS[:-1]) if "tools" not in p.parts]
    asserts = [
        line.strip() for path in shipped for line in path.read_text().splitlines()
        if line.strip().startswith("assert ")
    ]  # fmt: skip
    assert [line for line in asserts if not narrowing.match(line)] == []
