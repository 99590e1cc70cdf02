"""What is published: finished, checked, whole, under a licence, and nothing but the folder's own files."""

import json

import pytest
from hub_fixtures import TOKEN, body, front, other, write_dataset
from made_dataset import made_rows

from anomgen.errors import AnomgenError, UsageError
from anomgen.hub import push
from anomgen.hub.upload import MAX_FOLDER_FILES, check_size

LINKED = r"only files of the folder itself are published|a link leads out of the folder"


@pytest.fixture
def made(tmp_path):
    return write_dataset(tmp_path / "made")


# ------------------------------------------------------------------------------------------------- content


def test_an_unfinished_dataset_is_refused(hub, made):
    (made / "provenance.json").unlink()
    with pytest.raises(UsageError, match="unfinished"):
        push(made, "me/bottle")
    assert not hub.log


def test_a_dataset_without_its_card_says_how_to_write_it(hub, made):
    (made / "README.md").unlink()
    with pytest.raises(
        UsageError, match=r"no README.md; write it anew: anomgen make --recipe .*recipe.yaml .*--finish"
    ):
        push(made, "me/bottle")
    assert not hub.log


def test_a_dataset_that_lost_its_rows_for_training_is_refused(hub, tmp_path):
    import anomgen

    recipe = anomgen.load_recipe("scar", count=6, overrides=["source.size=48", "test_share=0.5"])
    anomgen.make(recipe, tmp_path / "made")
    for file in (tmp_path / "made" / "data").glob("train-*"):
        file.unlink()
    with pytest.raises(UsageError, match=r"no data/train-\*\.parquet"):
        push(tmp_path / "made", "me/bottle", license="mit", check=False)
    assert not hub.log


def test_finish_writes_a_lost_card_anew(tmp_path):
    import anomgen

    recipe = anomgen.load_recipe("scar", count=4, overrides=["source.size=48"])
    anomgen.make(recipe, tmp_path / "made")
    card = (tmp_path / "made" / "README.md").read_bytes()
    (tmp_path / "made" / "README.md").unlink()
    assert anomgen.make(str(tmp_path / "made" / "recipe.yaml"), tmp_path / "made", finish=True).made == 0
    assert (tmp_path / "made" / "README.md").read_bytes() == card


def test_a_dataset_whose_check_fails_is_not_pushed(hub, made, tmp_path):
    rows = made_rows()
    rows[1].__dict__["area"] = 0.9
    broken = write_dataset(tmp_path / "broken", rows)
    with pytest.raises(AnomgenError, match=r"check failed: area \(1\); nothing was pushed.*--no-check"):
        push(broken, "me/bottle")
    assert not hub.repos
    push(broken, "me/bottle", check=False)
    assert ("dataset", "me/bottle") in hub.repos


def test_too_many_or_too_large_files_are_refused(hub, made):
    from dataclasses import replace

    from anomgen.hub.upload import upload_of

    upload = upload_of(made, "me/bottle", None, None)
    many = replace(upload, files={f"nsa/data/{k}": made / "recipe.yaml" for k in range(MAX_FOLDER_FILES + 1)})
    with pytest.raises(UsageError, match="takes 10000 in a folder"):
        check_size(many)
    with (made / "large").open("wb") as file:
        file.truncate(51 * 10**9)  # sparse
    with pytest.raises(UsageError, match="has 51 GB, the Hub takes 50"):
        check_size(replace(upload, files={"nsa/data/large": made / "large"}))


def test_a_gitignore_that_leaves_files_out_is_noticed(hub, made):
    hub.add("me/odd", {".gitignore": b"*.parquet\n"})
    with pytest.raises(AnomgenError, match=r"lacks 2 files, the first is nsa/data.*\.gitignore"):
        push(made, "me/odd", revision_tag="v1")
    assert not hub.repos["dataset", "me/odd"].tags


def test_a_text_with_a_token_is_not_published(hub, made):
    (made / "README.md").write_text(f"---\nlicense: mit\n---\nlog in with {TOKEN}\n")
    with pytest.raises(UsageError, match=r"README.md: holds a token") as error:
        push(made, "me/bottle")
    assert TOKEN not in str(error.value) and not hub.repos


# ------------------------------------------------------------------------------------------------- licences


def test_a_push_without_a_licence_stops_and_says_how_to_give_it(hub, tmp_path):
    unknown = write_dataset(tmp_path / "made", license=None)
    with pytest.raises(UsageError, match=r"its licence is not known.*--license cc-by-4.0"):
        push(unknown, "me/bottle")
    assert not hub.requests("POST|PUT")
    push(unknown, "me/bottle", license="CC BY 4.0")
    repo = hub.repos["dataset", "me/bottle"]
    assert front(repo)["license"] == "cc-by-4.0" and "`cc-by-4.0`." in body(repo) and "Unknown" not in body(repo)


def test_a_non_commercial_source_stays_non_commercial(hub, made, tmp_path):
    mvtec = other(made, tmp_path / "mvtec", license="cc-by-nc-sa-4.0")
    for license in (None, "mit", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0"):  # None: its recipe says cc-by-4.0
        with pytest.raises(UsageError, match=r"cc-by-nc-sa-4.0 asks for the same terms"):
            push(mvtec, "me/bottle", license=license)
    assert not hub.repos
    assert push(mvtec, "me/bottle", license="cc-by-nc-sa-4.0").license == "cc-by-nc-sa-4.0"


@pytest.mark.parametrize(
    ("license", "given", "text"),
    [
        (None, None, "its licence is not known"),
        (None, "unknown", "--license unknown: names no licence"),
        (None, "mit\n---\n# hi", "--license: a licence is one line"),
        (None, "cc-by-5.0", r"--license: the Hub has no licence 'cc-by-5.0'; did you mean 'cc-by-4.0'.*license_name"),
        ("cc-by-1.0", None, r"other: the Hub has no licence 'cc-by-1.0'; did you mean"),
        ("cc-by-nc-4.0", "mit", "forbids commercial use"),
    ],
)
@pytest.mark.parametrize("repo", ["me/bottle", "me/there"])
def test_a_dry_run_tells_faults_of_the_licence_before_it_asks_the_hub(hub, tmp_path, license, given, text, repo):
    hub.add("me/there", {"README.md": b"---\nlicense: cc-by-4.0\n---\n"})
    folder = write_dataset(tmp_path / "made", license=None)
    if license:
        folder = other(folder, tmp_path / "other", license=license)
    with pytest.raises(UsageError, match=text):
        push(folder, repo, license=given, dry_run=True)
    assert not hub.log


def test_the_licence_of_the_repository_is_the_one_to_give(hub, tmp_path):
    hub.add("me/bottle", {"README.md": b"---\nlicense: cc-by-4.0\n---\n"})
    unknown = write_dataset(tmp_path / "made", license=None)
    for license in (None, "mit"):  # both errors lead to the same command, which works
        with pytest.raises(UsageError, match=r"me/bottle.* cc-by-4.0.* give --license cc-by-4.0"):
            push(unknown, "me/bottle", license=license)
    assert push(unknown, "me/bottle", license="cc-by-4.0").license == "cc-by-4.0"


@pytest.mark.parametrize("given", [None, "cc-by-4.0", "cc-by-nd-4.0"])
def test_of_a_no_derivatives_source_nothing_is_published(hub, tmp_path, given):
    strict = write_dataset(tmp_path / "made", license=None)
    strict = other(strict, tmp_path / "strict", license="CC BY-ND 4.0")
    with pytest.raises(UsageError, match=r"cc-by-nd-4.0 allows nothing that is derived .* cannot be pushed") as error:
        push(strict, "me/bottle", license=given)
    assert "not known" not in str(error.value) and not hub.log


def test_what_the_textures_ask_for_counts_too(hub, made):
    record = json.loads((made / "provenance.json").read_text())
    (made / "provenance.json").write_text(json.dumps({**record, "licenses": ["cc-by-nc-4.0"]}))
    with pytest.raises(UsageError, match=r"cc-by-nc-4.0 forbids commercial use"):
        push(made, "me/bottle")


def test_configurations_of_one_repository_have_licences_that_go_together(hub, made, tmp_path):
    push(made, "me/bottle")
    mvtec = other(write_dataset(tmp_path / "nc", license="cc-by-nc-sa-4.0"), tmp_path / "mvtec")
    with pytest.raises(UsageError, match=r"its card says cc-by-4.0, .*repository of its own"):
        push(mvtec, "me/bottle", config="mvtec")
    push(mvtec, "me/mvtec")
    push(made, "me/mvtec", config="free")  # cc-by-4.0 may come out under stricter terms
    assert front(hub.repos["dataset", "me/mvtec"])["license"] == "cc-by-nc-sa-4.0"
    with pytest.raises(
        UsageError, match=r"its card says cc-by-nc-sa-4.0, not cc-by-4.0; give --license cc-by-nc-sa-4.0"
    ):
        push(made, "me/mvtec", config="free", license="cc-by-4.0")


def test_a_licence_that_the_hub_does_not_know_is_told(hub, made, monkeypatch):
    monkeypatch.setattr("anomgen.hub.upload.unlisted", lambda license: None)  # one that it has no more
    with pytest.raises(UsageError, match=r"does not take the card's metadata: \"license\" must be one of"):
        push(made, "me/bottle", license="cc-by-5.0")
    assert not hub.repos


def test_a_licence_of_ones_own_is_other_with_its_name(hub, tmp_path):
    own = write_dataset(tmp_path / "own", license="bolts-eula")
    with pytest.raises(UsageError, match=r"the Hub has no licence 'bolts-eula'. One that it does not list is 'other'"):
        push(own, "me/bolts")
    assert any("add license_name and license_link" in note for note in push(own, "me/bolts", license="other").notes)
    card = (own / "README.md").read_text()
    (own / "README.md").write_text(card.replace("license:", "license_name: bolts-eula\nlicense:", 1))
    pushed = push(own, "me/named", license="other")
    assert front(hub.repos["dataset", "me/named"])["license_name"] == "bolts-eula" and pushed.license == "other"
    assert not any("license_name" in note for note in pushed.notes)


def test_only_what_lies_in_a_local_folder_is_pushed(hub):
    with pytest.raises(UsageError, match="s3://bucket/out: what is pushed must be a local folder"):
        push("s3://bucket/out", "me/bottle")


@pytest.mark.parametrize("name", ["README.md", "preview.png", "recipe.yaml", "data/train-00000-of-00002.parquet"])
def test_nothing_that_a_link_leads_to_is_published(hub, made, tmp_path, name):
    secret = tmp_path / "secret"
    (made / "preview.png").write_bytes(b"picture")
    (made / name).replace(secret)
    (made / name).symlink_to(secret)
    with pytest.raises(UsageError, match=LINKED):
        push(made, "me/bottle", check=False)
    assert not hub.repos


def test_the_shards_in_a_linked_folder_are_not_published(hub, made, tmp_path):
    (made / "data").replace(tmp_path / "elsewhere")
    (made / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=LINKED):
        push(made, "me/bottle", check=False)
    assert not hub.repos
