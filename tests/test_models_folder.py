"""A training folder: replacing one removes what anomgen wrote, whichever kind of model it was, and nothing else."""

import json
import shutil
from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("diffusers")

from anomgen.errors import AnomgenWarning, UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool
from anomgen.models.folder import RECORD, check_folder, prepare, read_record, recorded_data
from anomgen.sources.value_range import ValueRange


@pytest.mark.parametrize("kind", ["sdas", "cyclegan"])
def test_a_finished_model_of_either_kind_is_replaced_whole(kind, request, tmp_path):
    model = shutil.copytree(request.getfixturevalue(f"{kind}_model"), tmp_path / "model")
    assert len(list(model.iterdir())) > 5
    (model / "mine.txt").write_text("x")
    prepare(model, {"kind": "other", "settings": {}, "data": []}, resume=False, overwrite=True)
    assert {path.name for path in model.iterdir()} == {"mine.txt", RECORD}


@pytest.mark.parametrize(("kind", "folder"), [("sdas", "unet"), ("cyclegan", "generators")])
def test_what_somebody_keeps_in_a_models_folders_stays(kind, folder, request, tmp_path):
    model = shutil.copytree(request.getfixturevalue(f"{kind}_model"), tmp_path / "model")
    own = [model / "sheets/step-by-step.png", model / f"{folder}/notes.txt"]
    for file in own:
        file.write_text("mine")
    prepare(model, {"kind": "other", "settings": {}, "data": []}, resume=False, overwrite=True)
    assert {path for path in model.rglob("*") if path.is_file()} == {*own, model / RECORD}


def test_a_models_folder_that_is_a_link_is_refused(cyclegan_model, tmp_path):
    model = shutil.copytree(cyclegan_model, tmp_path / "model")
    (model / "sheets").rename(tmp_path / "victim")
    (model / "sheets").symlink_to(tmp_path / "victim")
    before = sorted((tmp_path / "victim").iterdir())
    with pytest.raises(UsageError, match="sheets is a link, and files are replaced and removed in it"):
        prepare(model, {"kind": "cyclegan", "settings": {}, "data": []}, resume=False, overwrite=True)
    assert before and sorted((tmp_path / "victim").iterdir()) == before


@pytest.mark.parametrize("read", [read_record, recorded_data])
def test_of_a_damaged_record_the_first_problem_is_told_and_how_many_there_are(tmp_path, read):
    many = {"kind": "sdas", "settings": {}, "data": [{"files": [1] * 20_000}]}
    (tmp_path / RECORD).write_text(json.dumps(many))
    with pytest.raises(UsageError, match=r"damaged \(20000 problems, the first is data.0.files.0: must be") as error:
        read(tmp_path)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("learnt", "shown", "told"),
    [
        (("uint8", [0, 255]), None, None),
        (("uint16", [500, 1205]), ValueRange(520, 1200), None),
        (("uint16", [500, 1205]), ValueRange(0, 4095), "trained on 500 … 1205 of 65535, .* show 0 … 4095 of 65535"),
        (
            ("uint8", [0, 255]),
            ValueRange(500, 1205),
            "trained on 0 … 255 of 255, .* 500 … 1205 of 65535",
        ),
        (None, ValueRange(500, 1205), None),
    ],
)
def test_images_of_other_values_than_a_model_learnt_from_are_told(cyclegan_model, tmp_path, learnt, shown, told):
    """Not small differences, as of a range measured on other images, nor a record of anomgen 0.1, which says none."""
    model = shutil.copytree(cyclegan_model, tmp_path / "model")
    record = json.loads((model / RECORD).read_text())
    assert [(part["dtype"], part["values"]) for part in record["data"]] == [("uint8", [0, 255])] * 2
    for part in record["data"]:
        del part["dtype"], part["values"]
        part |= {} if learnt is None else dict(zip(("dtype", "values"), learnt, strict=True))
    (model / RECORD).write_text(json.dumps(record))
    pool = TestPool((32, 32, 3), dtype=np.uint8 if shown is None else np.uint16)
    pool.value_range = shown
    generator = build_generator({"kind": "cyclegan", "model": str(model)})
    with pytest.warns(AnomgenWarning, match=told) if told else nullcontext():
        generator.prepared(pool)


def test_a_training_begun_by_an_older_version_goes_on(cyclegan_model, tmp_path):
    """Its record does not say which values the images take, which follows from them."""
    model = shutil.copytree(cyclegan_model, tmp_path / "model")
    record = json.loads((model / RECORD).read_text())
    older = [{key: part[key] for key in part if key not in ("dtype", "values")} for part in record["data"]]
    (model / RECORD).write_text(json.dumps({**record, "data": older}))
    check_folder(model, record, resume=True, overwrite=False)
