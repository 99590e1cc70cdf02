"""Sheets of a training: the findings follow what is wrong with the samples, the picture holds rows and losses."""

import json

import cv2
import numpy as np
import pytest

from anomgen.models.sheet import Sheet, drawn, likeness, losses_of


def plates(count, seed):
    """Even plates with dark seams, a little grain: uint8 (64, 64, 1)."""
    found = []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        image = 150 + rng.normal(0, 3, (64, 64))
        for place in rng.integers(4, 60, 3):
            image[place : place + 2] -= 60
            image[:, place : place + 2] -= 60
        found.append(np.clip(image, 0, 255).astype(np.uint8)[..., None])
    return found


def noisy(image):
    return np.clip(image + np.random.default_rng(1).normal(0, 25, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image, "Looks trained"),
        (noisy, "Train on: samples are noisy"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 3)[..., None], "Train on: samples are blurred"),
        (lambda image: image // 3, "Train on: samples"),
    ],
)
def test_the_findings_say_what_is_wrong_with_samples(change, words):
    assert likeness([change(image) for image in plates(6, 1)], plates(6, 2)).startswith(words)


def rings(count, seed, apart):
    """Return pictures of a ring on a grainy ground, in one place, or up to `apart` pixels off."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        x, y = (64 + rng.integers(-apart, apart + 1, 2)).tolist()
        image = np.full((128, 128), 150, np.uint8)
        cv2.circle(image, (x, y), 25, 90, 5)
        grain = rng.normal(0, 4, image.shape)
        found.append(np.clip(image + grain, 0, 255).astype(np.uint8)[..., None])
    return found


def test_where_shapes_have_their_places_samples_must_have_them_there():
    normals = rings(6, 0, 0)
    assert likeness(rings(6, 1, 0), normals).endswith("level, contrast, edges and shapes.")
    assert likeness(rings(6, 1, 30), normals).startswith("Train on: ") and "their shapes match" in likeness(
        rings(6, 1, 30), normals
    )
    assert likeness(rings(6, 1, 30), rings(6, 2, 30)).startswith("Looks trained")


def test_pure_noise_of_the_right_level_and_contrast_is_not_taken_for_trained():
    normals = plates(6, 2)
    noise = [
        np.clip(np.random.default_rng(k).normal(image.mean(), image.std(), image.shape), 0, 255).astype(np.uint8)
        for k, image in enumerate(normals)
    ]
    assert likeness(noise, normals).startswith("Train on")


def test_a_sheet_holds_its_rows_and_the_losses(tmp_path):
    log = tmp_path / "log.jsonl"
    steps = [{"step": step, "loss": 1 / step, "bound": 2.0, "seconds": 1.0} for step in (10, 20, 30)]
    log.write_text("".join(json.dumps(line) + "\n" for line in steps))
    assert losses_of(log) == {"loss": [(10, 0.1), (20, 0.05), (30, 1 / 30)], "bound": [(10, 2.0), (20, 2.0), (30, 2.0)]}
    sheet = Sheet([("normal images", plates(3, 1)), ("samples", plates(3, 2))], "Train on: it is noise.")
    without = drawn(sheet, "sdas", tmp_path / "none")
    picture = drawn(sheet, "sdas", log)
    assert picture.shape == without.shape and picture.shape[0] > 2 * 256 and picture.shape[1] > 3 * 256
    blue = (picture == (43, 131, 198)).all(axis=2)
    assert blue.sum() > 200 and not (without == (43, 131, 198)).all(axis=2).any()


def test_noise_of_the_channels_own_is_seen_where_their_mean_hides_it():
    """Law: speckled grey plates in colour, and noise in each channel whose mean is as strong as the speckle."""
    rng = np.random.default_rng(3)

    def speckled(independent):
        noise = rng.normal(0, 12 * np.sqrt(3), (64, 64, 3)) if independent else rng.normal(0, 12, (64, 64, 1))
        return np.clip(np.rint(150 + noise + np.zeros((1, 1, 3))), 0, 255).astype(np.uint8)

    normals, others, samples = ([speckled(kind) for _ in range(6)] for kind in (False, False, True))
    assert likeness(others, normals).startswith("Looks trained")
    told = likeness(samples, normals)
    assert told.startswith("Train on: samples are noisy") and told.endswith("and more of colours.")
