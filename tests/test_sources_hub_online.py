"""Datasets on a Hub as source and as texture: loaded whole, and a part of a split without the rest."""

import io
import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hub_fixtures import TOKEN
from hub_server import Server
from small import elsewhere, launch, run

pytest.importorskip("datasets", reason='needs datasets: pip install ".[hub]"')

ROWS = 48
CARD = b"---\nlicense: cc-by-nc-4.0\n---\n"


def png(number):
    noise = np.random.default_rng(number).normal(0, 1, (40, 40, 3))
    values = 128 + 40 * cv2.GaussianBlur(noise, (0, 0), 2)
    return cv2.imencode(".png", values.clip(0, 255).astype(np.uint8))[1].tobytes()


def parquet(first, last):
    """Return a Parquet file of some rows: image, and a class label that is good for nine of ten."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"image": {"_type": "Image"}, "label": {"names": ["good", "bad"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), ("label", pa.int64())], metadata)
    rows = [{"image": {"bytes": png(k), "path": f"{k}.png"}, "label": int(k % 10 == 9)} for k in range(first, last)]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file)
    return file.getvalue()


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    """A Hub with a dataset in four files, one of bare pictures, and a private one."""
    with Server() as server:
        quarter = ROWS // 4
        files = {f"data/train-{k:05d}-of-00004.parquet": parquet(k * quarter, (k + 1) * quarter) for k in range(4)}
        server.add("somebody/screws", {"README.md": CARD, **files})
        mine = {"LICENSE": b"The images are licensed under CC BY 4.0.", "README.md": b"# Photos of screws"}
        server.add("somebody/photos", {f"train/{k:02d}.png": png(k) for k in range(20)} | mine)
        server.add("somebody/secret", {"README.md": CARD, **files}, private=True)
        server.add("me/secret", {"README.md": CARD, **files}, private=True)
        home = tmp_path_factory.mktemp("home")
        server.environment = {
            **{key: value for key, value in os.environ.items() if "OFFLINE" not in key},
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "XDG_CACHE_HOME": str(home),
        }
        with elsewhere(server.environment) as server.call:
            yield server


def anomgen(online, *words, **options):
    """Run anomgen where the Hub is; its token is told nowhere."""
    told = online.call(run, *map(str, words), **options)
    assert TOKEN not in "".join(told)
    return told


def provenance(folder):
    return json.loads((folder / "provenance.json").read_text())


def test_a_dataset_on_the_hub_is_a_source(online, tmp_path):
    source = ["-r", "cutpaste", "-s", "somebody/screws:train", "--set", "source.label=good", "--size", 32, "-n", 8]
    anomgen(online, "make", *source, "-o", "out", cwd=tmp_path)
    record = provenance(tmp_path / "out")
    assert record["source"]["license"] == "cc-by-nc-4.0" and record["source"]["count"] == ROWS - 4
    assert "source_datasets:\n- somebody/screws" in (tmp_path / "out" / "README.md").read_text()
    anomgen(online, "check", "out", cwd=tmp_path)
    anomgen(online, "push", "out", "me/screws", "--license", "mit", cwd=tmp_path, code=2)
    anomgen(online, "push", "out", "me/screws", cwd=tmp_path)


def test_of_a_part_only_the_part_is_downloaded(online, tmp_path):
    online.log.clear()
    words = ["-r", "cutpaste", "-s", "somebody/screws:train[:8]", "--size", 32, "-n", 8, "-o", "out", "--json"]
    anomgen(online, "make", *words, cwd=tmp_path)
    assert provenance(tmp_path / "out")["source"]["count"] == 8
    files = {path.rsplit("/", 1)[1] for _, path, _ in online.requests(r"GET .*\.parquet")}
    assert files <= {"train-00000-of-00004.parquet", "train-00001-of-00004.parquet"}  # it reads a little ahead
    online.log.clear()
    out, _ = launch("check", "out", "--json", cwd=tmp_path, environment=online.environment)
    assert json.loads(out)["ok"] and not online.requests(r"GET .*\.parquet")  # the rows are in the library's cache


def test_a_part_is_the_same_however_it_is_read(online, tmp_path):
    """The first rows streamed, and of the dataset downloaded whole, are one source: same ids, same pixels."""
    program = """if True:
        import datasets
        from anomgen.sources.hub import Hub
        datasets.load_dataset("somebody/screws")
        streamed = Hub(path="somebody/screws:train[10:30]", label="good", size=None).open()
        datasets.config.HF_HUB_OFFLINE = True  # then only what was downloaded whole is there
        whole = Hub(path="somebody/screws:train[10:30]", label="good", size=None).open()
        assert len(streamed) == len(whole) == 18
        assert streamed.fingerprint() == whole.fingerprint() and streamed.id(3) == whole.id(3)
        datasets.config.HF_HUB_OFFLINE = False
        part = Hub(path="somebody/photos:train[5:12]").open()
        assert len(part) == 7 and part.license == "cc-by-4.0"  # its card names none, its LICENSE does
    """
    subprocess.run([sys.executable, "-c", program], env=online.environment, check=True)


def test_a_folder_of_pictures_on_the_hub_is_a_source_and_a_texture(online, tmp_path):
    words = ["-r", "perlin", "--set", "generator.texture.kind=hub", "--size", 32, "-n", 8]
    textures = ["--set", "generator.texture.path=somebody/screws", "--set", "generator.texture.split=train[:6]"]
    anomgen(online, "make", *words, *textures, "-s", "somebody/photos:train[:9]", "-o", "out", "-j", 2, cwd=tmp_path)
    record = provenance(tmp_path / "out")
    assert record["source"]["count"] == 9 and record["source"]["license"] == "cc-by-4.0"
    assert record["licenses"] == ["cc-by-nc-4.0"]
    _, errors = anomgen(online, "push", "out", "me/t", "--license", "cc-by-4.0", cwd=tmp_path, code=2)
    assert "forbids commercial use" in errors


def test_what_the_hub_does_not_give(online):
    program = """if True:
        import sys
        from anomgen.errors import AnomgenError
        from anomgen.sources.hub import Hub
        for path in sys.argv[1:]:
            try:
                print(len(Hub(path=path, label="good").open()), "images")
            except AnomgenError as error:
                print(error.exit_code, " ".join(str(error).split()))
    """
    asked = {
        "somebody/nothing": "2 .*the Hub has no such dataset",
        "somebody/nothing:train[:4]": "2 .*the Hub has no such dataset",
        "somebody/secret:train[:4]": "2 .*or you may not read it",
        "somebody/screws:test": "2 .*no split 'test'",
        "somebody/screws:test[:4]": "2 .*no split 'test'",
        "somebody/screws:train[4:4]": "2 .*is empty",
        "me/secret:train[:4]": "4 images",
        "somebody/odd:train[:4]": "1 .*its card, which names the licence, cannot be read",
    }
    online.repos["dataset", "somebody/odd"] = online.repos["dataset", "somebody/screws"]
    online.fail("HEAD /datasets/somebody/odd/resolve/main/README.md", 403, times=999, body={"error": "not today"})
    done = subprocess.run(
        [sys.executable, "-c", program, *asked], env=online.environment, capture_output=True, text=True, check=False
    )
    online.faults.clear()
    assert done.returncode == 0 and TOKEN not in done.stdout + done.stderr, done.stderr
    for line, text in zip(done.stdout.splitlines(), asked.values(), strict=True):
        assert re.match(text, line), (text, line)
