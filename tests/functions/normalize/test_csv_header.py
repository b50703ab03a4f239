"""Which line names the columns, and what divides them."""

import pytest

from functions.normalize.csv_header import FileForm, FileUnreadable, check_names, find_header

ROW = "2026-05-06T12:00:00Z{d}a{d}12"


def head(text: str, **form: object) -> tuple[str, tuple[str, ...], int]:
    header = find_header(text.splitlines(), FileForm(**form))  # type: ignore[arg-type]
    return header.delimiter, header.names, header.lines


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_seen_in_the_header(delimiter: str) -> None:
    text = f"ts{delimiter}host{delimiter}load\n" + ROW.format(d=delimiter)
    assert head(text) == (delimiter, ("ts", "host", "load"), 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sep=;\nts;host\n", (";", ("ts", "host"), 2)),
        ('"sep=,"\nts,host\n', (",", ("ts", "host"), 2)),
        ("\n  \n\nts;host\n", (";", ("ts", "host"), 4)),
        ("# made by x, on Monday\nts,host,load1\n1,a,2\n", (",", ("ts", "host", "load1"), 2)),
        ("# ts,host,load1\nts,host,load1\n1,a,2\n", (",", ("ts", "host", "load1"), 2)),
        ("ts,host\n1,a\n# x,y\n2,b\n", (",", ("ts", "host"), 1)),
        ("#ts,host\n1,a\n", (",", ("#ts", "host"), 1)),
        ("#group,false\n#datatype,long\n#default,\n,time\n", (",", ("", "time"), 4)),
        ('"cpu, user";host\n1;a\n', (";", ("cpu, user", "host"), 1)),
        ("cpu, user;host;ts\n1;a;5\n2;b;5\n", (";", ("cpu, user", "host", "ts"), 1)),
        ('ts,"a;b"\n', (",", ("ts", "a;b"), 1)),
    ],
)
def test_what_stands_before_the_header_is_known(
    text: str, expected: tuple[str, tuple[str, ...], int]
) -> None:
    assert head(text) == expected


def test_a_restart_line_before_sadfs_header_is_kept_for_the_count() -> None:
    lines = [
        "h;-1;2026-05-06 12:00:00 UTC;LINUX-RESTART\t(2 CPU)",
        "# hostname;interval;timestamp;%user;%idle",
        "h;1;2026-05-06 12:00:01 UTC;3.5;90",
    ]
    header = find_header(lines, FileForm())
    assert (header.names[0], header.lines, header.marked) == ("# hostname", 2, True)
    assert header.passed == ((1, lines[0]),)


def test_the_lines_of_cloudwatchs_header_become_one_name_a_column() -> None:
    text = "Label,CPUUtilization,NetworkIn\n,i-1,i-1\n,,\nTime,,\n2026/05/06 12:00:00,1,2\n"
    assert head(text) == (",", ("Time", "CPUUtilization i-1", "NetworkIn i-1"), 4)


def test_a_stated_header_line_is_taken() -> None:
    assert head("report;of;may\nts;host\n1;a\n", header_line=2) == (";", ("ts", "host"), 2)
    with pytest.raises(FileUnreadable, match="header_line is 9; the file ends before it"):
        head("ts;host\n", header_line=9)


@pytest.mark.parametrize(
    ("text", "form", "says"),
    [
        ("", {}, "it is empty: its first line must name the columns"),
        ("\n\n# only words\n", {}, "it is empty"),
        ("ts,host\n", {"delimiter": ";"}, "line 1 has no ';', .* write delimiter = ','"),
        ("sep=;\nts;host\n", {"delimiter": ","}, "says sep=;, and delimiter is ','"),
        ("a,b;c,d\n1,2;3,4\n", {}, "can be divided by ',' or ';'.* write delimiter"),
        ("ts host load\n1 a 2\n", {}, "has one column only, 'ts host load' .* write delimiter"),
        ("ts,load,load\n", {}, "a column comes twice: 'load' .*; rename or remove one"),
    ],
)
def test_what_is_not_certain_is_refused_with_the_setting_that_helps(
    text: str, form: dict[str, object], says: str
) -> None:
    with pytest.raises(FileUnreadable, match=says):
        head(text, **form)


def test_blank_names_may_come_twice() -> None:
    assert check_names(["ts", "", ""]) == ("ts", "", "")


def test_more_columns_than_memory_is_for_are_refused_with_their_number() -> None:
    with pytest.raises(FileUnreadable, match="20001 columns are more than 20,000: write the file"):
        check_names([str(place) for place in range(20_001)])
