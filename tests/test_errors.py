import pickle

import pytest

from groupsigma import ArgumentError, GroupsigmaError, SourceError


def test_message_says_who_needs_got_where_hint():
    error = SourceError("table", "numbers in 'k'", "'x'", "a.csv, line 3", "quote text?")
    assert str(error) == "table: needs numbers in 'k', got 'x' at a.csv, line 3\nhint: quote text?"


def test_where_and_hint_are_optional():
    assert str(GroupsigmaError("sigma", "G >= 1", "0")) == "sigma: needs G >= 1, got 0"


@pytest.mark.parametrize("kind", [GroupsigmaError, ArgumentError, SourceError])
def test_survives_pickling(kind):
    error = kind("a", "b", "c", "d", "e")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error) and again.hint == "e"


def test_argument_errors_are_value_errors():
    assert issubclass(ArgumentError, ValueError)
