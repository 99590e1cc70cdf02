"""What goes wrong between here and the Hub: refusals, failures, cut connections, others who push at the same time."""

import logging
import time

import pytest
from hub_fixtures import TOKEN, write_dataset
from made_dataset import made_rows

from anomgen.errors import AnomgenError, AnomgenNote, Interrupted, UsageError
from anomgen.hub import push
from anomgen.hub.client import MAX_WAIT, TRIES, Repository

pytestmark = pytest.mark.filterwarnings("ignore:.*trying again in:anomgen.errors.AnomgenNote")


@pytest.fixture
def made(tmp_path):
    return write_dataset(tmp_path / "made")


@pytest.fixture
def waits():
    return []


@pytest.fixture
def pushing(made, waits):
    """Push the dataset to me/bottle, and note instead of sleeping."""
    return lambda **options: push(made, "me/bottle", **options, wait=waits.append)


# ------------------------------------------------------------------------------------------------- who may


def without_token(monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere/token")


def test_without_a_token_it_says_how_to_log_in(hub, pushing, monkeypatch):
    without_token(monkeypatch)
    with pytest.raises(UsageError, match="hf auth login"):
        pushing()
    assert not hub.log


def test_a_dry_run_needs_no_token(hub, pushing, monkeypatch):
    """Law: what would change is the same with and without a token, in a new repository and in one that is there."""
    asked = {"dry_run": True, "check": False}
    with_token = pushing(**asked)
    pushing(check=False)
    later = pushing(**asked)
    without_token(monkeypatch)
    assert pushing(**asked) == later and later.unchanged
    hub.repos.clear()
    assert pushing(**asked) == with_token and with_token.new


def test_licence_token_and_names_are_told_at_once(hub, made, monkeypatch):
    without_token(monkeypatch)
    with pytest.raises(UsageError) as error:
        push(made, "bottle", config="my set", license="unknown", revision_tag="../v1")
    told = str(error.value)
    assert told.startswith("5 problems\n")
    for part in ("--revision-tag", "does not say whose", "--config my set", "--license unknown", "hf auth login"):
        assert told.count(part) == 1
    assert not hub.log


def test_the_token_is_found_in_the_file_of_hf_auth_login(hub, pushing, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    assert pushing().commit


def test_offline_nothing_is_tried(hub, pushing, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        pushing()
    assert not hub.log


def test_a_token_that_is_not_accepted(hub, pushing, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_somethingThatWasRevoked")
    with pytest.raises(
        AnomgenError, match=r"does not accept the token \(401: Invalid credentials.*hf auth login"
    ) as error:
        pushing()
    assert "hf_something" not in str(error.value) and error.value.exit_code == 1


def test_a_repository_that_is_not_ours(hub, made):
    with pytest.raises(
        AnomgenError, match=r"somebody/new: creating it: this token may not do that \(403: .*rights.* your own"
    ) as error:
        push(made, "somebody/new")
    assert "--create-pr" not in str(error.value)  # there is nothing yet to propose a change of
    hub.add("somebody/else", {})
    with pytest.raises(AnomgenError, match=r"somebody/else: uploading: this token may not do that .*--create-pr"):
        push(made, "somebody/else")
    assert not hub.blobs


def test_an_expired_address_of_the_storage_is_not_taken_for_a_missing_right(hub, pushing):
    hub.fail("PUT ", 403)
    with pytest.raises(AnomgenError, match=r"may have expired; run the same command again"):
        pushing()
    assert pushing().commit


def test_a_hidden_repository_looks_as_if_it_were_not_there(hub, made):
    hub.add("somebody/secret", {}, private=True)
    with pytest.raises(AnomgenError, match="403"):
        push(made, "somebody/secret")


# ------------------------------------------------------------------------------------------------- try again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "request_", ["GET .*/bottle$", "POST .*/create", "POST .*/commit/", "POST .*/tag/", "validate-yaml"]
)
def test_what_can_pass_is_tried_again(hub, pushing, waits, request_, status):
    hub.fail(request_, status, times=2)
    with pytest.warns(AnomgenNote, match=rf"{status}.*trying again in") as told:
        assert pushing(revision_tag="v1").tag == "v1"
    assert waits == [1, 2] and [one.category for one in told].count(AnomgenNote) == 2


@pytest.mark.parametrize("request_", ["POST .*/preupload/", "POST .*/batch", "PUT "])
def test_the_library_tries_uploads_again(hub, pushing, request_):
    hub.fail(request_, 500, times=3)
    assert pushing().commit and len(hub.waits) == 3


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7),
        ({"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}, 55),
        ({"Retry-After": "soon"}, 1),
    ],
)
def test_the_wait_that_is_asked_for_is_kept(hub, pushing, waits, headers, wait):
    hub.fail("POST .*/commit/", 429, headers=headers)
    pushing()
    assert waits == [wait]


def test_a_date_to_wait_for_is_understood(hub, pushing, waits):
    from email.utils import formatdate

    hub.fail("POST .*/commit/", 503, headers={"Retry-After": formatdate(time.time() + 40, usegmt=True)})
    pushing()
    assert 35 < waits[0] <= 41


def test_trying_again_has_an_end(hub, pushing, waits):
    hub.fail("POST .*/commit/", 500, times=99, body={"error": "on fire"})
    with pytest.raises(AnomgenError, match=r"the Hub kept failing \(500: on fire\); run the same command again"):
        pushing()
    assert waits == [1, 2, 4, 8] and len(hub.requests("POST .*/commit/")) == TRIES
    hub.faults.clear()
    sent = len(hub.requests("PUT"))
    pushing()
    assert len(hub.requests("PUT")) == sent  # nothing was sent again


def test_a_wait_without_reason_is_not_waited(hub, pushing, waits):
    hub.fail("POST .*/commit/", 429, headers={"Retry-After": str(int(MAX_WAIT) + 1)})
    with pytest.raises(AnomgenError, match=r"still asks for patience .* but in 301 s"):
        pushing()
    assert waits == []


def test_what_cannot_pass_is_not_tried_again(hub, pushing, waits):
    hub.fail("POST .*/commit/", 402, body={"error": "private storage is full"})
    with pytest.raises(AnomgenError, match=r"the Hub refused \(402: private storage is full\)"):
        pushing()
    hub.fail("POST .*/commit/", 404)
    with pytest.raises(AnomgenError, match="not there"):
        pushing()
    assert waits == []


def test_a_pull_request_is_not_opened_twice(hub, pushing, waits):
    pushing()
    hub.fail("POST .*/commit/", 500, done=True)
    with pytest.raises(AnomgenError, match="kept failing"):
        pushing(create_pr=True, config="two")
    assert waits == [] and len(hub.requests("POST .*/commit/")) == 2
    hub.fail("POST .*/commit/", 429, headers={"Retry-After": "3"})
    assert pushing(create_pr=True, config="two").pull_request and waits == [3]


# ------------------------------------------------------------------------------------------------- cut connections


def test_a_connection_that_is_cut_once_is_no_trouble(hub, pushing, waits):
    for request_ in ("GET .*/bottle$", "POST .*/create", "PUT ", "POST .*/commit/"):
        hub.fail(request_, None)
    assert pushing().commit
    assert len(waits) == 3 and len(hub.waits) == 1


def test_an_upload_that_is_cut_goes_on_where_it_stopped(hub, made, tmp_path, waits):
    four = write_dataset(tmp_path / "four", made_rows(16), shards=4)
    hub.fail("PUT ", None, times=999, after=2)
    with pytest.raises(
        AnomgenError,
        match=r"uploading: the connection to the Hub broke .* run the same command again: "
        "what has arrived is not sent again",
    ):
        push(four, "me/bottle", wait=waits.append)
    arrived = dict(hub.blobs)
    assert len(arrived) == 2 and "README.md" not in hub.repos["dataset", "me/bottle"].files
    hub.faults.clear()
    hub.log.clear()
    pushed = push(four, "me/bottle", wait=waits.append)
    assert pushed.commit and not pushed.new
    assert len(pushed.arrived) == 2 and set(pushed.arrived) < set(pushed.files)
    assert pushed.megabytes < sum(file.stat().st_size for file in (four / "data").iterdir()) / 1e6
    sent = [path.rsplit("/", 1)[1] for _, path, _ in hub.requests("PUT")]
    assert len(sent) == 2 and not set(sent) & set(arrived)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub, pushing, waits):
    hub.fail("POST .*/commit/", None, done=True)
    pushed = pushing(revision_tag="v1")
    repo = hub.repos["dataset", "me/bottle"]
    assert len(repo.commits) == 2 and pushed.commit == repo.refs["main"] == repo.tags["v1"]


def test_ctrl_c_says_how_to_go_on(hub, made):
    def stop(_):
        raise KeyboardInterrupt

    hub.fail("POST .*/create", 500)
    with pytest.raises(Interrupted, match="run the same command again"):
        push(made, "me/bottle", wait=stop)


def test_a_server_that_is_not_there(made, hub, waits, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(AnomgenError, match="the connection to the Hub broke"):
        push(made, "me/bottle", wait=waits.append)
    assert waits == [1, 2, 4, 8]


@pytest.mark.parametrize("endpoint", ["notaurl", "hub.example.org", "ftp://hub", "http://"])
def test_an_endpoint_that_is_no_url_is_told_at_once(made, hub, waits, monkeypatch, endpoint):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    with pytest.raises(UsageError, match=f"HF_ENDPOINT={endpoint} is not a URL"):
        push(made, "me/bottle", wait=waits.append)
    assert waits == []


def test_the_endpoint_that_was_set_is_named(made, hub, waits, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(AnomgenError, match=r"the connection to the Hub at HF_ENDPOINT=http://127.0.0.1:9 broke"):
        push(made, "me/bottle", wait=waits.append)


# ------------------------------------------------------------------------------------------------- Xet


def test_a_server_without_xet_says_how_to_do_without(hub, pushing, waits, monkeypatch):
    pytest.importorskip("hf_xet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    with pytest.raises(AnomgenError, match=r"the upload by Xet was refused \(.*404.*set HF_HUB_DISABLE_XET=1") as error:
        pushing()
    assert "run the same command again" not in str(error.value) and waits == []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    assert pushing().commit


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("HTTP status client error (401 Unauthorized)", r"was refused .*HF_HUB_DISABLE_XET=1"),
        ("HTTP status server error (503 Service Unavailable)", r"kept failing \(503\); run the same command again"),
        ("error sending request", r"the connection to the Hub broke .*; run the same command again"),
    ],
)
def test_what_xet_says_is_told_apart(hub, pushing, monkeypatch, said, text):
    def fail(*_, **__):
        raise ConnectionError(f"Network error: Request error: {said}, domain: http://cas.example.org/{TOKEN}")

    monkeypatch.setattr("huggingface_hub.HfApi.preupload_lfs_files", fail)
    with pytest.raises(AnomgenError, match=text) as error:
        pushing()
    assert TOKEN not in str(error.value)


# ------------------------------------------------------------------------------------------------- others


def faster(hub, text):
    """Let somebody commit to the card right before the next commit arrives."""

    def commit():
        repo = hub.repos["dataset", "me/bottle"]
        repo.commit("main", {**repo.files, "README.md": repo.files["README.md"] + text.encode()}, "somebody's edit")

    hub.on_commit.append(commit)


def test_who_was_faster_is_merged_with(hub, made, pushing):
    pushing()
    faster(hub, "\nAda was here.\n")
    hub.log.clear()
    pushed = pushing(config="two", revision_tag="v2")
    assert all(path.endswith(".parquet") for path in pushed.arrived)
    repo = hub.repos["dataset", "me/bottle"]
    card = repo.files["README.md"].decode()
    assert "Ada was here." in card and "two/data/train-*" in card and repo.tags["v2"] == pushed.commit
    assert [status for *_, status in hub.requests("POST .*/commit/")] == [412, 200] and not hub.requests("PUT")


def test_who_is_always_faster_wins(hub, pushing):
    pushing()
    hub.fail("POST .*/commit/", 412, times=2)
    with pytest.raises(AnomgenError, match=r"something else was committed meanwhile.*nothing was overwritten"):
        pushing(config="two")
    assert "two/data" not in hub.repos["dataset", "me/bottle"].files["README.md"].decode()


def test_a_commit_in_progress_is_waited_for(hub, pushing, waits):
    busy = {"error": "Another commit operation is in progress for this repository. Please try again later."}
    hub.fail("POST .*/commit/", 409, times=2, body=busy)
    assert pushing().commit and waits == [1, 2]
    hub.fail("POST .*/commit/", 409, body={"error": "the name is taken"})
    with pytest.raises(AnomgenError, match=r"reports a conflict \(409: the name is taken\)"):
        pushing(config="two")


# ------------------------------------------------------------------------------------------------- tokens


def test_tokens_and_signatures_are_in_no_error_and_no_log(hub, pushing, waits, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    said = f"the token {TOKEN} and hf_anotherTokenOf1234567890 may not"
    hub.fail("POST .*/commit/", 403, body={"error": said})
    hub.fail("PUT ", 500, times=2)
    with pytest.raises(AnomgenError) as error:
        pushing()
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("huggingface"))
    output = "".join(capsys.readouterr())
    for text in (str(error.value), output, logged):
        assert TOKEN not in text and "hf_another" not in text and "secret0123456789" not in text
    assert "the token <token> and <token> may not" in str(error.value) and "PUT" in logged
    stored = b"".join(data for repo in hub.repos.values() for files in repo.commits.values() for data in files.values())
    assert TOKEN.encode() not in stored


def test_its_representation_does_not_show_the_token(hub):
    assert TOKEN not in repr(Repository("me/bottle", "dataset"))
