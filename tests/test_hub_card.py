"""Merging a card: its parts, its configurations, the hashes of its chapters."""

import pytest

from anomgen.cards import Card
from anomgen.errors import UsageError
from anomgen.hub.card import merged


def now(name="nsa", rows=12, text="# A chapter\n", **data):
    config = {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/data/train-*"}]}
    info = {"config_name": name, "splits": [{"name": "train", "num_examples": rows}]}
    return Card({"license": "mit", "tags": ["anomgen"], "configs": [config], "dataset_info": [info], **data}, text)


def push(before, card, name="nsa", new=True):
    return Card.parse(merged(before, card, name, new=new)[0].render(), "card")


@pytest.mark.parametrize(
    ("content", "data", "text"),
    [
        ("---\nlicense: mit\n---\n\nHello\n", {"license": "mit"}, "\nHello\n"),
        ("---\r\nlicense: mit\r\n---\r\nHello\r\n", {"license": "mit"}, "Hello\r\n"),
        ("---\n---\nHello\n", {}, "---\n---\nHello\n"),  # to the Hub these are two rules
        ("---\nlicense: null\n---\nHello\n", {"license": None}, "Hello\n"),
        ("---\ntrain-eval-index: [{a: 1}]\n---\n", {"train-eval-index": [{"a": 1}]}, ""),
        ("---\ntrain_eval_index: {a: 1}\nb: 2\n---\n", {"train_eval_index": {"a": 1}, "b": 2}, ""),
        ("Hello\n---\nno: front\n---\n", {}, "Hello\n---\nno: front\n---\n"),
        ("", {}, ""),
        ("---\nlicense: mit\n---", {"license": "mit"}, ""),
    ],
)
def test_the_parts_of_a_card(content, data, text):
    assert Card.parse(content, "card") == Card(data, text)


@pytest.mark.parametrize("content", ["---\na: [\n---\n", "---\n- a\n---\n"])
def test_metadata_that_is_no_mapping_is_named(content):
    with pytest.raises(UsageError, match="README of x"):
        Card.parse(content, "README of x")


def test_merging_twice_changes_nothing():
    card = push(Card({}, ""), now())
    assert push(card, now(), new=False) == card
    assert push(Card.parse(card.render().replace("\n", "\r\n"), "card"), now(), new=False).data == card.data


def test_only_an_untouched_chapter_is_written_anew():
    card = push(Card({}, "Before.\n"), now())
    assert push(card, now(text="# New"), new=False).text.count("# New") == 1
    windows = Card(card.data, card.text.replace("\n", "\r\n"))  # line endings are no edit
    assert "# New" in push(windows, now(text="# New"), new=False).text
    edited = Card(card.data, card.text.replace("chapter", "story"))
    result, notes = merged(edited, now(text="# New"), "nsa", new=False)
    assert result.text == edited.text and len(notes) == 1
    removed = Card(card.data, "Before.\n")
    assert merged(removed, now(), "nsa", new=False) == (removed, [])


def test_the_first_configuration_is_the_default_and_stays_it():
    card = push(push(Card({}, ""), now()), now("scar", 2000), "scar")
    assert [entry.get("default") for entry in card.data["configs"]] == [True, None]
    card = push(card, now(rows=14), new=False)
    assert [entry.get("default") for entry in card.data["configs"]] == [True, None]
    assert card.configs == ["nsa", "scar"] and card.data["size_categories"] == ["1K<n<10K"]


def test_what_others_wrote_in_the_metadata_is_kept():
    before = {
        "license": "cc0-1.0",
        "tags": ["mine"],
        "language": "en",
        "configs": {"data_dir": "x"},
        "size_categories": ["n>1T"],
        "pretty_name": None,
    }
    card = push(Card(before, ""), now(tags=["anomgen", "mine"], source_datasets=["a/b"]))
    assert card.data["license"] == "cc0-1.0" and card.data["tags"] == ["mine", "anomgen"]
    assert card.configs == ["default", "nsa"] and card.data["size_categories"] == ["n>1T"]  # of x nothing is known
    assert card.data["source_datasets"] == ["a/b"] and card.data["language"] == "en"
    assert list(card.data)[:6] == list(before) and card.data["pretty_name"] is None


def test_a_licence_that_says_nothing_is_replaced():
    assert push(Card({"license": "unknown"}, ""), now()).data["license"] == "mit"
