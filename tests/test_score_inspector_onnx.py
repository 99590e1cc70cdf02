"""A kept detector as an ONNX file, run by plain onnxruntime."""

import json

import numpy as np
import pytest
from learned import pictures
from typer.testing import CliRunner

pytest.importorskip("timm", reason="scoring is an extra")
onnxruntime = pytest.importorskip("onnxruntime", reason='needs onnxruntime: pip install ".[onnx]"')
pytest.importorskip("onnxscript", reason='needs onnxscript: pip install ".[onnx]"')

import anomgen
from anomgen.cli.main import app
from anomgen.errors import AnomgenError, UsageError
from anomgen.score.inspector import onnx as exporting
from anomgen.sources.images import read_image

SMALL = {
    "probe": ["detector.probe.batch_size=2"],
    "supersimplenet": ["detector.supersimplenet.batch_size=2", "detector.supersimplenet.width=8"],
    "unet": ["detector.unet.batch_size=2", "detector.unet.width=2", "detector.unet.depth=2"],
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return a function that fits a detector once: probe on grey images, the others on colour, 32×48."""
    folders = {}

    def fitted(kind):
        if kind not in folders:
            folder = tmp_path_factory.mktemp(kind)
            pictures(folder / "photos", 6, shape=(32, 48), grey=kind == "probe")
            options = {"detector": kind, "size": (32, 48), "steps": 2, "overrides": SMALL[kind]}
            folders[kind] = anomgen.fit(folder / "photos", "boxes", folder / "kept", **options).path
        return folders[kind]

    return fitted


@pytest.mark.parametrize(
    ("kind", "score"),
    [
        pytest.param("probe", "window", marks=pytest.mark.slow),
        pytest.param("supersimplenet", "window", marks=pytest.mark.slow),
        ("unet", "window"),
        ("unet", "max"),
        ("unet", "sum"),
    ],
)
def test_the_file_says_what_the_detector_says(kept, tmp_path, kind, score):
    inspector = anomgen.Inspector.load(kept(kind))
    known = inspector.description.model_copy(update={"score": score})
    inspector = anomgen.Inspector(inspector.detector, known)
    assert inspector.export(tmp_path / "detector.onnx") <= 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx", providers=["CPUExecutionProvider"])
    photos = [read_image(path) for path in sorted((kept(kind).parent / "photos").iterdir())]
    for images in (photos[:1], photos):  # any number at once
        seen = np.stack([inspector.seen(image) for image in images])
        maps, scores = session.run(["map", "score"], {"image": seen})
        for values, value, image in zip(maps, scores, images, strict=True):
            found = inspector.inspect(image)
            assert np.abs(values - found.map).max() < 1e-4
            assert value == pytest.approx(found.score, rel=1e-4, abs=1e-4)
    told = json.loads(session.get_modelmeta().custom_metadata_map["anomgen"])
    assert told["threshold"] == inspector.threshold and tuple(told["shape"]) == known.shape


def test_the_command_writes_the_file_once(kept, tmp_path):
    words = ["export", str(kept("unet")), "--to", "onnx", "-o", str(tmp_path / "x.onnx")]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["difference"] <= 1e-4
    assert "--overwrite" in str(CliRunner().invoke(app, words).exception)
    assert "has no settings" in str(CliRunner().invoke(app, [*words, "--set", "a=1"]).exception)
    words[-1] = str(tmp_path)
    assert "is a folder" in str(CliRunner().invoke(app, words).exception)
    words[3] = "coco"
    assert "is a detector; it is exported to onnx" in str(CliRunner().invoke(app, words).exception)


@pytest.mark.slow
def test_the_public_function_does_what_the_command_does(kept, tmp_path):
    done = anomgen.export(kept("unet"), "onnx", tmp_path / "x.onnx")
    assert done.path.stat().st_size == done.bytes and done.difference <= 1e-4 and str(done.path) in done.load
    words = ["export", str(kept("unet")), "--to", "onnx", "-o", str(tmp_path / "y.onnx")]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "y.onnx").read_bytes() == done.path.read_bytes()
    with pytest.raises(UsageError, match=r"is there already; replace it with --overwrite"):
        anomgen.export(kept("unet"), "onnx", done.path)
    with pytest.raises(UsageError, match="is a detector; it is exported to onnx"):
        anomgen.export(kept("unet"), "coco", tmp_path / "coco")
    with pytest.raises(UsageError, match="this is written to this machine; give a path"):
        anomgen.export(kept("unet"), "onnx", "s3://bucket/x.onnx")


def test_a_file_that_differs_from_torch_is_not_written(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_difference", lambda *_: 2e-4)
    monkeypatch.setattr(exporting, "_exported", lambda *_: b"")
    with pytest.raises(AnomgenError, match="off those of torch"):
        anomgen.Inspector.load(kept("unet")).export(tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_a_detector_that_is_more_than_a_network_has_no_file(tmp_path):
    pictures(tmp_path / "photos", 4)
    changes = [f"detector.cyclegan.{key}=4" for key in ("width", "discriminator_width")]
    options = {"detector": "cyclegan", "size": 32, "steps": 1, "overrides": changes}
    anomgen.fit(tmp_path / "photos", "boxes", tmp_path / "kept", **options)
    with pytest.raises(UsageError, match="cyclegan: is more than a network"):
        anomgen.Inspector.load(tmp_path / "kept").export(tmp_path / "x.onnx")
