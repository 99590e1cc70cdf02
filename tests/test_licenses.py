"""Licences: what may be published of what, and how they are found beside pictures."""

import pytest

from anomgen.licenses import conflict, first_conflict, inherited, known, license_beside, license_in, normalised


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
    ],
)
def test_what_may_follow_from_what(source, published, reason):
    found = conflict(source, published)
    assert found is None if reason is None else reason in found


def test_several_sources_and_unknown_ones():
    assert first_conflict(["cc-by-4.0", None, "unknown"], "mit") is None
    assert "cc-by-nc-4.0" in first_conflict(["cc-by-4.0", None, "cc-by-nc-4.0"], "mit")
    assert known("Unknown") is None and known(None) is None and known(" CC0 1.0") == "cc0-1.0"
    assert normalised("Apache 2.0") == "apache-2.0"


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


@pytest.mark.parametrize(
    ("text", "license"),
    [
        (
            "licensed under a Creative\nCommons Attribution-NonCommercial-ShareAlike\n4.0",
            "cc-by-nc-sa-4.0",
        ),
        ("see <http://creativecommons.org/licenses/by-nc-sa/4.0/>", "cc-by-nc-sa-4.0"),
        ("CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/", "cc-by-nc-sa-4.0"),
        ("CC BY 4.0", "cc-by-4.0"),
        ("Attribution-NonCommercial-NoDerivatives 4.0", "cc-by-nc-nd-4.0"),
        ("Attribution-NoDerivs 3.0", "cc-by-nd-3.0"),
        ("Attribution Share Alike 3.0", "cc-by-sa-3.0"),
        ("Attribution Non-Commercial 2.0", "cc-by-nc-2.0"),
        ("CC BY 4.0 or CC BY-NC 4.0", None),
        ("MIT License", None),
    ],
)
def test_a_licence_is_read_from_text(text, license):
    assert license_in(text) == license


@pytest.mark.parametrize(
    ("front", "license"),
    [
        ("license: cc-by-4.0", "cc-by-4.0"),
        ("pretty_name: x\nlicense: 'MIT'  # as the images\ntags: [a]", "mit"),
        ("license:\n- cc0-1.0\ntags:\n- a", "cc0-1.0"),
        ("license:\n- mit\n- cc0-1.0", None),
        ("license: unknown", None),
        ("license:\ntags: [a]", None),
        ("nested:\n  license: mit", None),
    ],
)
def test_the_metadata_of_a_readme_are_evidence_of_a_licence(tmp_path, front, license):
    """What is written below, as of another work, is none."""
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n\nlicense: apache-2.0\n")
    assert license_beside(tmp_path) == license
    (tmp_path / "README.md").write_text(f"# Images\n\n{front}\n")
    assert license_beside(tmp_path) is None


def test_a_licence_is_found_beside_the_pictures(tmp_path):
    (tmp_path / "set").mkdir()
    assert license_beside(tmp_path / "set", tmp_path) is None
    (tmp_path / "LICENSE-DATASET").write_text("CC BY 4.0")
    (tmp_path / "README.md").write_text("our notes are CC BY-NC 4.0")
    assert license_beside(tmp_path / "set", tmp_path) == "cc-by-4.0"
    (tmp_path / "set" / "readme.txt").write_text("Attribution-NonCommercial-ShareAlike 4.0 International License")
    assert license_beside(tmp_path / "set", tmp_path) == "cc-by-nc-sa-4.0"
