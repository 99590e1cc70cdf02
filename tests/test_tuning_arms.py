"""Comparing recipes on real defects that were left out: folds, the findings, the budget, going on after a stop."""

import json

import numpy as np
import pytest
from score_rows import done_row, records
from scoring import here as here  # a fixture
from surfaces import Surfaces, write_cracked

pytest.importorskip("timm", reason="scoring is an extra")

import anomgen
from anomgen.banks.folder import Defect, open_bank
from anomgen.errors import UsageError
from anomgen.generators.defects.generator import Defects
from anomgen.making.recipe import load_recipe
from anomgen.score.result import REPLICATES
from anomgen.score.rows import RowFile
from anomgen.sources.images import read_image
from anomgen.tuning import arms, folds, measure
from anomgen.tuning.arms import ARMS, DEFAULT, MARGIN, TUNED, Arm, Comparison, _arm, recipe_of
from anomgen.tuning.folds import FOLDS, parted


def defect(item, kind="crack", digest=None):
    return Defect(item, kind, np.zeros((8, 8, 1), np.uint8), np.ones((8, 8), bool), digest or item)


def test_parts_spread_the_types_and_keep_pictures_of_one_item_together():
    found = [defect(f"{kind}{k}", kind) for kind in ("crack", "stain") for k in range(8)]
    parts = parted(found)
    assert len(parts) == FOLDS
    assert all(sorted(own.defect_type for own in part) == ["crack"] * 2 + ["stain"] * 2 for part in parts)
    assert sorted(own.item for part in parts for own in part) == sorted(own.item for own in found)
    assert parts == parted(found[::-1])
    twice = [defect(f"part{k % 3}_{k}.png") for k in range(9)] + [defect("part0_0.png#hole", "hole", "part0_0.png")]
    by_item = parted(twice, r"(part\d+)_")
    assert sorted(len({own.item.split("_")[0] for own in part}) for part in by_item) == [1, 1, 1]
    assert sum(map(len, by_item)) == 10
    one_picture = [defect("a#x", digest="a"), defect("a#y", digest="a"), defect("b")]
    assert sorted(map(len, parted(one_picture))) == [1, 2]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("(part", "no regular expression"), (r"part\d+", "has no group"), (r"(kos\d+)", "does not fit part7_1.png")],
)
def test_a_pattern_of_items_that_cannot_be_used_is_refused(pattern, told):
    with pytest.raises(UsageError, match=rf"--item .*{told}"):
        parted([defect("part7_1.png")], pattern)


def rows_of(scores, spread=0.0):
    """Return finished rows with these pixel APs, and replicates that stray from them alike in every arm."""
    away = np.linspace(-spread, spread, REPLICATES)
    return records(
        [
            done_row(metrics={"pixel_ap": score}, replicates={"pixel_ap": (score + away).tolist()}, seed=k)
            for k, score in enumerate(scores)
        ]
    )


def test_a_difference_is_paired_by_test_images_and_its_interval_is_of_the_folds():
    default = rows_of([0.2, 0.4, 0.3, 0.5], spread=0.1)
    alike = _arm("tuned", rows_of([0.25, 0.45, 0.35, 0.55], spread=0.1), default)
    assert alike.difference == pytest.approx(0.05) and (alike.low, alike.high) == pytest.approx((0.05, 0.05))
    assert alike.is_clearly_better and alike.mean == pytest.approx(0.4)
    uneven = _arm("tuned", rows_of([0.2, 0.8, 0.2, 0.5]), default)
    assert uneven.difference == pytest.approx(0.075) and uneven.low < 0 < uneven.high and not uneven.is_clearly_better


def test_the_default_is_left_for_the_best_of_those_that_are_clearly_better_on_enough_folds():
    stays = Arm(DEFAULT, (0.4,) * 4, 0.0, 0.0, 0.0)
    better = Arm("tuned", (0.45,) * 4, 0.05, 0.01, 0.09)
    best = Arm("transplant-alone", (0.5,) * 4, 0.1, 0.02, 0.2)
    chance = Arm("defects", (0.6,) * 4, 0.2, -0.01, 0.4)
    slight = Arm("tuned", (0.41,) * 4, MARGIN / 2, 0.005, 0.02)
    all_folds = (("a",), ("b",), ("c",), ("d",))
    assert Comparison((stays, better, best, chance), all_folds, 4).chosen == "transplant-alone"
    assert Comparison((stays, chance, slight), all_folds, 4).chosen == DEFAULT
    assert Comparison((stays, best), all_folds[:2], 4).chosen == DEFAULT
    assert Comparison().chosen == DEFAULT


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """Grey discs on black; nine more of them cracked, with masks."""
    return write_cracked(tmp_path_factory.mktemp("product"), Surfaces(21, channels=1, side=64, disc=True), 12)


@pytest.fixture
def quick(here, monkeypatch):
    """Let trainings take no time."""
    monkeypatch.setattr(arms, "STEPS", 1)
    monkeypatch.setattr(arms, "SIDE", 32)
    monkeypatch.setattr(folds, "SIDE", 32)
    monkeypatch.setattr(folds, "FOLDS", 3)
    monkeypatch.setattr(measure, "DRAWS", 8)


def tuned(product, out, **options):
    settings = {"kinds": "[crack, stain]"}
    return anomgen.tune(
        product / "good",
        defects=product / "bad",
        masks=product / "masks",
        out=out,
        size=64,
        overrides=[f"generator.{key}={value}" for key, value in settings.items()],
        **options,
    )


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_of_the_trainings_folder_only_what_was_written_there_is_removed(tmp_path):
    """Law: a file that was changed, put there, or is a link by now stays, and so does what lies elsewhere."""
    work, other = tmp_path / "work", tmp_path / "other.png"
    written = [work / "fold-1" / "data" / f"{k}.png" for k in range(3)]
    written[0].parent.mkdir(parents=True)
    for path in (*written, other):
        path.write_bytes(b"picture")
    folds.note_written(work, written)
    with (work / folds.MARK).open("a") as mark:
        mark.write((work / folds.MARK).read_text().splitlines()[0].split()[0] + " ../other.png\n")
    written[1].write_bytes(b"edited")
    written[2].unlink()
    written[2].symlink_to(other)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / folds.MARK).symlink_to(other)
    with pytest.raises(UsageError, match="is a link, and is added to"):
        folds.note_written(tmp_path / "linked", ())
    (tmp_path / "linked" / folds.MARK).unlink()
    folds.remove_folds(work)
    assert files_in(tmp_path) == {"work/fold-1/data/1.png", "work/fold-1/data/2.png", "other.png"}


def test_with_nine_defects_recipes_are_compared_on_folds_and_all_is_recorded(product, tmp_path, quick):
    limit = 5

    def stop(done, total, _note=""):
        if total == len(ARMS) * folds.FOLDS and done >= limit:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(product, tmp_path / "mine.yaml", progress=stop)
    work = tmp_path / "mine-tuning"
    kept = set(RowFile(work / "scores").rows)
    assert len(kept) >= limit and not (tmp_path / "mine.yaml").exists()
    for number in range(1, folds.FOLDS + 1):
        left = len(list((work / f"fold-{number}" / "data" / f"fold-{number}" / "test" / "defect").iterdir()))
        assert left + len(open_bank(work / f"fold-{number}" / "bank")) == 9 and left == 3
        mask = next((work / f"fold-{number}" / "foreground" / "train" / "good").iterdir())
        assert 0.2 < read_image(mask.read_bytes(), mask.name).mean() / 255 < 0.8
    mine = {"notes.txt", "fold-1/notes.txt", "scores/notes.txt", "scores/maps/mine.webp"}
    for name in mine:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("mine")
    told = []
    done = tuned(product, tmp_path / "mine.yaml", progress=lambda done, total, _note="": told.append((done, total)))
    assert told[-1] == (len(ARMS) * folds.FOLDS - len(kept),) * 2
    record = json.loads((tmp_path / "mine.json").read_text())
    compared = record["comparison"]
    assert [arm["name"] for arm in compared["arms"]] == list(ARMS) and compared["note"] == ""
    assert all(len(arm["scores"]) == folds.FOLDS == len(compared["folds"]) for arm in compared["arms"])
    assert sorted(item for fold in compared["folds"] for item in fold) == sorted(f"{k}.png" for k in range(12, 21))
    assert compared["chosen"] == done.comparison.chosen and record["recipe"] == done.recipe.fingerprint()
    assert ("fold 3" in done.report.read_text()) and files_in(work) == mine


def test_a_folder_that_only_looks_like_that_of_the_trainings_is_refused(product, tmp_path):
    (tmp_path / "mine-tuning/scores").mkdir(parents=True)
    with pytest.raises(UsageError, match="mine-tuning is there already"):
        tuned(product, tmp_path / "mine.yaml")
    assert (tmp_path / "mine-tuning/scores").is_dir()


def test_a_budget_too_short_says_what_fits(product, tmp_path, quick, monkeypatch):
    with pytest.raises(UsageError, match=r"--budget.*takes about \d+ s here"):
        tuned(product, tmp_path / "none.yaml", budget=1)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(arms, "STEPS", 1_000_000)
    done = tuned(product, tmp_path / "mine.yaml", budget="2m")
    assert done.comparison.chosen == DEFAULT and not done.comparison.arms
    assert "0 of 3 folds were finished: all take about" in done.comparison.note
    assert done.comparison.note in done.report.read_text()


def test_each_arm_is_the_recipe_that_it_says(tmp_path):
    usual = load_recipe("defects", source="builtin")
    drawn = Defects(kinds={"crack": 1.0}, severity=(0.5, 1.0), dark=0.9)
    found = {arm: recipe_of(arm, usual, drawn, "bank", 8).generator for arm in ARMS}
    assert found["defects"] == usual.generator
    assert found["transplant-alone"].kind == "transplant" and found["transplant-alone"].with_defects == 0
    for arm, kinds in ((TUNED, drawn.kinds), (DEFAULT, usual.generator.kinds)):
        transplants, defects = found[arm].parts
        assert (transplants.weight, defects.weight) == (3, 1) and defects.generator.kinds == kinds
    few = recipe_of(TUNED, usual, drawn, "bank", 7).generator
    assert [part.weight for part in few.parts] == [1, 1]
