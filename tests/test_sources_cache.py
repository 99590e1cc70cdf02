"""A bounded cache drops what was used least recently, and holds what is larger than its bound alone."""

from hypothesis import given
from hypothesis import strategies as st

from anomgen.sources.cache import bounded


def test_the_least_recently_used_goes_first():
    cache = bounded(10, len)
    cache["a"], cache["b"] = "aaaa", "bbbb"
    assert cache["a"] == "aaaa"
    cache["c"] = "ccc"
    assert set(cache) == {"a", "c"}


def test_what_is_larger_than_the_bound_is_held_alone():
    cache = bounded(10, len)
    cache["a"] = "aa"
    cache["large"] = "l" * 25
    assert dict(cache) == {"large": "l" * 25}
    cache["b"] = "b"
    assert dict(cache) == {"b": "b"}


@given(st.integers(0, 40), st.lists(st.tuples(st.integers(0, 6), st.integers(1, 60)), max_size=40))
def test_the_bound_holds_and_the_last_value_is_always_there(limit, entries):
    """At most `limit` bytes, or one value."""
    cache = bounded(limit, len)
    for key, size in entries:
        cache[key] = b"x" * size
        assert len(cache[key]) == size
        assert len(cache) == 1 or sum(map(len, cache.values())) <= max(limit, 1)
