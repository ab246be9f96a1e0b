"""Plain data crosses unchanged; nothing else crosses; garbage is refused."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from contextlib import suppress
from datetime import UTC, timedelta, timezone
from functools import partial
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falcon.sandbox.wire import codec, library
from falcon.sandbox.wire.stand_ins import Unread
from falcon.sandbox.worker.compare.value import same_text, same_value

_KEYS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(),
    st.binary(),
    st.tuples(st.integers(), st.text()),
)
_LIBRARY = st.one_of(
    st.decimals(allow_nan=False),
    st.fractions(),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=-3))])),
    st.times(),
    st.timedeltas(),
    st.integers(0, 9).map(range),
    st.lists(st.integers(), max_size=4).map(lambda items: deque(items, 5)),
    st.dictionaries(st.text(), st.integers(), max_size=4).map(Counter),
    st.dictionaries(st.text(), st.integers(), max_size=4).map(OrderedDict),
    st.dictionaries(st.text(), st.integers(), max_size=4).map(partial(defaultdict, int)),
    st.binary(max_size=9).map(bytearray),
)
_LEAVES = st.one_of(
    _KEYS, _LIBRARY, st.floats(), st.complex_numbers(), st.integers(min_value=1 << 64)
)
PLAIN = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(_KEYS, inner, max_size=4),
        st.sets(_KEYS, max_size=4),
        st.frozensets(_KEYS, max_size=4),
    ),
    max_leaves=12,
)


@given(PLAIN)
@settings(max_examples=200, deadline=None)
def test_round_trip(value: Any) -> None:
    back = codec.decode(codec.encode(value))
    assert _alike(back, value)


def _alike(a: Any, b: Any) -> bool:
    """Same types and values throughout; nan is nan, and sets have no order."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple | deque):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, set | frozenset):
        return a == b and {repr(each) for each in a} == {repr(each) for each in b}
    return repr(a) == repr(b)


@given(st.lists(PLAIN, max_size=3), st.dictionaries(st.text(), PLAIN, max_size=2))
@settings(max_examples=100, deadline=None)
def test_arguments_keep_their_types_and_numbers(
    arguments: list[Any], named: dict[str, Any]
) -> None:
    arguments += [arguments[:1], arguments[:1] * 2]
    first, second, objects = codec.encode_call(arguments, named)
    there, names, made = codec.decode_call(first, second)
    assert _alike(there, arguments)
    assert _alike(names, named)
    assert _alike(made, objects)


def test_one_object_is_one_object_there() -> None:
    held: list[Any] = [1]
    held.append(held)
    (a, b), named, made = codec.decode_call(*codec.encode_call([held, [held]], {"x": held})[:2])
    assert a is b[0] is named["x"] is a[1]
    assert made == [a, b]
    assert codec.decode(codec.encode([a], objects=made), objects=made)[0] is a
    with pytest.raises(codec.Malformed):
        codec.decode(codec.encode([a], objects=made))


def test_an_iterator_crosses_once_and_its_beginning_only() -> None:
    back = codec.decode(codec.encode(iter([1, [2]])))
    assert next(back) == 1
    assert list(back) == [[2]]
    endless = codec.decode(codec.encode(x for _ in iter(int, 1) for x in (1, 2)))
    assert list(islice(endless, codec.ITEMS))[:3] == [1, 2, 1]
    with pytest.raises(Unread):
        list(endless)
    with pytest.raises(codec.Unserialisable):
        codec.encode(iter([1]), budget=False)
    with pytest.raises(codec.Unserialisable):
        codec.encode_call([[iter([1])]], {})


@pytest.mark.parametrize("name", ["deque", "Counter", "OrderedDict", "defaultdict"])
def test_a_factory_or_class_of_its_own_is_refused(name: str) -> None:
    kind: Any = {"deque": deque, "Counter": Counter, "OrderedDict": OrderedDict}.get(name)
    value = type("Mine", (kind,), {})() if kind else defaultdict(lambda: 0)
    with pytest.raises(codec.Unserialisable):
        codec.encode_call([value], {})
    if not kind:  # as a result it is a dict like any other
        assert codec.decode(codec.encode(defaultdict(lambda: 0, a=1))) == {"a": 1}


def test_of_a_match_only_crosses_that_it_is_one() -> None:
    text = codec.encode({"a": re.match("a", "abc")})
    assert "abc" not in text
    back = codec.decode(text)["a"]
    assert back
    assert back != codec.decode(text)["a"]
    assert codec.encode({"a": back}) == text


_TAGS = [*library.KINDS, "named", "record", "member", "array", "iterator", "tuple", "set", "dict"]
_RAW = st.recursive(
    st.sampled_from([None, True, False, 0, 1, -1, 2.5, "x", "int", "1e5", "NaN", "2024-02-29", "<i8", "|O"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.fixed_dictionaries({"t": st.sampled_from(_TAGS), "v": st.lists(inner, max_size=5)}),
    ),
    max_leaves=12,
)  # fmt: skip


@given(_RAW)
@settings(max_examples=500, deadline=None)
def test_whatever_crosses_can_be_passed_on(raw: Any) -> None:
    """Or a program could make the tests' next call a fault of the suite."""
    try:
        value = codec.decode(json.dumps(raw))
    except codec.Malformed:
        return
    with suppress(Unread):
        arguments, named, _ = codec.encode_call([value], {}, iterators=True)
        codec.decode_call(arguments, named)


@given(st.one_of(st.binary(), st.text()))
@settings(deadline=None)
def test_garbage_is_malformed_or_data(text: str | bytes) -> None:
    try:
        codec.decode(text)
    except codec.Malformed:
        return
    assert json.loads(text) is not Ellipsis


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"t": "dict", "v": [[[1], 2]]}',
        '{"t": "set", "v": [[1]]}',
        '{"t": "object", "v": 1}',
        '{"t": "int", "v": "zz"}',
        '{"x": 1}',
        "NaN",
        "9" * 5000,
        '{"t": "float", "v": []}',
        '{"t": "complex", "v": ["1"]}',
        "[" + "1," * 200_000 + "1]",
        '{"t": "decimal.Decimal", "v": ["1e999999999"]}',
        '{"t": "fractions.Fraction", "v": [1, 0]}',
        '{"t": "fractions.Fraction", "v": [{"t": "int", "v": "' + "f" * 100_000 + '"}, 3]}',
        '{"t": "builtins.range", "v": [0, 1000000000, 1]}',
        '{"t": "builtins.range", "v": ["a"]}',
        '{"t": "datetime.timedelta", "v": [NaN]}',
        '{"t": "datetime.date", "v": ["__import__"]}',
        '{"t": "collections.defaultdict", "v": ["eval"]}',
        '{"t": "collections.deque", "v": []}',
        '{"t": "collections.Counter", "v": [1]}',
        '{"t": "named", "v": ["P", ["x"], 1]}',
        '{"t": "record", "v": ["P", {"t": "tuple", "v": []}, {"t": "tuple", "v": ["__class__"]}, 1]}',
        '{"t": "record", "v": ["P", {"t": "tuple", "v": ["x"]}, {"t": "tuple", "v": []}]}',
        '{"t": "member", "v": ["P", 1, 1, null]}',
        '{"t": "array", "v": ["<i8", {"t": "tuple", "v": [1000000000, 0]}]}',
        '{"t": "array", "v": ["|V8", {"t": "tuple", "v": [1]}, 1]}',
        '{"t": "array", "v": ["<i8", {"t": "tuple", "v": [2]}, 1]}',
        '{"t": "iterator", "v": []}',
        '{"t": "ref", "v": 0}',
        '{"t": "unread", "v": []}',
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises((codec.Malformed, IndexError)):
        codec.decode(text)


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        (1, True, True),
        (2, 2.0, True),
        (1, "1", False),
        (0.3, 0.1 + 0.2, False),
        (float("nan"), float("nan"), True),
        ([1, (2,)], (1, [2]), False),
        ([1, [2]], (1, (2,)), True),
        ((1,), [1], False),
        ({"a": [1]}, {"a": (1,)}, True),
        ({"a": 1}, {"b": 1}, False),
        ({1, 2}, frozenset({2, 1}), True),
        (None, 0, False),
        (10**400, 1.0, False),
        (b"a", "a", False),
        ("", [], False),
    ],
)
def test_values(expected: object, got: object, same: bool) -> None:
    assert same_value(expected, got) is same


def test_tolerance_is_for_floats_alone() -> None:
    assert same_value(1.0, 1.05, atol=0.1)
    assert not same_value(1.0, 1.2, atol=0.1)
    assert not same_value(1, 2, atol=5)
    assert not same_value(10**400, 1.0, atol=0.1)


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("a b\n", "a   b  \n\n\n", True),
        ("1.0\n", "1", True),
        ("0.333333", "0.3333333", True),
        ("0.333", "0.334", False),
        ("1\n2", "1", False),
        ("1", "1\n2", False),
        ("1\n\n2", "1\n2", False),
        ("nan", "NaN", False),
        ("1e999999999", "2e999999999", False),
        ("0", "-0.0", True),
        ("1_0", "10", False),
        ("a\r\nb", "a\nb", True),
        ("", "\n", True),
    ],
)
def test_texts(expected: str, got: str, same: bool) -> None:
    assert same_text(expected, got) is same


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("set", '{{"t": "int", "v": "{:x}"}}'),
        ("set", "{}"),
        ("list", '{{"t": "tuple", "v": [{{"t": "int", "v": "{:x}"}}]}}'),
        ("set", '{{"t": "decimal.Decimal", "v": ["{}"]}}'),
    ],
)
def test_numbers_of_one_hash_do_not_keep_the_trusted_side_busy(kind: str, number: str) -> None:
    """26,000 such in a set took seconds of a process whose time no limit bounds."""
    modulus = sys.hash_info.modulus
    items = ", ".join(number.format(n * modulus) for n in range(5, 1000))
    text = f'{{"t": "set", "v": [{items}]}}' if kind == "set" else f"[{items}]"
    with pytest.raises(codec.Malformed):
        codec.decode(text)
    same = [10**30] * 1000  # equal ones cost nothing
    assert codec.decode(codec.encode(same)) == same
