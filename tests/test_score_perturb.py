"""Test images under other light, noise, blur and compression: what each does, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from real_data import texture, tiny_data

pytest.importorskip("timm", reason="scoring is an extra")

from anomgen.errors import UsageError
from anomgen.score.cell import run
from anomgen.score.perturb import Perturbation, judged, perturbations_of
from anomgen.score.request import Request
from anomgen.score.rows import RowFile
from anomgen.score.schedule import scheduled

IMAGES = np.stack([texture(k, 40) for k in range(2)])


def changed(kind, strength, images=IMAGES):
    return Perturbation(kind, strength).applied(images)


def test_ranges_are_five_strengths_with_both_ends():
    found = perturbations_of(["brightness=0.8..1.2,jpeg=50", "blur=2"])
    assert [p.strength for p in found if p.kind == "brightness"] == [0.8, 0.9, 1.0, 1.1, 1.2]
    assert found[5:] == (("jpeg", 50), ("blur", 2.0))
    assert [p.strength for p in perturbations_of(["noise=0..1e-1"])] == [0, 0.025, 0.05, 0.075, 0.1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brightness", "write KIND=LOW..HIGH"),
        ("brightness=1..", "write KIND=LOW..HIGH"),
        ("brightnes=1..2", "did you mean 'brightness'"),
        ("brightness=1.2..0.8", "the range is empty, 1.2 is above 0.8"),
        ("brightness=0..2", "brightness is a strength from 0.1 to 4"),
        ("noise=0..1.5", "noise is a strength from 0 to 1"),
        ("jpeg=0..90", "jpeg is a strength from 1 to 100"),
        ("noise=-0.1", "noise is a strength from 0 to 1"),
        ("brightness=nan", "brightness is a strength from 0.1 to 4"),
        ("blur=0..inf", "blur is a strength from 0 to 32"),
        ("jpeg=20.5", "jpeg is a quality in whole numbers"),
    ],
)
def test_what_is_out_of_range_is_refused(text, message):
    with pytest.raises(UsageError, match=f"--perturb .*{message}"):
        perturbations_of([text])


@pytest.mark.parametrize(("kind", "strength"), [("brightness", 1), ("gradient", 0), ("noise", 0), ("blur", 0)])
def test_the_strength_that_changes_nothing_changes_nothing(kind, strength):
    np.testing.assert_array_equal(changed(kind, strength), IMAGES)


def test_each_kind_does_what_it_is_called():
    np.testing.assert_array_equal(changed("brightness", 1.5), np.clip(np.rint(IMAGES * 1.5), 0, 255))
    flat = np.full((1, 32, 41, 3), 100, np.uint8)
    slope = changed("gradient", 0.4, flat)[0, 0, :, 0].astype(int)
    assert (slope[0], slope[20], slope[40]) == (80, 100, 120) and (np.diff(slope) >= 0).all()
    noisy = changed("noise", 0.05, np.full((2, 64, 64, 1), 32768, np.uint16)).astype(float)
    assert np.std(noisy) == pytest.approx(0.05 * 65535, rel=0.03) and (noisy[0] != noisy[1]).any()
    assert changed("blur", 3).std() < IMAGES.std()
    for grey in (IMAGES, IMAGES[..., :1]):
        coarse, fine = (np.abs(changed("jpeg", q, grey).astype(int) - grey).mean() for q in (5, 95))
        assert coarse > 2 * fine
    assert changed("jpeg", 95, IMAGES.astype(np.uint16) * 257).dtype == np.uint16


def test_the_same_images_are_changed_in_the_same_way():
    np.testing.assert_array_equal(changed("noise", 0.1), changed("noise", 0.1))
    np.testing.assert_array_equal(changed("noise", 0.1)[:1], changed("noise", 0.1, IMAGES[:1]))


def test_what_is_judged_is_the_threshold_of_the_unchanged_images():
    labels = np.array([False, False, True, True])
    found = judged(Perturbation("noise", 0.1), labels, np.array([0.2, 0.6, 0.4, 0.9]), 0.5)
    assert (found.fpr, found.fnr, found.f1, found.best_f1) == (0.5, 0.5, 0.5, 0.8)
    assert judged(Perturbation("noise", 0.1), labels, np.arange(4.0), None).f1 is None


def test_a_row_holds_what_each_strength_does(tmp_path):
    data = tiny_data(tmp_path / "part", train=6, good=3, bad=2)
    request = Request((str(data),), ("boxes",), seeds=1, size=32, steps=2, changes=("detector.probe.batch_size=2",))
    plain = scheduled(request, tmp_path, RowFile(tmp_path))
    asked = scheduled(replace(request, perturb=("brightness=1..2", "jpeg=60")), tmp_path, RowFile(tmp_path))
    assert not {cell.key for cell in plain.cells} & {cell.key for cell in asked.cells}
    assert asked.seconds(1) > plain.seconds(1)
    (cell,) = [cell for cell in asked.cells if (cell.entry.name, cell.detector) == ("boxes", "probe")]
    (row,) = run(asked.bench, [cell])
    assert [(p.kind, p.strength) for p in row.perturbed][::5] == [("brightness", 1.0), ("jpeg", 60.0)]
    first = row.perturbed[0]  # brightness 1 is no change
    assert (first.f1, first.fpr, first.best_f1) == (
        row.thresholds.f1.f1,
        row.thresholds.f1.fpr,
        row.thresholds.f1.best_f1,
    )
    assert first.image_auroc == pytest.approx(row.metrics["image_auroc"])


def test_a_detector_without_anomalies_is_judged_where_it_flags_no_normal_image(tmp_path):
    data = tiny_data(tmp_path / "part", train=6, good=3, bad=2)
    request = Request((str(data),), ("boxes",), seeds=1, size=32, perturb=("brightness=1",))
    asked = scheduled(request, tmp_path, RowFile(tmp_path))
    (cell,) = [cell for cell in asked.cells if cell.detector == "none"]
    (row,) = run(asked.bench, [cell])
    assert row.thresholds.f1.threshold is None
    highest = max(row.validation.scores)
    good = [score for score, bad in zip(row.scores, row.anomalous, strict=True) if not bad]
    (found,) = row.perturbed
    assert found.fpr == sum(score > highest for score in good) / len(good) and found.f1 is not None
