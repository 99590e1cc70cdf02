"""The pool: images by identity, a cache that stays bounded, foregrounds that know their image."""

import numpy as np

from anomgen.sources.pool import Pool


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
