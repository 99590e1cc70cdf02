"""What goes wrong around a studio: huge uploads, a second studio, folders that go, pages that close, odd images."""

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib import metadata

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the studio is an extra")

from studio_client import SMALL, chosen, opened

from anomgen.dataset.reader import Dataset
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.studio.guard import MAX_BODY


def pieces(total, size=1 << 20):
    block = b"x" * size
    for _ in range(total // size):
        yield block


@pytest.mark.parametrize("path", ["/api/picture?name=a", "/api/mask?name=a", "/api/recipe"])
def test_an_upload_of_two_gigabytes_is_refused_before_it_is_held(photos, tmp_path, path):
    with opened(photos, tmp_path / "out") as studio:
        sent = []

        def counted():
            for block in pieces(2 << 30):
                sent.append(len(block))
                yield block
                if sum(sent) > 2 * MAX_BODY:
                    return  # whoever reads so far reads it all

        told = studio.post(path, content=b"", headers={"content-length": str(2 << 30)})
        assert told.status_code == 413
        assert studio.post(path, content=counted()).status_code == 413
        assert studio.get("/api/start").status_code == 200
    assert not (tmp_path / "out").exists()


def test_two_studios_on_one_folder_lose_nothing_of_each_other(photos, tmp_path):
    out = tmp_path / "out"
    make(load_recipe("perlin", source=photos, size=48, count=12), out / "d")
    with opened(photos, out) as one, opened(photos, out) as two:
        for studio, index in ((one, 1), (two, 3), (one, 5)):
            studio.get("/api/dataset/d")
            assert studio.post("/api/throw", json={"name": "d", "index": index, "out": True}).status_code == 200
        assert Dataset(out / "d").left_out == frozenset({1, 3, 5})
        told = chosen(one), chosen(two, seed=9)
        assert one.post("/api/save", json={"id": told[0]["id"], "name": "mine"}).status_code == 200
        refused = two.post("/api/save", json={"id": told[1]["id"], "name": "mine"})
        assert refused.status_code == 400 and "is there already" in refused.json()["error"]
        assert two.get("/api/start").json()["saved"] == ["mine.yaml"]
        refused = two.post("/api/make", json={"id": told[1]["id"], "name": "d"})
        assert refused.status_code == 400 and "holds a finished dataset" in refused.json()["error"]


def test_two_runs_of_two_studios_into_one_folder_do_not_mix(photos, tmp_path):
    out = tmp_path / "out"
    with opened(photos, out) as one, opened(photos, out) as two:
        first, second = chosen(one, count=300), chosen(two, count=300, seed=7)
        one.post("/api/make", json={"id": first["id"], "name": "d"})
        two.post("/api/make", json={"id": second["id"], "name": "d"})
        ends = [ended(studio) for studio in (one, two)]
    states = sorted(run["state"] for run in ends if run is not None)
    assert states in (["failed", "finished"], ["finished"]), ends
    dataset = Dataset(out / "d")
    assert len(dataset) == 300 and len({row["seed"] for row in dataset.rows(["seed"])}) == 1


def ended(studio):
    """Return how the run ended, None where it was refused."""
    for _ in range(900):
        runs = studio.get("/api/made").json()["runs"]
        if not runs or runs[0]["state"] not in ("running", "stopping"):
            return runs[0] if runs else None
        time.sleep(0.1)
    raise AssertionError(runs)


def test_photos_that_go_and_come_back_are_told_and_seen(photos, tmp_path):
    with opened(photos, tmp_path / "out") as studio:
        told = chosen(studio)
        shutil.move(photos, tmp_path / "away")
        rows = [
            studio.post("/api/rows", json={"id": told["id"], "indices": [k]}).json()["rows"][0] for k in range(30, 42)
        ]
        assert any("error" in row for row in rows) or all(row["source_id"] for row in rows)
        seeded = studio.post("/api/recipe", json={"base": "perlin", "changes": {**SMALL, "source.size": 64}})
        if seeded.status_code == 200:
            row = studio.post("/api/rows", json={"id": seeded.json()["id"], "indices": [0]}).json()["rows"][0]
            assert "photos" in row["error"]
        assert studio.get("/api/start").status_code == 200
        shutil.move(tmp_path / "away", photos)
        again = chosen(studio)
        row = studio.post("/api/rows", json={"id": again["id"], "indices": [3]}).json()["rows"][0]
        assert "error" not in row


def test_an_output_folder_that_goes_is_empty_and_made_anew(photos, tmp_path):
    out = tmp_path / "out"
    with opened(photos, out) as studio:
        told = chosen(studio)
        studio.post("/api/save", json={"id": told["id"], "name": "mine"})
        shutil.rmtree(out)
        assert studio.get("/api/made").json() == {"runs": [], "datasets": []}
        assert studio.get("/api/banks").json() == {"banks": [], "broken": []}
        assert studio.get("/api/dataset/d").status_code == 400
        assert studio.post("/api/save", json={"id": told["id"], "name": "mine"}).status_code == 200
        assert (out / "mine.yaml").is_file()


def test_a_run_goes_on_when_nobody_looks_and_a_new_page_sees_it(photos, tmp_path):
    with opened(photos, tmp_path / "out") as studio:
        told = chosen(studio, count=200)
        studio.post("/api/make", json={"id": told["id"], "name": "d"})
        time.sleep(0.5)  # nobody asks
        assert ended(studio)["state"] == "finished"
        assert studio.get("/api/made").json()["datasets"][0] == {"name": "d", "finished": True, "rows": 200}


def test_a_photo_of_twenty_megapixels_is_shown_small(tmp_path):
    """Law: a picture is sent at the size that it is shown at, however large its file is."""
    photos = tmp_path / "photos"
    photos.mkdir()
    large = np.random.default_rng(0).integers(0, 255, (4000, 5000, 3), np.uint8)
    small = cv2.imencode(".jpg", large[:64, :64])[1].tobytes()
    for number in range(3):
        (photos / f"{number:05d}.jpg").write_bytes(small)
    cv2.imwrite(str(photos / "large.jpg"), large)
    with opened(photos, tmp_path / "out") as studio:
        told = chosen(studio, **{"source.size": 256, "foreground": "none"})
        about = studio.get(f"/api/normal/{told['id']}/3").json()
        assert (about["source_id"], about["height"], about["width"]) == ("large.jpg", 205, 256)
        answer = studio.get(f"/normal/{told['id']}/3.png", params={"side": 128})
        assert answer.status_code == 200 and len(answer.content) < 100_000
        sent = studio.post("/api/picture", params={"name": "l"}, content=(photos / "large.jpg").read_bytes())
        assert sent.status_code == 200 and sent.json()["size"] == [4000, 5000] and sent.json()["width"] <= 1536


def test_the_extra_brings_at_most_ten_packages():
    def needed(name, found):
        for line in metadata.requires(name) or ():
            requirement, _, marker = line.partition(";")
            other = requirement.strip().split("[")[0].split(">")[0].split("=")[0].split("<")[0].split("!")[0].strip()
            if not any(word in marker for word in ("extra", "platform", "python_")) and other not in found:
                found.add(other)
                needed(other, found)
        return found

    found = needed("starlette", {"starlette", "uvicorn"}) | needed("uvicorn", set())
    assert len(found) <= 10, found


def test_the_command_ends_at_once_when_its_port_is_taken(tmp_path):
    words = [sys.executable, "-m", "anomgen", "studio", "--no-browser", "--port"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*words, port], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and f"port {port}" in done.stderr and "Traceback" not in done.stderr


def test_the_address_that_is_printed_opens_the_page_until_ctrl_c(tmp_path):
    words = [sys.executable, "-m", "anomgen", "studio", "--no-browser"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        address = server.stdout.readline().removeprefix("studio: ").strip()  # the token is there, not taken out
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert b"anomgen studio" in browser.open(address, timeout=60).read()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) in (0, 130) and "Traceback" not in server.stderr.read()
