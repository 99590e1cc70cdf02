"""The engine: which image and rng a row gets, what happens to rejected draws, how rows become shards."""

import os
import signal
import time
from typing import ClassVar

import cv2
import numpy as np
import pytest

from anomgen.errors import AnomgenError, RecipeError, UsageError
from anomgen.generators.base import Generator
from anomgen.making import threads
from anomgen.making.engine import ATTEMPTS_PER_IMAGE, Plan, Renderer
from anomgen.making.recipe import load_recipe
from anomgen.making.shards import shard_ranges
from anomgen.making.splits import is_anomalous
from anomgen.making.threads import single_threaded
from anomgen.sources.value_range import stretched
from anomgen.synthesis.sample import Reject, Sample


def recipe(**values):
    return load_recipe("fpi", overrides=["source.size=64", "source.count=7"], **values)


def test_the_ratio_is_met_in_every_prefix():
    for ratio in (0.0, 0.1, 1 / 3, 0.5, 2 / 3, 1.0):
        counts = np.cumsum([is_anomalous(k, ratio) for k in range(999)])
        assert np.abs(counts - ratio * np.arange(1, 1000)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("count", "block", "shard"), [(1, 16, 512), (512, 16, 512), (1000, 16, 100), (33, 8, 8), (5, 3, 1)]
)
def test_shards_are_whole_blocks_and_cover_every_row_once(count, block, shard):
    ranges = shard_ranges(recipe(count=count).model_copy(update={"block_size": block, "shard_size": shard}))
    assert [k for part in ranges for k in part] == list(range(count))
    assert all(part.start % block == 0 and len(part) for part in ranges)
    assert max(len(part) for part in ranges) <= -(-shard // block) * block


def test_every_epoch_uses_every_image_once_in_another_order():
    renderer = Renderer(Plan.of(recipe(count=21)))
    ids = [row.source_id for row in renderer.rows(range(21))]
    epochs = [ids[k : k + 7] for k in (0, 7, 14)]
    assert all(len(set(epoch)) == 7 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_two_recipes_with_one_seed_see_the_same_images():
    other = load_recipe("cutpaste", overrides=["source.size=64", "source.count=7"], count=30)
    ids = [[row.source_id for row in Renderer(Plan.of(r)).rows(range(30))] for r in (recipe(count=30), other)]
    assert ids[0] == ids[1]


def test_a_row_does_not_depend_on_its_block():
    plan = Plan.of(recipe(count=32))
    together = list(Renderer(plan).rows(range(32)))
    for index in (0, 5, 31):
        alone = Renderer(plan).row(index)
        assert np.array_equal(alone.image, together[index].image)
        assert alone.params == together[index].params and alone.attempt == together[index].attempt


class Stubborn(Generator):
    """Succeeds only from a given attempt on; counts nothing, keeps nothing."""

    kind: ClassVar[str] = "stubborn"
    chance: float = 0.0
    empty: bool = False
    named: str = ""

    def sample(self, rng, image, pool):
        if rng.random() >= self.chance:
            raise Reject("not today")
        mask = np.zeros(image.shape[:2], bool)
        if not self.empty:
            mask[4:20, 4:20] = True
        drawn = image.copy()
        drawn[mask] = 255 - drawn[mask]
        return Sample(drawn, mask, None, {}, self.named)


def stubborn_plan(**fields):
    plan = Plan.of(recipe(count=40))
    return Plan(plan.recipe, plan.source, Stubborn(**fields), plan.foreground)


@pytest.mark.parametrize(("held", "sizes"), [(1 << 28, [16]), (3 * 4 * 64 * 64, [3, 3, 3, 3, 3, 1]), (1, [1] * 16)])
def test_of_large_images_few_rows_are_held_at_once(held, sizes, monkeypatch):
    renderer, drawn = Renderer(Plan.of(recipe())), []
    usual = list(renderer.rows(range(16)))
    monkeypatch.setattr("anomgen.making.engine.HELD_BYTES", held)
    block = renderer.block
    monkeypatch.setattr(renderer, "block", lambda indices: drawn.append(len(indices)) or block(indices))
    rows = list(renderer.rows(range(16)))
    assert drawn == sizes
    assert all(np.array_equal(a.image, b.image) and a.index == b.index for a, b in zip(rows, usual, strict=True))


def test_rejected_draws_are_repeated_and_counted():
    renderer = Renderer(stubborn_plan(chance=0.5))
    rows = [row for row in renderer.rows(range(40)) if row.label]
    assert len(rows) == 20
    assert renderer.rejects["not today"] == sum(row.attempt for row in rows) > 0


def test_after_ten_attempts_the_next_image_stands_in():
    renderer = Renderer(stubborn_plan(chance=0.05))
    renderer.plan.recipe.model_copy()
    plain = Renderer(Plan.of(recipe(count=40)))
    for index in range(0, 40, 2):
        try:
            row = renderer.row(index)
        except AnomgenError:
            continue
        same = row.source_id == plain.row(index).source_id
        assert same == (row.attempt < ATTEMPTS_PER_IMAGE)


def test_a_recipe_that_keeps_failing_stops_with_the_reasons():
    renderer = Renderer(stubborn_plan(chance=0.0))
    with pytest.raises(AnomgenError, match=r"70 draws of 'stubborn' on 7 .*not today \(70×\)\. Look at") as caught:
        renderer.row(0)
    assert f"The images: {renderer.plan.source.id(renderer.position(0, 0))}, " in str(caught.value)


class OnlyOne(Stubborn):
    """Draws on one picture of the source alone."""

    kind: ClassVar[str] = "only_one"

    def sample(self, rng, image, pool):
        if image is not pool[0]:
            raise Reject("an empty picture")
        return super().sample(rng, image, pool)


def test_most_pictures_may_be_empty():
    """One picture of 40 holds an object: every row falls back on it, however far away it is."""
    plan = Plan.of(load_recipe("fpi", overrides=["source.size=64", "source.count=40"], count=40))
    renderer = Renderer(Plan(plan.recipe, plan.source, OnlyOne(chance=1.0), plan.foreground))
    rows = list(renderer.rows(range(40)))
    assert {row.source_id for row in rows if row.label} == {plan.source.id(0)}
    assert max(row.attempt for row in rows) > 100


def test_an_empty_mask_never_becomes_a_row():
    with pytest.raises(AnomgenError, match="empty mask"):
        Renderer(stubborn_plan(chance=1.0, empty=True)).row(0)


def test_a_sample_without_a_type_has_that_of_its_generator_and_a_foreign_one_is_an_error():
    assert Renderer(stubborn_plan(chance=1.0)).row(0).defect_type == "stubborn"
    with pytest.raises(AnomgenError, match=r"'other'.*none of its defect types"):
        Renderer(stubborn_plan(chance=1.0, named="other")).row(0)


def test_normal_rows_have_soft_masks_exactly_when_the_generator_does():
    for name, soft in (("fpi", True), ("cutpaste", False)):
        chosen = load_recipe(name, overrides=["source.size=64"], count=4)
        rows = list(Renderer(Plan.of(chosen)).rows(range(4)))
        assert [row.label for row in rows] == [1, 0, 1, 0]
        for row in rows[1::2]:
            assert not row.mask.any() and (row.soft_mask is not None) == soft
            assert soft is False or not row.soft_mask.any()


# --- detectability --------------------------------------------------------------------------------------------------


def visible(*, name="perlin", size=64, **changes):
    """Return a plan whose rows are all anomalous."""
    return Plan.of(load_recipe(name, size=size, overrides={"source.count": 9, "anomaly_ratio": 1.0, **changes}))


def test_each_anomaly_is_measured_against_the_normal_images_and_no_normal_row_is():
    plan = visible(anomaly_ratio=0.5)
    rows = list(Renderer(plan).rows(range(16)))
    assert [row.detectability for row in rows if not row.label] == [None] * 8
    for row in (row for row in rows if row.label):
        assert row.detectability == np.float32(plan.detectability.of(row.image, row.mask)) > 0


def test_defects_measure_with_the_same_fit_as_the_column():
    plan = visible(name="defects")
    assert plan.generator._detectability is plan.detectability
    rows = list(Renderer(plan).rows(range(8)))
    assert [row.detectability for row in rows] == [np.float32(row.params["reached"]) for row in rows]


def test_draws_outside_the_range_are_rejected_and_counted_by_side():
    free = Renderer(visible())
    drawn = [row.detectability for row in free.rows(range(24))]
    low, high = np.quantile(drawn, (0.3, 0.7)).tolist()
    renderer = Renderer(visible(detectability_range=[low, high]))
    rows = list(renderer.rows(range(24)))
    assert all(low <= row.detectability <= high for row in rows)
    assert sum(renderer.rejects.values()) == sum(row.attempt for row in rows)
    assert {f"detectability below {low:g}", f"detectability above {high:g}"} <= set(renderer.rejects)


def test_of_one_tiny_image_nothing_is_known_and_no_range_can_be_asked_for():
    tiny = {"source.count": 1, "size": 24}
    plan = visible(**tiny)
    assert plan.detectability is None
    assert [row.detectability for row in Renderer(plan).rows(range(2))] == [None, None]
    with pytest.raises(UsageError, match=r"detectability_range: .* 576 pixels, too few"):
        visible(**tiny, detectability_range=[1, 2])


def test_a_range_decides_the_fingerprint_and_none_leaves_that_of_older_recipes():
    plain, asked = recipe(), recipe(detectability_range=[0.7, 5])
    assert "detectability_range" not in plain.canonical() and plain.as_dict()["detectability_range"] is None
    assert asked.fingerprint() != plain.fingerprint()
    with pytest.raises(RecipeError, match="detectability_range: detectability is 0 or more"):
        recipe(detectability_range=[-1, 2])


def test_16_bits_in_a_small_range_of_values_are_measured_as_they_are_shown(tmp_path):
    for number in range(4):
        values = np.random.default_rng(number).integers(1000, 1400, (64, 64), dtype=np.uint16)
        cv2.imwrite(str(tmp_path / f"{number}.png"), values)
    plan = Plan.of(load_recipe("perlin", source=tmp_path, size=64))
    row = next(row for row in Renderer(plan).rows(range(4)) if row.label)
    assert row.value_range is not None
    shown = stretched(row.image, row.value_range)
    assert row.detectability == np.float32(plan.detectability.of(shown, row.mask))


class Faint(Generator):
    """Brightens a square by a few levels."""

    kind: ClassVar[str] = "faint"
    by: int = 2

    def sample(self, rng, image, pool):
        drawn, mask = image.copy(), np.zeros(image.shape[:2], bool)
        mask[8:24, 8:24] = True
        drawn[mask] = np.minimum(drawn[mask], 250) + self.by
        return Sample(drawn, mask)


@pytest.mark.parametrize(("by", "least", "passes"), [(2, 2.0, False), (3, 2.0, True), (2, 0.5, True), (9, 10.0, False)])
def test_what_changes_by_no_more_than_asked_for_is_drawn_again(by, least, passes):
    """Law: some pixels of a row change by more than min_change of 255 grey levels, by default 2."""
    chosen = recipe().model_copy(update={"generator": Faint(by=by), "anomaly_ratio": 1.0, "min_change": least})
    renderer = Renderer(Plan.of(chosen))
    if passes:
        assert renderer.row(0).label
    else:
        with pytest.raises(AnomgenError, match="fainter than min_change"):
            renderer.row(0)
    assert recipe().min_change == 2.0


def test_threads_that_draw_side_by_side_leave_opencv_its_threads():
    """Law: the first in limits the threads, the last out gives them back, in whatever order they come and go."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    first, second = single_threaded(), single_threaded()
    first.__enter__()
    second.__enter__()
    assert cv2.getNumThreads() == 1
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 3
    cv2.setNumThreads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_a_forked_child_draws_where_its_parent_used_opencvs_threads():
    """As a DataLoader's workers are: OpenCV's threads are not there, and ending them would be waited for in vain."""
    before, big = cv2.getNumThreads(), np.zeros((2000, 2000, 3), np.float32)
    cv2.setNumThreads(2)
    cv2.GaussianBlur(big, (0, 0), 3)
    time.sleep(1)  # until they wait for work
    one = threads._one
    one.lock.acquire()  # as a thread of the parent may hold it
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            with single_threaded():
                cv2.blur(big, (3, 3))
            os._exit(0)
        finally:
            os._exit(1)
    one.lock.release()
    cv2.setNumThreads(before)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
