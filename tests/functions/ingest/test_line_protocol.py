"""Line protocol: what is written by its rules is read back; what is not, is named."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.line_protocol import LinePoint, MalformedLine, parts, points

# What the format cannot carry: a backslash before a special character or at the end of a word, line
# feeds outside strings. A word that begins with a mark of comments cannot be a measurement.
SAFE = st.characters(exclude_characters="\\\n\r\x00", exclude_categories=["Cs"])
words = st.text(SAFE, min_size=1, max_size=12)
names = words.filter(lambda w: not w.startswith("#") and w.strip(" ") == w)
values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1),
    st.booleans(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)  # fmt: skip
all_points = st.builds(
    LinePoint, names, st.dictionaries(words, words, max_size=3),
    st.dictionaries(words, values, min_size=1, max_size=4),
    st.one_of(st.none(), st.integers(0, 2**62)),
)  # fmt: skip


def escaped(word: str, special: str) -> str:
    return "".join(f"\\{c}" if c in special else c for c in word)


def written(value: float | int | bool | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "F"
    if isinstance(value, str):
        inside = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{inside}"'
    return f"{value}i" if isinstance(value, int) else repr(value)


def line_of(point: LinePoint) -> str:
    tags = "".join(f",{escaped(k, ',= ')}={escaped(v, ',= ')}" for k, v in point.tags.items())
    fields = ",".join(f"{escaped(k, ',= ')}={written(v)}" for k, v in point.fields.items())
    time = "" if point.time is None else f" {point.time}"
    return f"{escaped(point.measurement, ', ')}{tags} {fields}{time}"


@given(st.lists(all_points, max_size=4))
def test_every_point_is_read_back_as_it_was_written(sent: list[LinePoint]) -> None:
    body = "# a comment\n\n" + "\n".join(line_of(point) for point in sent) + "\n"
    assert list(points(body)) == sent


@given(st.text(max_size=60))
def test_any_text_is_read_or_named_and_never_anything_else(text: str) -> None:
    with suppress(MalformedLine):
        assert all(isinstance(point.fields, dict) for point in points(text))


@pytest.mark.parametrize(
    ("line", "point"),
    [
        ("m,host=a v=1", LinePoint("m", {"host": "a"}, {"v": 1.0}, None)),
        (
            "m v=1i,w=2u,x=t,y=FALSE 7\r",
            LinePoint("m", {}, {"v": 1, "w": 2, "x": True, "y": False}, 7),
        ),
        ("m v=-1.5e-3  -7", LinePoint("m", {}, {"v": -0.0015}, -7)),
        (r"a\,b\ c,t\=x=y\ z f\ g=1 5", LinePoint("a,b c", {"t=x": "y z"}, {"f g": 1.0}, 5)),
        (r"m,path=C:\dir v=1", LinePoint("m", {"path": r"C:\dir"}, {"v": 1.0}, None)),
        ('m v="a, b=c #\nd",w=2', LinePoint("m", {}, {"v": "a, b=c #\nd", "w": 2.0}, None)),
        (r'm v="say \"x\" \\ \n"', LinePoint("m", {}, {"v": r'say "x" \ \n'}, None)),
        (
            'system,host=a uptime_format="1 day,  2:03" 9',
            LinePoint("system", {"host": "a"}, {"uptime_format": "1 day,  2:03"}, 9),
        ),
    ],
)
def test_examples_of_the_format(line: str, point: LinePoint) -> None:
    assert list(points(line)) == [point]


@pytest.mark.parametrize(
    "line",
    [
        "m", "m v", "m v=", "m =1", ",host=a v=1", "m,host v=1", "m,host= v=1", "m,=a v=1",
        "m v=1 soon", "m v=1,,w=2", "m v=nan", "m v=inf", "m v=1_0", "m v=0x1", "m v=1.5i",
        'm v="open', "m v=yes", f"m v={'1' * 400}i", f"m v={'1' * 5000}i", "m v=1 2 3", "m  ",
        "m,a=b=c v=1",
    ],
)  # fmt: skip
def test_what_is_no_line_is_named(line: str) -> None:
    with pytest.raises(MalformedLine):
        list(points(line))


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ('m v="x\nm v=1\nm v=2', ['m v="x', "m v=1", "m v=2"]),
        ('m v="x\nm v="y"\nm v=2', ['m v="x', 'm v="y"', "m v=2"]),
        ('m v="x\nm v="y\nm v=2', ['m v="x', 'm v="y', "m v=2"]),
        ('m v="x\ny"\nm v=2', ['m v="x\ny"', "m v=2"]),
        ('m v="x\n",w="y\n" 5\nm v=2', ['m v="x\n",w="y\n" 5', "m v=2"]),
        ('m v="x\n",w="y\nm v=2', ['m v="x', '",w="y', "m v=2"]),
        ('m v="x\\\nm v=2', ['m v="x\\', "m v=2"]),
        ('# v="\nm v=1', ["m v=1"]),
        ('m v="' + "x\n" * 70_000 + '"', ['m v="x', *["x"] * 69_999, '"']),
    ],
    ids=range(9),
)
def test_a_string_without_an_end_belongs_to_its_own_line_alone(body: str, lines: list[str]) -> None:
    assert list(parts(body)) == lines


def test_what_is_looked_at_in_vain_is_not_longer_than_the_body() -> None:
    opened = 'm v="a\n' + "x\n" * 10_000
    lines = list(parts(opened * 30 + 'm v="a\nb"'))
    assert len(lines) == 30 * 10_001 + 1
    assert lines[-1] == 'm v="a\nb"'
