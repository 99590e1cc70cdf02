"""A training folder: replacing one removes what anomgen wrote, whichever kind of model it was, and nothing else."""

import shutil

import pytest

pytest.importorskip("diffusers")

from anomgen.models.folder import RECORD, prepare


@pytest.mark.parametrize("kind", ["sdas", "cyclegan"])
def test_a_finished_model_of_either_kind_is_replaced_whole(kind, request, tmp_path):
    model = shutil.copytree(request.getfixturevalue(f"{kind}_model"), tmp_path / "model")
    assert len(list(model.iterdir())) > 5
    (model / "mine.txt").write_text("x")
    prepare(model, {"kind": "other", "settings": {}, "data": []}, resume=False, overwrite=True)
    assert {path.name for path in model.iterdir()} == {"mine.txt", RECORD}
