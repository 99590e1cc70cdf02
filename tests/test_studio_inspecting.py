"""Detectors and reports in the studio: what is said of an image is what `inspect` says, and a report is shut off."""

import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the studio is an extra")
pytest.importorskip("timm", reason="scoring is an extra")

from real_data import defect, tiny_data
from starlette.testclient import TestClient
from studio_client import opened as client
from studio_client import refused

import anomgen
from anomgen.banks.folder import Defect
from anomgen.banks.make import add_defect
from anomgen.dataset.png import decode_png, encode_png
from anomgen.sources.labelled import listing
from anomgen.studio import inspecting, looking
from anomgen.studio.app import studio_app
from anomgen.studio.guard import TOKEN_HEADER
from anomgen.studio.runs import Begun, Fit, Score
from anomgen.studio.session import Session

QUICK = {
    "detector": "unet",
    "steps": 2,
    "size": 32,
    "overrides": [f"detector.unet.{key}=2" for key in ("width", "depth", "batch_size")],
}
"""A detector that needs torch alone: what is slow in a process is to import more."""
pytestmark = pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A folder that was opened, with a detector and a report in it, and a link that leads out of it."""
    root = tmp_path_factory.mktemp("opened")
    data = tiny_data(tmp_path_factory.mktemp("real") / "part")
    anomgen.fit(data, "boxes", root / "eye", **QUICK)
    for folder in (root / "ranked", root.parent / "secret"):
        folder.mkdir(exist_ok=True)
        (folder / "report.html").write_text("<h1>ranked</h1><script>1</script>")
        (folder / "results.json").write_text("{}")
    (root / "link").symlink_to(root.parent / "secret")
    return root


@pytest.fixture
def studio(photos, opened, tmp_path):
    app = studio_app(Session(str(photos), tmp_path / "out", (opened,)), token="t")
    with TestClient(app, base_url="http://127.0.0.1", headers={TOKEN_HEADER: "t"}) as client:
        yield client


def test_what_the_page_says_of_an_image_is_what_inspect_says(studio, opened):
    image, _ = defect(300, 64)
    image = np.ascontiguousarray(image)
    told = studio.post("/api/inspect/eye", params={"name": "a.png"}, content=encode_png(image)).json()
    found = anomgen.Inspector.load(opened / "eye").inspect(image)
    assert told["score"] == pytest.approx(found.score, rel=1e-5)
    assert (told["anomalous"], told["area"]) == (found.is_anomalous, found.area)
    assert np.array_equal(decode_png(studio.get(f"/inspection/{told['id']}/image.png").content), image)
    assert decode_png(studio.get(f"/inspection/{told['id']}/map.png").content).shape == (64, 64, 3)


def test_the_detector_lives_in_a_process_that_ends_when_nobody_asks(studio, monkeypatch):
    """Law: what torch takes is given back, and the next image is looked at all the same."""
    monkeypatch.setattr(looking, "IDLE", 0.2)
    image = encode_png(np.ascontiguousarray(defect(300, 64)[0]))
    before = set(multiprocessing.active_children())
    for _ in range(2):
        assert studio.post("/api/inspect/eye", params={"name": "a.png"}, content=image).status_code == 200
        assert len(set(multiprocessing.active_children()) - before) == 1
        deadline = time.monotonic() + 20
        while set(multiprocessing.active_children()) - before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not set(multiprocessing.active_children()) - before


def test_a_detector_whose_process_was_killed_looks_again(studio):
    image = encode_png(np.ascontiguousarray(defect(300, 64)[0]))
    before = set(multiprocessing.active_children())
    assert studio.post("/api/inspect/eye", content=image).status_code == 200
    for process in set(multiprocessing.active_children()) - before:
        process.kill()
        process.join()
    answers = [studio.post("/api/inspect/eye", content=image) for _ in range(2)]  # the first may say that it ended
    assert answers[1].status_code == 200, answers[1].text


def test_what_is_no_image_and_no_detector_is_refused(studio):
    refused(studio.post("/api/inspect/eye", params={"name": "x"}, content=b"no image"), "x: ")
    for name in ("ranked", "nothing", "..", "link", "%2e%2e"):
        answer = studio.post(f"/api/inspect/{name}", content=b"")
        assert answer.status_code in (400, 404)
    refused(studio.get("/inspection/unknown/map.png"), "drop the image again")


def test_a_report_is_shown_as_nobody_and_from_opened_folders_alone(studio):
    told = studio.get("/api/inspectors").json()
    assert [report["name"] for report in told["reports"]] == ["ranked"]
    assert [detector["name"] for detector in told["detectors"]] == ["eye"]
    answer = studio.get("/report/ranked")
    policy = answer.headers["content-security-policy"]
    assert answer.text.startswith("<h1>ranked</h1>") and policy == inspecting.REPORT_POLICY
    assert "sandbox allow-scripts" in policy and "allow-same-origin" not in policy and "connect-src" not in policy
    refused(studio.get("/report/link"), "no report")
    refused(studio.get("/report/secret"), "no report")


def test_a_detector_is_trained_on_the_photos_and_the_recipe(studio, photos, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(inspecting.Runs, "start", lambda _, job: started.append(job))
    chosen = studio.post("/api/recipe", json={"base": "perlin", "changes": {"seed": 3}}).json()
    assert studio.post("/api/fit", json={"id": chosen["id"], "name": "mine"}).status_code == 200
    out = tmp_path / "out"
    assert started == [Fit(str(photos), out / "mine.yaml", out / "mine")] and "seed: 3" in started[0].recipe.read_text()
    before = (out / "mine.yaml").read_text()
    assert studio.post("/api/fit", json={"id": chosen["id"], "name": "mine"}).status_code == 200
    other = studio.post("/api/recipe", json={"base": "nsa", "changes": {}}).json()
    assert studio.post("/api/fit", json={"id": other["id"], "name": "mine"}).status_code == 200
    assert [fit.recipe.name for fit in started] == ["mine.yaml", "mine.yaml", "mine-2.yaml"]
    assert (out / "mine.yaml").read_text() == before and "kind: nsa" in (out / "mine-2.yaml").read_text()
    (out / "taken").mkdir()
    (out / "taken" / "file").touch()
    refused(studio.post("/api/fit", json={"id": chosen["id"], "name": "taken"}), "there already")


def test_reports_and_detectors_that_were_stopped_go_on_in_the_next_studio(photos, tmp_path, monkeypatch):
    """Law: what is not finished is offered again as it was begun, and reads what is open alone."""
    out = tmp_path / "out"
    fit = Fit(str(photos), out / "mine.yaml", out / "mine")
    score = Score(str(photos), ("perlin", "none"), 2, out / "ranks", 50)
    for command in (fit, score, Score("/etc", ("perlin",), 1, out / "closed")):
        Begun(out).add(command)
    started = []
    monkeypatch.setattr(inspecting.Runs, "start", lambda _, job: started.append(job))
    app = studio_app(Session(str(photos), out), token="t")
    with TestClient(app, base_url="http://127.0.0.1", headers={TOKEN_HEADER: "t"}) as client:
        runs = client.get("/api/inspectors").json()["runs"]
        assert {(run["name"], run["kind"], run["state"]) for run in runs} == {
            ("mine", "detector", "unfinished"),
            ("ranks", "report", "unfinished"),
            ("closed", "report", "unfinished"),
        }
        for name in ("mine", "ranks"):
            assert client.post("/api/resume", json={"name": name}).status_code == 200
        refused(client.post("/api/resume", json={"name": "closed"}), "not in a folder that was opened", 422)
        assert client.post("/api/forget", json={"name": "closed"}).status_code == 200
    assert started == [fit, score] and Begun(out).all() == [fit, score]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"data": "/etc", "recipes": ["perlin"]}, "not in a folder that was opened"),
        ({"data": "PHOTOS", "recipes": ["/etc/x.yaml"]}, "bundled or saved recipes"),
        ({"data": "PHOTOS", "recipes": ["perlin", "/etc"]}, "bundled or saved recipes"),
        ({"data": "PHOTOS", "recipes": []}, "bundled or saved recipes"),
        ({"data": "PHOTOS", "recipes": ["perlin"], "name": "../x"}, "is no name"),
    ],
)
def test_recipes_are_compared_on_opened_data_alone(studio, photos, asked, text):
    asked = {"name": "r", **asked, "data": asked["data"].replace("PHOTOS", str(photos))}
    refused(studio.post("/api/score", json=asked), text, 422 if "opened" in text else 400)


def test_data_with_real_defects_is_offered_where_it_was_opened_and_named_where_it_was_not(tmp_path):
    """Law: nothing is read outside the folders that were opened, and what to open is said."""
    data = tiny_data(tmp_path / "part")
    for folders, data_, closed in (((), [], str(data)), ((data,), [str(data)], None), ((tmp_path,), [str(data)], None)):
        app = studio_app(Session(str(data / "train" / "good"), tmp_path / "out", folders), token="t")
        with TestClient(app, base_url="http://127.0.0.1", headers={TOKEN_HEADER: "t"}) as client:
            told = client.get("/api/inspectors").json()
        assert told["data"] == data_ and told["opening"].endswith(f"--open {closed or 'FOLDER'}")


def test_recipes_are_compared_on_the_own_bank_and_photos(studio, photos, tmp_path, monkeypatch):
    """Law: what `score` is given holds each photo as a normal image and each defect with its mask."""
    defects = []
    for k in range(8):
        image, mask = defect(300 + k, 96)
        defects.append(Defect(f"{k}.png", "dent", np.ascontiguousarray(image), mask > 127, f"{k:032x}"))
    for one in defects:
        add_defect(tmp_path / "out" / "own", one)
    assert str(tmp_path / "out" / "own") in studio.get("/api/inspectors").json()["data"]
    started = []
    monkeypatch.setattr(inspecting.Runs, "start", lambda _, job: started.append(job))
    asked = {"name": "r", "data": str(tmp_path / "out" / "own"), "recipes": ["perlin"]}
    assert studio.post("/api/score", json=asked).status_code == 200
    images = listing(started[0].data).found
    assert sum(image.defect_type == "normal" for image in images) == 12
    found = [image for image in images if image.defect_type == "dent"]
    masks = [decode_png((Path(started[0].data) / image.mask[0]).read_bytes())[..., 0] > 0 for image in found]
    assert [mask.sum() for mask in masks] == [one.mask.sum() for one in defects]


def without(record, key):
    return {name: value for name, value in record.items() if name != key}


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: {**record, "defects": [{**own, "mask": 2**63} for own in record["defects"]]},
        lambda record: {**record, "defect_types": ["dent"]},
        lambda record: {**record, "notes": 5},
        lambda record: without(record, "defect_types"),
        lambda _: "{",
    ],
    ids=["mask", "types", "notes", "lacking", "half"],
)
def test_a_damaged_bank_and_detector_are_named_and_all_others_listed(photos, tmp_path, opened, damage):
    """Law: one reader says what is damaged; whatever lists banks leaves such a one out."""
    out = tmp_path / "out"
    for name in ("good", "half"):
        image, mask = defect(300, 96)
        add_defect(out / name, Defect("a.png", "dent", np.ascontiguousarray(image), mask > 127, f"{0:032x}"))
    record = out / "half" / "bank.json"
    changed = damage(json.loads(record.read_text()))
    record.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    (out / "blind").mkdir()
    blind = out / "blind" / inspecting.DETECTOR
    blind.write_text(json.dumps({**json.loads((opened / "eye" / inspecting.DETECTOR).read_text()), "recipe": "x"}))
    with client(photos, out, opened) as studio:
        told, banks = studio.get("/api/inspectors").json(), studio.get("/api/banks").json()
        chosen = studio.post("/api/recipe", json={"base": "transplant", "changes": {}}).json()
    (control,) = [c for section in chosen["sections"] for c in section["controls"] if c["key"] == "generator.bank"]
    assert [detector["name"] for detector in told["detectors"]] == ["eye"]
    assert [bank["name"] for bank in banks["banks"]] == ["good"] and control["options"] == [str(out / "good")]
    assert [text.partition(": is damaged;")[0] for text in told["broken"]] == [str(record), str(blind)]
    assert banks["broken"] == told["broken"][:1]


def test_a_comparison_that_cannot_be_made_says_why(studio, photos):
    """Law: a failing run shows its error."""
    asked = {"name": "r", "data": str(photos), "recipes": ["perlin"], "seeds": 1}
    assert studio.post("/api/score", json=asked).status_code == 200
    for _ in range(600):
        (run,) = studio.get("/api/inspectors").json()["runs"]
        if run["state"] != "running":
            break
        time.sleep(0.1)
    assert (run["kind"], run["state"]) == ("report", "failed") and str(photos) in run["error"], run
