"""Publishing on a local Hub with the real client: what is sent, what is kept, what is refused."""

import json
import sys

import pytest
from hub_fixtures import body, front, other, write_dataset
from made_dataset import made_rows

from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.hub import push

NSA = [
    "nsa/data/train-00000-of-00002.parquet",
    "nsa/data/train-00001-of-00002.parquet",
    "nsa/provenance.json",
    "nsa/recipe.yaml",
]


@pytest.fixture
def made(tmp_path):
    return write_dataset(tmp_path / "made")


def edited(repo, change, message="edit"):
    """Commit a change of the card, as somebody on the website does."""
    text = change(repo.files["README.md"].decode())
    repo.commit("main", {**repo.files, "README.md": text.encode()}, message)


# ------------------------------------------------------------------------------------------------- one commit


def test_a_new_repository_gets_one_commit_of_parquet_and_card(hub, made):
    pushed = push(made, "me/bottle", revision_tag="v1")
    repo = hub.repos["dataset", "me/bottle"]
    assert len(hub.requests("POST .*/commit/")) == 1 and not repo.private
    assert sorted(repo.files) == [".gitattributes", "README.md", *NSA]
    assert repo.tags == {"v1": repo.refs["main"]} and pushed.commit == repo.refs["main"]
    assert (pushed.new, pushed.unchanged, len(pushed.files)) == (True, 0, 5)
    assert repo.files[NSA[0]] == (made / "data" / "train-00000-of-00002.parquet").read_bytes()
    assert repo.messages[pushed.commit].startswith("Add nsa, 12 rows")
    assert front(repo)["license"] == "cc-by-4.0" and "anomgen" in front(repo)["tags"]
    assert 'load_dataset("me/bottle", "nsa", split="train")' in body(repo) and "nsa/recipe.yaml" in body(repo)


def test_a_configuration_is_a_dataset_of_its_own(hub, made, tmp_path):
    push(made, "me/bottle")
    for path, data in hub.repos["dataset", "me/bottle"].files.items():
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(data)
    copy = Dataset(tmp_path / "copy" / "nsa")
    assert list(copy.table(["index"])["index"].to_pylist()) == list(range(12))


def test_pushing_again_sends_nothing(hub, made):
    first = push(made, "me/bottle")
    hub.log.clear()
    again = push(made, "me/bottle", revision_tag="v1")
    assert not hub.requests("PUT|/commit/|/preupload/|batch|create")
    assert (again.commit, again.files, again.unchanged, again.new) == (first.commit, (), 5, False)
    assert hub.repos["dataset", "me/bottle"].tags == {"v1": first.commit}


def test_a_dry_run_checks_everything_and_sends_nothing(hub, made):
    plan = push(made, "me/bottle", dry_run=True)
    assert not hub.repos and not hub.requests("PUT|/commit/|/preupload/|create")
    assert plan.notes[0].startswith("checked without the source images, which are not at hand")
    assert plan.commit is None and plan.new and len(plan.files) == 5 and plan.megabytes > 0.05
    json.dumps(plan.as_dict())


def test_fewer_shards_replace_more(hub, made, tmp_path):
    push(made, "me/bottle")
    remade = write_dataset(tmp_path / "remade", shards=1)
    pushed = push(remade, "me/bottle")
    assert pushed.removed == tuple(NSA[:2])
    files = hub.repos["dataset", "me/bottle"].files
    assert [path for path in files if path.endswith(".parquet")] == ["nsa/data/train-00000-of-00001.parquet"]
    assert front(hub.repos["dataset", "me/bottle"])["dataset_info"][0]["splits"][0]["num_examples"] == 12


def test_private_is_asked_for_and_kept(hub, made):
    push(made, "me/secret", private=True)
    assert hub.repos["dataset", "me/secret"].private
    assert not push(made, "me/secret").new
    push(made, "me/open")
    with pytest.raises(UsageError, match=r"exists and is public; leave out --private"):
        push(made, "me/open", private=True)


def test_a_pull_request_leaves_main_alone(hub, made):
    hub.add("somebody/else", {"README.md": b"---\nlicense: cc-by-4.0\n---\n# Mine\n"})
    head = hub.repos["dataset", "somebody/else"].refs["main"]
    pushed = push(made, "somebody/else", create_pr=True)
    repo = hub.repos["dataset", "somebody/else"]
    assert pushed.pull_request.endswith("/discussions/1") and repo.refs["main"] == head
    assert NSA[0] in repo.commits[repo.refs["refs/pr/1"]]
    with pytest.raises(UsageError, match="exclude each other"):
        push(made, "somebody/else", create_pr=True, revision_tag="v1")


def test_a_tag_is_not_moved(hub, made, tmp_path):
    push(made, "me/bottle", revision_tag="v1")
    push(made, "me/bottle", revision_tag="v1")
    with pytest.raises(UsageError, match=r"the tag v1 names commit .* already"):
        push(made, "me/bottle", revision_tag="v1", config="second")
    with pytest.raises(UsageError, match="write letters"):
        push(made, "me/bottle", revision_tag="v 1")
    push(made, "me/bottle", revision_tag="v2", config="second")
    assert set(hub.repos["dataset", "me/bottle"].tags) == {"v1", "v2"}


# ------------------------------------------------------------------------------------------------- configurations


def test_the_second_configuration_joins_the_first(hub, made, tmp_path):
    push(made, "me/bottle")
    hub.log.clear()
    more = write_dataset(tmp_path / "more", made_rows(30), shards=1)
    push(more, "me/bottle", config="scar")
    repo = hub.repos["dataset", "me/bottle"]
    data = front(repo)
    assert [(c["config_name"], c.get("default")) for c in data["configs"]] == [("nsa", True), ("scar", None)]
    assert data["configs"][1]["data_files"] == [{"split": "train", "path": "scar/data/train-*"}]
    rows = {info["config_name"]: info["splits"][0]["num_examples"] for info in data["dataset_info"]}
    assert rows == {"nsa": 12, "scar": 30} and data["size_categories"] == ["n<1K"]
    assert 'load_dataset("me/bottle", "nsa"' in body(repo) and 'load_dataset("me/bottle", "scar"' in body(repo)
    assert len(hub.requests("PUT")) == 1  # the shard of the second; nothing of the first


def test_another_dataset_of_the_same_name_is_not_replaced_by_accident(hub, made, tmp_path):
    push(made, "me/bottle")
    cable = other(made, tmp_path / "cable", fingerprint="1" * 32)
    with pytest.raises(UsageError, match=r"holds something else as nsa .* --config, or replace it with --overwrite"):
        push(cable, "me/bottle")
    assert push(cable, "me/bottle", overwrite=True).files == ("nsa/provenance.json",)
    push(made, "me/bottle", config="a")
    with pytest.raises(UsageError, match="--config a b"):
        push(made, "me/bottle", config="a b")


def test_what_people_wrote_on_the_hub_survives(hub, made, tmp_path):
    push(made, "me/bottle")
    repo = hub.repos["dataset", "me/bottle"]
    edited(repo, lambda text: text.replace("license: cc-by-4.0", "license: cc-by-4.0\nlanguage:\n- en\nviewer: false"))
    edited(repo, lambda text: text.replace("pretty_name: 'Synthetic anomalies: nsa'", "pretty_name: Bottles"))
    edited(repo, lambda text: text + "\n## Our notes\n\nAsk Ada.\n")
    push(write_dataset(tmp_path / "more", made_rows(30)), "me/bottle", config="scar")
    push(write_dataset(tmp_path / "again", made_rows(14)), "me/bottle", overwrite=True)
    data, text = front(repo), body(repo)
    assert (data["pretty_name"], data["language"], data["viewer"]) == ("Bottles", ["en"], False)
    assert "Ask Ada." in text and text.count("# Synthetic anomalies") == 2
    assert "14 images for training" in text and "12 images" not in text


def test_an_edited_chapter_is_kept_and_told(hub, made, tmp_path):
    push(made, "me/bottle")
    repo = hub.repos["dataset", "me/bottle"]
    edited(repo, lambda text: text.replace("## Load it", "## How Ada loads it"))
    pushed = push(write_dataset(tmp_path / "again", made_rows(14)), "me/bottle", overwrite=True)
    assert "How Ada loads it" in body(repo) and "edited on the Hub" in pushed.notes[-1]
    assert front(repo)["dataset_info"][0]["splits"][0]["num_examples"] == 14


def test_a_text_written_before_the_push_is_published(hub, made):
    from anomgen.dataset.card import render_card
    from anomgen.dataset.statistics import statistics

    dataset = Dataset(made)
    text = render_card(dataset, dataset.provenance, dataset.recipe, statistics(dataset))
    (made / "README.md").write_text(text.replace("## Load it", "Shot by Ada.\n\n## Load it"))
    push(made, "me/bottle")
    assert "Shot by Ada." in body(hub.repos["dataset", "me/bottle"])


# ------------------------------------------------------------------------------------------------- repositories


@pytest.mark.parametrize(
    ("repo_id", "text"),
    [
        ("bottle", "does not say whose"),
        ("a/b/c", "not an id of the Hub"),
        ("me/my set", "not an id of the Hub"),
        ("me/a--b", "not an id of the Hub"),
        ("https://huggingface.co/datasets/me/bottle", "not an id of the Hub"),
        ("me/", "not an id of the Hub"),
    ],
)
def test_a_malformed_id_is_refused_before_anything_is_asked(hub, made, repo_id, text):
    with pytest.raises(UsageError, match=text) as error:
        push(made, repo_id)
    assert "OWNER/NAME" in str(error.value) and not hub.log


def test_a_repository_with_other_content_is_left_alone(hub, made):
    foreign = {"train.csv": b"a,b\n", "README.md": b"---\nlicense: mit\n---\nMine.\n"}
    hub.add("me/tables", foreign)
    with pytest.raises(UsageError, match=r"holds 1 files that anomgen did not push \(train.csv\).*--adopt"):
        push(made, "me/tables")
    with pytest.raises(UsageError, match="lists no `configs:`"):
        push(made, "me/tables", adopt=True)
    listed = b"---\nlicense: cc-by-4.0\nconfigs:\n- config_name: default\n  data_files: train.csv\n---\nMine.\n"
    hub.add("me/tables", {**foreign, "README.md": listed})
    push(made, "me/tables", adopt=True)
    repo = hub.repos["dataset", "me/tables"]
    assert [c["config_name"] for c in front(repo)["configs"]] == ["default", "nsa"] and "Mine." in body(repo)
    assert "default" not in front(repo)["configs"][1] and repo.files["train.csv"] == b"a,b\n"


def test_an_empty_repository_made_on_the_website_is_filled(hub, made):
    hub.add("me/empty", {"README.md": b"---\nlicense: cc-by-nc-4.0\n---\n"})
    assert push(made, "me/empty").license == "cc-by-nc-4.0"
    assert front(hub.repos["dataset", "me/empty"])["license"] == "cc-by-nc-4.0"


def test_a_card_that_is_not_yaml_is_named(hub, made):
    hub.add("me/odd", {"README.md": b"---\nlicense: [mit\n---\n"})
    with pytest.raises(UsageError, match=r"README.md of me/odd: .* not valid YAML"):
        push(made, "me/odd")


def test_without_the_library_it_says_how_to_install_it(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r'pip install "\.\[hub\]"'):
        push(made, "me/bottle")


def test_progress_is_told_of_rows_and_then_of_megabytes(hub, made):
    told = []
    push(made, "me/bottle", progress=lambda done, total, note="": told.append((note, done, total)))
    rows = [entry for entry in told if entry[0] == "rows checked"]
    sent = [entry for entry in told if entry[0] == "MB uploaded"]
    assert rows == [("rows checked", row, len(Dataset(made))) for row in range(1, len(Dataset(made)) + 1)]
    assert told == rows + sent and sent[-1][1] == sent[-1][2] > 0
