"""SQL of ratios of sums over scores, with 95 % intervals from blocks."""

from collections.abc import Mapping

__all__ = ["block_ratios"]

_DAY = "epoch(block)::BIGINT // 86400"
_T_95 = "(1.96 + 2.37 / (count(*) - 1) + 2.82 / (count(*) - 1) ^ 2 + 2.56 / (count(*) - 1) ^ 3)"
_FACTOR = f"CASE WHEN count(*) >= 3 THEN {_T_95} * sqrt(count(*) / (count(*) - 1)) END AS factor"
_KEYS = ("metric", "bucket", "model")
_TEXT = """
days AS (
    SELECT {keys}, {sums}
    FROM cases
    GROUP BY {keys}, {day}
),
totals AS (
    SELECT
        {keys}, {sums},
        coalesce(sum(replayed), 0) / sum(targets) AS replayed,
        count(DISTINCT server) AS servers, count(DISTINCT {day}) AS days, count(*) AS cases,
        {squares}, {factor}
    FROM cases
    GROUP BY {keys}
),
daily AS (
    SELECT {keys}, {squares}, {factor}
    FROM days
    GROUP BY {keys}
),
ratios AS (
    SELECT totals.*, {ratios}
    FROM totals
    JOIN daily ON {match}
)
"""


def block_ratios(ratios: Mapping[str, tuple[str, str]]) -> str:
    """Return the SQL of the common table `ratios`, and those it needs, over the table `cases`.

    `cases` has a row for each metric, bucket and model (NULL: all) and each block: a `server` and
    the 8 h from `block` on, with `targets`, how many of them were `replayed`, and the columns of
    `ratios`: the name of each ratio, and the two columns whose sums it divides. Beside each ratio
    is NAME_error, half of its interval: by the wider of two kinds of blocks, those cases and whole
    days, in which a fleet moves together; NULL with fewer than three of both kinds.
    """
    columns = dict.fromkeys(["targets", *(name for pair in ratios.values() for name in pair)])
    squares = {square: None for pair in ratios.values() for square in _squares(*pair)}
    return _TEXT.strip().format(
        keys=", ".join(_KEYS), day=_DAY, factor=_FACTOR,
        sums=", ".join(f"sum({name}) AS {name}" for name in columns),
        squares=", ".join(squares),
        ratios=",\n        ".join(_ratio(name, *pair) for name, pair in ratios.items()),
        match=" AND ".join(f"totals.{key} IS NOT DISTINCT FROM daily.{key}" for key in _KEYS),
    )  # fmt: skip


def _squares(part: str, whole: str) -> list[str]:
    pairs = ((part, part), (part, whole), (whole, whole))
    return [f"sum({a} * {b}) AS {_product(a, b)}" for a, b in pairs]


def _product(a: str, b: str) -> str:
    return f"{a}_x_{b}"


def _ratio(name: str, part: str, whole: str) -> str:
    ratio = f"totals.{part} / nullif(totals.{whole}, 0)"
    widest = ", ".join(_spread(blocks, ratio, part, whole) for blocks in ("totals", "daily"))
    return f"{ratio} AS {name}, greatest({widest}) / nullif(totals.{whole}, 0) AS {name}_error"


def _spread(blocks: str, ratio: str, part: str, whole: str) -> str:
    """Return the root of the sum of squares of part - r whole over blocks, times their factor."""
    squares, products, last = (
        f"{blocks}.{_product(a, b)}" for a, b in ((part, part), (part, whole), (whole, whole))
    )
    sum_of_squares = f"{squares} - 2 * ({ratio}) * {products} + ({ratio}) ^ 2 * {last}"
    return f"{blocks}.factor * sqrt(greatest({sum_of_squares}, 0))"
