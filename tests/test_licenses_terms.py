"""Licences: what may be published of what, and which the Hub lists."""

import pytest

from anomgen.licenses import conflict, first_conflict, inherited, known, normalised, unfit, unlisted


@pytest.mark.parametrize(
    ("source", "published", "reason"),
    [
        ("cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0", None),
        ("cc-by-nc-sa-4.0", "mit", "same terms"),
        ("cc-by-nc-sa-4.0", "cc-by-4.0", "same terms"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", "same terms"),
        ("cc-by-nc-sa-4.0", "cc-by-sa-4.0", "same terms"),
        ("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", None),
        ("cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0", "or a later"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", None),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", None),
        ("cc-by-nc-4.0", "cc-by-4.0", "forbids commercial use"),
        ("cc-by-nc-2.0", "apache-2.0", "forbids commercial use"),
        ("cc-by-nc-4.0", "other", "forbids commercial use"),
        ("CC BY-NC 4.0", "MIT", "forbids commercial use"),
        ("cc-by-sa-4.0", "cc-by-nc-sa-4.0", "same terms"),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", "derived"),
        ("cc-by-nc-nd-4.0", "cc-by-nc-4.0", "derived"),
        ("cc-by-4.0", "mit", None),
        ("cc-by-4.0", "cc0-1.0", "gives it up"),
        ("mit", "cc-by-nc-sa-4.0", None),
        ("cc0-1.0", "apache-2.0", None),
        ("odbl", "mit", "must stay odbl"),
        ("gpl-3.0", "gpl-3.0", None),
        ("other", "mit", "must stay other"),
        ("research-only", "mit", "must stay research-only"),
        ("research-only", "other", None),
        ("odbl", "other", "must stay odbl"),
        ("cc-by-sa-2.0", "other", "same terms"),
    ],
)
def test_what_may_follow_from_what(source, published, reason):
    found = conflict(source, published)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize(
    ("license", "meant"),
    [
        *[(name, None) for name in ("mit", "CC BY 4.0", "other", "unknown", "cc-by-nc-sa-4.0", "openmdw-1.0")],
        ("cc-by-4", "did you mean 'cc-by-4.0' or"),
        ("cc-by", "did you mean 'cc-by-4.0' or"),
        ("CC0", "did you mean 'cc0-1.0'?"),
        ("MIT License", "did you mean 'mit'?"),
        ("cc-by-sa-2.0", "did you mean 'cc-by-sa-4.0' or 'cc-by-sa-3.0'"),
        ("apache2", "did you mean 'apache-2.0'?"),
        ("all rights reserved", "has no licence 'all rights reserved'. One that it does not list is 'other'"),
    ],
)
def test_what_the_hub_lists(license, meant):
    found = unlisted(license)
    assert found is None if meant is None else meant in found


def test_a_stranger_who_lists_many_licences_costs_no_time():
    """Each is compared once; pair by pair these would take minutes."""
    assert inherited("cc0-1.0", ["cc0-1.0"] * 50_000 + [f"own-{k}" for k in range(50_000)]) is None


def test_several_sources_and_unknown_ones():
    assert first_conflict(["cc-by-4.0", None, "unknown"], "mit") is None
    assert "cc-by-nc-4.0" in first_conflict(["cc-by-4.0", None, "cc-by-nc-4.0"], "mit")
    assert known("Unknown") is None and known(None) is None and known(" CC0 1.0") == "cc0-1.0"
    assert normalised("Apache 2.0") == "apache-2.0"


@pytest.mark.parametrize("name", ["mit\n---\n# hi", "mit\x1b[2J", "mit\u2028x", "x" * 101])
def test_a_licence_is_one_short_printable_line(name):
    assert "one line of at most 100 printable characters" in unfit(name) and known(name) is None
    assert unfit("x" * 100) is None and known("x" * 100) == "x" * 100


@pytest.mark.parametrize(
    ("source", "others", "license"),
    [
        ("cc-by-4.0", [], "cc-by-4.0"),
        ("cc0-1.0", ["cc-by-nc-4.0"], "cc-by-nc-4.0"),
        ("cc-by-nc-sa-4.0", ["cc-by-4.0"], "cc-by-nc-sa-4.0"),
        ("cc-by-sa-4.0", ["cc-by-nc-4.0"], None),
        (None, ["cc-by-4.0"], None),
    ],
)
def test_what_is_inherited_of_several_suits_all(source, others, license):
    assert inherited(source, others) == license
