"""Stock mappings: the fields of common programs, by name, and which of them a file looks like."""

import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["StockToml", "similar_stock", "stock_names", "stock_toml"]

STOCK = Path(__file__).parent / "stock"


class StockToml(NamedTuple):
    """A stock mapping as it is written, and the names of fields by which its files are known.

    `signatures` are groups of names; a trailing * matches any rest. A file that has all names of a
    group looks like one of this program.
    """

    mapping: dict[str, Any]
    signatures: tuple[tuple[str, ...], ...]


@cache
def stock_names() -> tuple[str, ...]:
    """The names of all stock mappings."""
    return tuple(sorted(path.stem for path in STOCK.glob("*.toml")))


@cache
def stock_toml(name: str) -> StockToml:
    """The stock mapping of that name, which is one of `stock_names`."""
    raw = tomllib.loads((STOCK / f"{name}.toml").read_text())
    signatures = raw.pop("signatures", [])
    return StockToml(raw, tuple(tuple(each) for each in signatures))


def similar_stock(fields: Collection[str]) -> str | None:
    """The stock mapping whose files have such fields; None when there is not exactly one."""
    names = [
        name
        for name in stock_names()
        if any(_has_all(fields, group) for group in stock_toml(name).signatures)
    ]
    return names[0] if len(names) == 1 else None


def _has_all(fields: Collection[str], names: Collection[str]) -> bool:
    return all(
        any(f.startswith(name[:-1]) for f in fields) if name.endswith("*") else name in fields
        for name in names
    )
