"""Datasets in the studio: they are made, stopped, gone on with, browsed, replayed and thinned out."""

import time

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the studio is an extra")

from studio_client import SMALL, chosen, opened, picture, refused, until

from anomgen.dataset.reader import Dataset
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe


def test_a_run_is_made_stopped_gone_on_with_and_is_the_dataset_of_make(studio, photos, out, tmp_path):
    told = chosen(studio, count=600, shard_size=16)
    assert studio.post("/api/make", json={"id": told["id"], "name": "d"}).status_code == 200
    refused(studio.post("/api/make", json={"id": told["id"], "name": "d"}), "already")
    for _ in range(2000):
        if list((out / "d").rglob("train-*.parquet")):
            break
        time.sleep(0.03)
    studio.post("/api/stop", json={"name": "d"})
    assert until(studio, "d", {"stopped"})["done"] < 600
    refused(studio.post("/api/stop", json={"name": "d"}), "is not being made")
    refused(studio.get("/api/dataset/d"), "unfinished")
    assert studio.post("/api/resume", json={"name": "d"}).status_code == 200
    wanted = {
        "name": "d",
        "kind": "dataset",
        "state": "finished",
        "done": 600,
        "total": 600,
        "seconds": 0,
        "note": "",
        "error": "",
    }
    assert until(studio, "d", {"finished", "failed"}) | {"seconds": 0} == wanted
    recipe = load_recipe("perlin", source=photos, overrides={**SMALL, "count": 600, "shard_size": 16})
    make(recipe, tmp_path / "twin")
    shards = sorted((out / "d" / "data").iterdir())
    twins = sorted((tmp_path / "twin" / "data").iterdir())
    assert [a.read_bytes() for a in shards] == [b.read_bytes() for b in twins]


def test_a_run_stopped_before_its_first_row_begins_anew_and_can_be_removed(studio, out):
    """Law: what was stopped can go on or go, however early it was."""
    told = chosen(studio, count=40)
    studio.post("/api/make", json={"id": told["id"], "name": "d"})
    refused(studio.post("/api/forget", json={"name": "d"}), "stop it first")
    studio.post("/api/stop", json={"name": "d"})
    until(studio, "d", {"stopped"})
    assert not list(out.rglob("train-*.parquet"))
    assert studio.post("/api/resume", json={"name": "d"}).status_code == 200
    assert until(studio, "d", {"finished", "failed"})["state"] == "finished"
    (out / "d" / "provenance.json").unlink()  # as if it had been stopped at its end
    left = studio.post("/api/forget", json={"name": "d"}).json()
    assert left == {"runs": [], "datasets": []} and not (out / "d").exists()
    refused(studio.post("/api/resume", json={"name": "d"}), "no dataset")


def test_a_run_that_fails_says_why(studio, photos, out):
    told = chosen(studio, "cutpaste")
    for file in photos.rglob("*.png"):
        file.unlink()
    studio.post("/api/make", json={"id": told["id"], "name": "d"})
    run = until(studio, "d", {"failed", "finished"})
    assert run["state"] == "failed" and "holds no image" in run["error"]
    out.joinpath("other").mkdir(parents=True)
    out.joinpath("other", "file").touch()
    refused(studio.post("/api/make", json={"id": told["id"], "name": "other"}), "holds other files")


def test_a_finished_dataset_is_browsed_by_type_label_and_measures(studio, photos, out):
    recipe = load_recipe("mix", source=photos, size=48, count=40)
    dataset = Dataset(make(recipe, out / "d").path)
    assert studio.get("/api/made").json()["datasets"] == [{"name": "d", "finished": True, "rows": 40}]
    whole = studio.get("/api/dataset/d").json()
    assert (whole["total"], whole["all"], len(whole["rows"])) == (40, 40, 40)
    strong = studio.get("/api/dataset/d", params={"severity_low": "0.1", "type": "nsa", "label": "anomaly"}).json()
    rows = [row for row in dataset.rows() if row["defect_type"] == "nsa" and row["severity"] >= 0.1]
    assert [row["index"] for row in strong["rows"]] == [row["index"] for row in rows] and strong["total"] == len(rows)
    rest = studio.get("/api/dataset/d", params={"start": "38"}).json()
    assert [row["index"] for row in rest["rows"]] == [38, 39]
    for index in (0, 1):
        stored = dataset.row(index)
        record = studio.get(f"/api/dataset/d/{index}").json()
        assert (record["params"], record["source_id"]) == (stored["params"], stored["source_id"])
        assert np.array_equal(picture(studio, f"/dataset/d/{index}/image.png"), stored["image"])
        assert picture(studio, f"/dataset/d/{index}/normal.png").shape == (48, 48, 3)
    refused(studio.get("/api/dataset/d", params={"size_low": "1"}), "is no filter")
    refused(studio.get("/api/dataset/d", params={"severity_low": "nan'"}), "is no filter")
    for name in ("..", "e", "%2e%2e", "..%2Fphotos"):
        assert studio.get(f"/api/dataset/{name}").status_code in (400, 404)


def test_a_row_is_replayed_and_thrown_out_and_taken_back(studio, photos, out):
    recipe = load_recipe("perlin", source=photos, size=48, count=12)
    make(recipe, out / "d")
    told = studio.post("/api/replay", json={"name": "d", "index": 3}).json()
    assert told == {"identical": True, "different": [], "notes": []}
    assert studio.post("/api/throw", json={"name": "d", "index": 3, "out": True}).json() == {"left_out": 1}
    assert Dataset(out / "d").left_out == frozenset({3})
    rows = studio.get("/api/dataset/d").json()
    assert [row["index"] for row in rows["rows"] if row["left_out"]] == [3] and (rows["all"], rows["left_out"]) == (
        12,
        1,
    )
    assert studio.get("/api/dataset/d/3").json()["left_out"] is True
    assert studio.post("/api/throw", json={"name": "d", "index": 3, "out": False}).json() == {"left_out": 0}
    assert Dataset(out / "d").left_out == frozenset()
    refused(studio.post("/api/throw", json={"name": "d", "index": 99, "out": True}), "no row 99")
    next(photos.rglob("*.png")).unlink()
    with opened(photos, out) as client:
        refused(client.post("/api/replay", json={"name": "d", "index": 3}), "not the 12")
