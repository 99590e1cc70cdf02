"""Parts of a job that is spread over machines."""

import pytest

from anomgen.config import Part
from anomgen.errors import UsageError


@pytest.mark.parametrize("of", [1, 3, 8, 20])
def test_the_parts_of_a_job_hold_every_item_once_and_differ_in_size_by_one(of):
    items = list(range(17))
    parts = [Part.parse(f"{number}/{of}", "--shard").take(items) for number in range(1, of + 1)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_all_of_it_is_one_part():
    assert Part().take("abc") == "abc" and Part.parse("1/1", "--part") == Part()


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/4", "1/4/2", "", "1/²", " 1/2"])
def test_what_is_no_part_is_refused_in_the_option_s_name(text):
    with pytest.raises(UsageError, match=r"--part .*: write it as K/N with K from 1 to N"):
        Part.parse(text, "--part")
