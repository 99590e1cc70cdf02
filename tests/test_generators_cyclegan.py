"""The generator cyclegan: draws what a trained network changes, alike everywhere; refuses what it cannot use."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("accelerate", reason="learned generators need the extra `diffusion`")

from learned import edit_description

from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool, check_generator
from anomgen.making.check import check_dataset
from anomgen.making.engine import Plan
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.models.described import DESCRIPTION
from anomgen.rng import Stream, rng_for
from anomgen.sources.pool import Pool
from anomgen.synthesis.sample import Reject

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(model, **keys):
    return build_generator({"kind": "cyclegan", "model": str(model), **keys})


def any_change(model):
    """Return a generator that takes whatever an untrained network changes for an anomaly."""
    return generator(model, threshold=0.05, max_area=1.0)


def test_a_change_is_kept_wholly_from_a_quarter_above_the_threshold():
    generator = build_generator({"kind": "cyclegan", "threshold": 0.1, "smoothing": 0, "closing": 0})
    change = np.zeros((8, 8, 3), np.float32)
    change[0, :4] = np.array([0.09, 0.1125, 0.125, 0.5])[:, None]
    weight = generator._weight(change, 0.02)
    assert weight[0, 0] == 0 < weight[0, 1] < 1 == weight[0, 2] == weight[0, 3] and not weight[1:].any()


def test_without_a_model_it_says_which_command_makes_one():
    plain = build_generator({"kind": "cyclegan"})
    assert plain.resources() == {} and plain.portable() == plain
    with pytest.raises(UsageError, match="anomgen train cyclegan --source NORMAL --abnormal"):
        plain.prepared(TestPool((32, 32, 3)))


def test_it_keeps_the_contract(cyclegan_model):
    check_generator(any_change(cyclegan_model), TestPool((32, 32, 3)), count=6)
    check_generator(any_change(cyclegan_model), TestPool((32, 32, 3), with_foreground=True), count=6)


def test_images_of_another_kind_are_refused(cyclegan_model):
    for shape, text in (((64, 64, 3), "32×32, these are 64×64: use --size 32"), ((32, 32, 1), "3 channels, these.*1")):
        with pytest.raises(UsageError, match=f"generator.model.*{text}"):
            generator(cyclegan_model).prepared(TestPool(shape))


def test_the_threshold_is_the_models_and_can_be_set(cyclegan_model):
    pool = TestPool((32, 32, 3))
    stored = json.loads((cyclegan_model / DESCRIPTION).read_text())["threshold"]
    assert generator(cyclegan_model).prepared(pool).threshold == stored
    assert generator(cyclegan_model, threshold=0.5).prepared(pool).threshold == 0.5


@pytest.mark.parametrize(
    ("keys", "reason"),
    [({"threshold": 0.99}, "changed nothing"), ({"threshold": 0.001}, "changed more than 40% of the image")],
)
def test_empty_and_over_large_masks_are_rejected(keys, reason, cyclegan_model):
    pool = TestPool((32, 32, 3))
    with pytest.raises(Reject, match=reason):
        generator(cyclegan_model, **keys).sample(rng_for(0, Stream.SAMPLE), pool[0], pool)


def test_the_mask_is_where_the_change_is_large_and_no_rim_shows(monkeypatch):
    """A network that darkens a round spot, most in its middle, on an image that it darkens a little everywhere."""
    y, x = np.mgrid[:64, :64]
    spot = 0.5 * np.exp(-((y - 30) ** 2 + (x - 36) ** 2) / 200)
    change = np.repeat((-spot - 0.06)[..., None], 3, axis=2).astype(np.float32)
    image = np.full((64, 64, 3), 200, np.uint8)

    class Model:
        description = SimpleNamespace(ways=1, threshold=0.1)
        to_abnormal = SimpleNamespace(change=lambda image, way: change)
        require = staticmethod(lambda image, path: None)

    monkeypatch.setattr("anomgen.generators.cyclegan._opened", lambda path: Model)
    sample = generator("m", smoothing=0.0).sample(rng_for(0, Stream.SAMPLE), image, [image])
    assert np.mean(sample.mask != (spot > 0.105)) < 0.03
    darker = image.astype(int) - sample.image
    assert np.abs(darker[30, 36] - 0.5 * 255).max() <= 6
    assert np.abs(np.diff(darker[30], axis=0)).max() < 25


def test_the_threads_that_torch_may_use_change_nothing(cyclegan_model):
    pool = TestPool((32, 32, 3))
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(any_change(cyclegan_model).sample(rng_for(0, Stream.SAMPLE), pool[0], pool).image)
        assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    assert np.array_equal(*found)


def test_nothing_of_the_machine_is_in_recipe_and_fingerprint(cyclegan_model, copied_cyclegan, discs):
    recipes = [
        load_recipe(
            "cyclegan",
            overrides=[f"generator.model={place}"],
            source={"kind": "folder", "path": str(discs / "good"), "size": 32},
        )
        for place in (cyclegan_model, copied_cyclegan)
    ]
    assert recipes[0].fingerprint() == recipes[1].fingerprint()
    assert str(cyclegan_model) not in recipes[0].portable().to_yaml()
    assert recipes[0].generator.resources() == recipes[1].generator.resources() != {}
    edit_description(copied_cyclegan, threshold=0.3)
    assert recipes[0].generator.resources() != recipes[1].generator.resources()
    assert Plan.of(recipes[1]).generator.threshold == 0.3


def test_workers_make_the_same_bytes_and_check_finds_no_fault(cyclegan_model, discs, tmp_path):
    recipe = load_recipe(
        "cyclegan",
        overrides=[
            f"generator.model={cyclegan_model}",
            "generator.threshold=0.05",
            "generator.max_area=1.0",
            "shard_size=16",
            "foreground=none",
        ],
        source={"kind": "folder", "path": str(discs / "good"), "size": 32},
        count=32,
    )
    for name, workers in (("one", 1), ("two", 2)):
        make(recipe, tmp_path / name, workers=workers)
    for shard in sorted((tmp_path / "one" / "data").iterdir()):
        assert shard.read_bytes() == (tmp_path / "two" / "data" / shard.name).read_bytes()
    made = Dataset(tmp_path / "one")
    assert check_dataset(made, Pool(recipe.source.open())).ok
    assert set(made.provenance["resolved"]["resources"]) == {"model"}
    assert "2302.05154" in (tmp_path / "one" / "README.md").read_text()


def test_naming_the_generator_imports_no_torch():
    code = (
        "import sys\nfrom anomgen.registry import load\n"
        "from anomgen.making.recipe import load_recipe\nfrom anomgen.making.schema import recipe_schema\n"
        "load('generators', 'cyclegan')\nload_recipe('cyclegan').to_yaml()\nrecipe_schema()\n"
        "assert not {'torch', 'accelerate', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
