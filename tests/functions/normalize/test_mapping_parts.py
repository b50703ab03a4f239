"""What the parts of a mapping may say by themselves."""

import pytest

from functions.normalize.mapping_parts import ColumnPattern, Cores, Text, compiled, names_in


def test_the_names_of_a_field_are_one_several_or_none() -> None:
    assert names_in("a") == ("a",)
    assert names_in(("a", "b")) == Text(field=("a", "b")).fields == ("a", "b")
    assert names_in("") == Cores(number=4).fields == ()


def test_a_regular_expression_that_is_not_valid_is_named_with_its_key() -> None:
    with pytest.raises(ValueError, match=r"time is '\(', which is not a valid regular expression"):
        ColumnPattern(pattern="(?P<server>.)", time="(")
    assert compiled("pattern", "(a)").groups == 1


def test_a_fixed_text_stands_alone() -> None:
    with pytest.raises(ValueError, match="fixed is 'a' for all documents: leave field"):
        Text(fixed="a", values={"x": "y"})


def test_cores_are_at_least_one() -> None:
    with pytest.raises(ValueError, match=r"cores.number is 0: write how many"):
        Cores(number=0)
