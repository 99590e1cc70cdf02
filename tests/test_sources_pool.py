"""The pool: images by identity, a cache that stays bounded, foregrounds that know their image."""

import numpy as np
import pytest

from anomgen.sources.foreground import Foreground
from anomgen.sources.pool import LARGE_IMAGES, SMALL_SIDE, Pool, SmallImages, is_small, made_small


class Numbers:
    """A source of small images; counts how often each is read."""

    license = None
    skipped = ()

    def __init__(self, count):
        self.reads = [0] * count

    def __len__(self):
        return len(self.reads)

    def __getitem__(self, index):
        self.reads[index] += 1
        image = np.full((16, 16, 1), index, np.uint8)
        image.flags.writeable = False
        return image

    def id(self, index):
        return f"image {index}"

    def fingerprint(self):
        return "numbers"


class ByName:
    """A foreground that returns what it was asked about."""

    def __init__(self):
        self.asked = []

    def mask(self, image, source_id, fit="stretch"):
        self.asked.append(source_id)
        return np.ones(image.shape[:2], bool)


def test_images_are_read_once_while_they_fit():
    source = Numbers(4)
    pool = Pool(source)
    assert all(pool[k] is pool[k] for k in range(4))
    assert source.reads == [1, 1, 1, 1]
    assert [int(image[0, 0, 0]) for image in list(pool)[:4]] == [0, 1, 2, 3]


def test_the_cache_is_bounded_and_an_image_that_somebody_holds_stays_the_same_array():
    source = Numbers(10)
    pool = Pool(source, cache_bytes=3 * 256)
    held = pool[0]
    for k in range(1, 10):
        assert pool[k][0, 0, 0] == k
    assert len(pool._kept) == 3
    assert pool[0] is held
    assert source.reads == [1] * 10


def test_the_foreground_knows_which_image_it_is_asked_about():
    foreground = ByName()
    pool = Pool(Numbers(5), foreground, cache_bytes=2 * 256)
    held = [pool[k] for k in range(5)]
    for image in held:
        pool.foreground(image)
    assert foreground.asked == [f"image {k}" for k in range(5)]
    pool.foreground(held[4])
    assert len(foreground.asked) == 5
    pool.foreground(np.zeros((16, 16, 1), np.uint8))
    assert foreground.asked[-1] is None


def test_without_a_foreground_everything_is():
    pool = Pool(Numbers(2))
    assert pool.foreground(pool[0]) is None


class Large(Numbers):
    """A source of images of 600×900, each with a bright square at its own place."""

    def __getitem__(self, index):
        self.reads[index] += 1
        image = np.full((600, 900, 1), 20, np.uint8)
        image[100 + index : 400, 200:600] = 200
        return image


def test_something_is_measured_on_few_and_shrunk_images_that_are_read_once():
    """Law: the longer side is SMALL_SIDE, LARGE_IMAGES at most are read, with another foreground not again."""
    source = Large(40)
    pool = Pool(source)
    looks = SmallImages(pool, 64)
    assert len(looks) == LARGE_IMAGES and {image.shape for image in looks} == {(171, SMALL_SIDE, 1)}
    seen = SmallImages(pool.with_foreground(Foreground(method="otsu", close=0, open=0)), 64)
    assert sum(source.reads) == LARGE_IMAGES
    assert all(np.array_equal(a, b) for a, b in zip(seen, looks, strict=True))
    shares = [seen.foreground(image).mean() for image in seen]
    assert np.allclose(shares[0], 300 * 400 / 600 / 900, atol=0.005) and shares[-1] < shares[0]
    assert not pool._kept  # whole images are not kept for that


def test_small_images_are_measured_as_they_are():
    source = Numbers(40)
    looks = SmallImages(pool := Pool(source), 64)
    assert len(looks) == 40 and all(image is pool[k] for k, image in enumerate(looks)) and source.reads == [1] * 40
    seen = SmallImages(pool.with_foreground(Foreground(method="otsu")), 64)
    assert seen.foreground(seen[3]).shape == (16, 16)


def test_measuring_twice_segments_small_images_once():
    foreground = ByName()
    foreground.drawn = False
    pool = Pool(Numbers(12), foreground)
    for _ in range(2):
        SmallImages(pool, 64)
    assert sorted(foreground.asked) == sorted(f"image {k}" for k in range(12))


def test_masks_drawn_elsewhere_are_shrunk_with_their_images():
    class Drawn(ByName):
        drawn = True

        def mask(self, image, source_id, fit="stretch"):
            assert source_id is not None
            return image[..., 0] > 100

    looks = SmallImages(Pool(Large(3), Drawn()), 64)
    assert all(np.mean(looks.foreground(image) != (image[..., 0] > 110)) < 0.01 for image in looks)


def test_a_list_of_arrays_is_looked_at_too():
    images = [np.zeros((512, 256, 3), np.uint8)] * 3
    looks = SmallImages(images, 2)
    assert [image.shape for image in looks] == [(256, 128, 3)] * 2 and looks.foreground(looks[0]) is None


@pytest.mark.parametrize(
    "shape, small",
    [((512, 512), (256, 256)), ((100, 200), (100, 200)), ((20, 1500), (20, 1500)), ((128, 2048), (64, 1024))],
)
def test_what_is_measured_on_strips_keeps_their_shorter_side(shape, small):
    image = np.zeros((*shape, 1), np.uint8)
    assert (image if is_small(image) else made_small(image)).shape[:2] == small


def test_the_former_place_of_the_listing_is_kept_for_scripts():
    from anomgen.score.layouts import listing as former
    from anomgen.sources.labelled import listing

    assert former is listing
