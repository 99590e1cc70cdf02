"""A generator that others wrote: whatever it raises or returns, the run ends with its name, the row and the fault."""

import sys

import numpy as np
import pytest
from small import recipe

from anomgen.errors import AnomgenError, RecipeError
from anomgen.generators.base import Generator
from anomgen.generators.mix import Mix
from anomgen.making.engine import Plan, Renderer
from anomgen.making.rejected import Rejected
from anomgen.synthesis.sample import Reject, Sample


class Rogue(Generator):
    kind = "rogue"
    soft = True
    how: str = "well"

    def prepared(self, pool):
        if self.how == "leaves early":
            sys.exit(0)
        if self.how == "prepares nothing":
            return None
        return self.model_copy(update={"how": np.float32(0.25)}) if self.how == "measures" else self

    def sample(self, rng, image, pool):
        mask = np.zeros(image.shape[:2], bool)
        mask[8:24, 8:24] = True
        drawn, soft, params = np.where(mask[..., None], 255 - image, image), mask.astype(np.float32), {}
        if self.how == "leaves":
            sys.exit(0)
        if self.how == "ends":
            raise GeneratorExit
        if self.how == "raises":
            raise ValueError("of hf_abcdefghijklmnopqrstuvwxyz\x1b[2J")
        if self.how == "writes":
            image[mask] = 0
        if self.how == "nothing":
            return None
        if self.how == "outside":
            drawn = 255 - image
        if self.how == "floats":
            drawn = np.full(image.shape, np.nan)
        if self.how == "small":
            drawn, mask, soft = drawn[:32], mask[:32], None
        if self.how == "grey mask":
            mask = mask.astype(np.uint8)
        if self.how == "no soft mask":
            soft = soft * np.float32(np.nan)
        if self.how == "wide soft mask":
            soft = np.ones_like(soft)
        if self.how == "params":
            params = {"a": float("nan")}
        if self.how == "objects":
            params = {"a": object()}
        return Sample(drawn, mask, soft, params, "rogue")


FAULTS = {
    "leaves": "it raised SystemExit: 0",
    "ends": "it raised GeneratorExit",
    "raises": r"it raised ValueError: of <token>\\x1b\[2J",
    "writes": "it raised ValueError: .*read-only",
    "nothing": "(it returned NoneType, no Sample|it raised AttributeError: .NoneType)",
    "outside": "it changed 3840 pixels outside its mask",
    "floats": r"its image is float64 \(64, 64, 1\), and must be uint8 \(64, 64, 1\)",
    "small": r"its image is uint8 \(32, 64, 1\)",
    "grey mask": "its mask is uint8",
    "no soft mask": "its soft mask holds values outside 0 to 1, or none",
    "wide soft mask": "its soft mask is not 0 outside its mask",
    "params": "its params are no plain JSON",
    "objects": "its params are no plain JSON",
}


def renderer_of(generator):
    asked = recipe("cutpaste", count=8, anomaly_ratio=1.0).model_copy(update={"generator": generator})
    return Renderer(Plan.of(asked))


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a mix"])
@pytest.mark.parametrize("how", FAULTS)
def test_what_is_wrong_is_told_with_the_name_and_the_row(how, inside):
    rogue = Rogue(how=how)
    renderer = renderer_of(Mix(parts=({"weight": 1.0, "generator": rogue},)) if inside else rogue)
    with pytest.raises(AnomgenError, match=f"^the plug-in generator 'rogue': row 3: {FAULTS[how]}"):
        renderer.row(3)


def test_so_is_what_it_does_before_the_first_row():
    with pytest.raises(AnomgenError, match="'rogue': looking at the normal images: it raised SystemExit"):
        renderer_of(Rogue(how="leaves early"))


def test_so_is_what_it_makes_of_its_settings():
    with pytest.raises(
        AnomgenError, match=r"'rogue': looking at the normal images: .* prepared must return a generator"
    ):
        renderer_of(Rogue(how="prepares nothing"))
    for rogue in (Rogue(how="measures"), Mix(parts=({"weight": 1.0, "generator": Rogue(how="measures")},))):
        with pytest.raises(
            RecipeError, match=r"generator\..* of a plug-in is no value that this setting can have in a recipe"
        ):
            renderer_of(rogue)


def test_one_that_keeps_the_contract_draws_and_ctrl_c_stays_ctrl_c(monkeypatch):
    renderer = renderer_of(Rogue())
    assert [row.mask.sum() for row in renderer.rows(range(2))] == [256, 256]

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Rogue, "sample", interrupt)
    with pytest.raises(KeyboardInterrupt):
        renderer.row(3)


def test_what_is_built_in_is_drawn_as_it_was(monkeypatch):
    """Law: no generator of anomgen's own is verified, and so slowed, by this."""
    monkeypatch.setattr("anomgen.making.plugged._fault", lambda *_: "verified")
    assert Renderer(Plan.of(recipe("cutpaste", count=8, anomaly_ratio=1.0))).row(1).mask.any()


def test_an_image_that_was_drawn_on_again_counts_once():
    counted = Rejected()
    for _ in range(20):
        counted.add(Reject("no"))
    assert "20 draws of 'pii' on 2 images gave" in str(counted.error(0, "pii", "Look", ["a", "b", "a", "b"]))
    assert "20 draws of 'pii' on 1 image gave" in str(counted.error(0, "pii", "Look", ["a", "a"]))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("defect_types", property(lambda self: 1 / 0)),
        ("licenses", lambda self: [3]),
        ("resources", lambda self: {"a": 1}),
    ],
    ids=["defect_types", "licenses", "resources"],
)
def test_what_it_says_of_itself_is_verified(monkeypatch, name, told):
    monkeypatch.setattr(Rogue, name, told)
    with pytest.raises(AnomgenError, match=r"'rogue': looking at what it says of itself: it raised (Zero|TypeError)"):
        renderer_of(Rogue())
