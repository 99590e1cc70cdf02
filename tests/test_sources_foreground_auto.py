"""The foreground that is chosen by looking at the images: objects are found, textures have none."""

import cv2
import numpy as np
import pytest
from scenes import overlap, rng, scene, shadowed

from anomgen.errors import UsageError
from anomgen.sources.choosing import overlooked
from anomgen.sources.foreground import Foreground, choose, segmented
from anomgen.synthesis.perlin import perlin_noise

GREEN, GREY, PINK = (60, 130, 50), (120, 120, 120), (190, 150, 160)


def check_auto(pool):
    foreground = Foreground(method="auto").resolved([image for image, _ in pool])
    assert foreground.method not in ("auto", "none")
    for image, expected in pool:
        found = foreground.mask(image)
        assert found.dtype == bool and not found.flags.writeable
        assert overlap(found, expected) > 0.95
    return foreground


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("inside", "outside"),
    [((200, 200, 200), (30, 30, 30)), ((30, 30, 30), (200, 200, 200))],
    ids=["bright", "dark"],
)
def test_auto_finds_an_object(inside, outside, channels, dtype):
    check_auto([scene(k, inside, outside, dtype=dtype, channels=channels) for k in range(6)])


def test_auto_finds_a_coloured_object_of_the_same_brightness():
    grey = int(cv2.cvtColor(np.uint8([[GREEN]]), cv2.COLOR_RGB2GRAY)[0, 0])
    assert check_auto([scene(k, GREEN, (grey,) * 3) for k in range(6)]).method == "background_color"


def test_auto_is_not_fooled_by_a_vignette():
    pool = []
    for k in range(6):
        image, mask = scene(k, GREEN, PINK)
        y, x = np.mgrid[-1:1:128j, -1:1:160j]
        light = 1.25 - 0.4 * (x**2 + y**2)
        pool.append((np.clip(image * light[..., None], 0, 255).astype(np.uint8), mask))
    check_auto(pool)


def test_auto_finds_several_objects_and_fills_their_holes():
    pool = []
    for k in range(4):
        image = np.full((128, 128, 1), 20, np.uint8)
        expected = np.zeros((128, 128), bool)
        for y, x in ((35, 35), (90, 40), (60, 95)):
            yy, xx = np.mgrid[:128, :128]
            expected |= np.hypot(yy - y - k, xx - x) < 20
        image[expected] = 180
        image[33:37, 33:37] = 20
        pool.append((image, expected))
    check_auto(pool)


def test_auto_finds_a_bar_that_touches_two_sides():
    pool = []
    for k in range(4):
        expected = np.zeros((128, 128), bool)
        expected[:, 48 + k : 80 + k] = True
        image = np.where(expected[..., None], 70, 220) + rng(k).normal(0, 3, (128, 128, 1))
        pool.append((image.astype(np.uint8), expected))
    check_auto(pool)


def textures():
    def noise(index, cells):
        field = perlin_noise(rng(index), (128, 128), cells, cells)
        return np.clip(128 + 90 * field, 0, 255).astype(np.uint8)[..., None]

    def checker(index, size):
        y, x = np.mgrid[:128, :128]
        return (((y + index) // size + x // size) % 2 * 180 + 30).astype(np.uint8)[..., None]

    def shaded(index, size):
        ramp = np.linspace(40, 200, 128)[None, :, None] + rng(index).normal(0, size, (128, 128, 1))
        return ramp.astype(np.uint8)

    def plain(index, size):
        return np.full((128, 128, 3), size + index, np.uint8)

    def brushed(index, size):  # one hue: without the lightness nearly every pixel is the border's colour
        lines = np.repeat(rng(index).normal(140, size, (128, 1, 1)), 128, axis=1)
        return np.clip(lines * (0.965, 0.985, 1.0), 0, 255).astype(np.uint8)

    return [(noise, 2), (noise, 16), (checker, 16), (checker, 40), (shaded, 5), (plain, 90), (brushed, 25)]


@pytest.mark.parametrize(("make", "size"), textures())
def test_auto_says_that_a_texture_has_no_background(make, size):
    foreground = choose([make(k, size) for k in range(8)])
    assert foreground == Foreground()
    assert foreground.mask(make(0, size)) is None


def test_auto_on_few_images_and_large_ones():
    image, expected = scene(0, (200, 200, 200), (30, 30, 30), shape=(700, 500))
    found = choose([image]).mask(image)
    assert overlap(found, expected) > 0.94
    assert choose([]) == Foreground()


def test_auto_looks_at_few_images_and_is_deterministic():
    class Counting(list):
        looked = 0

        def __getitem__(self, index):
            Counting.looked += 1
            return super().__getitem__(index)

    pool = Counting(scene(k, (200, 200, 200), (30, 30, 30), shape=(64, 64))[0] for k in range(40))
    assert choose(pool) == choose(pool)
    assert Counting.looked == 32


def test_auto_without_a_pool_is_an_error():
    with pytest.raises(UsageError, match="resolved"):
        Foreground(method="auto").mask(scene(0, GREEN, GREY)[0])


def test_auto_leaves_soft_shadows_out_and_takes_all_tones_of_the_object_in():
    pool = [shadowed(k) for k in range(6)]
    foreground = check_auto(pool)
    assert foreground.snap
    loose = foreground.model_copy(update={"snap": False})
    for image, expected in pool:
        assert overlap(loose.mask(image), expected) < 0.9
        assert overlap(foreground.mask(image), expected) > 0.97


@pytest.mark.parametrize("channels", [1, 3])
def test_auto_evens_light_from_one_side(channels):
    """The ground's dark side is as dark as the object's bright one; no threshold parts them."""
    pool = []
    for k in range(6):
        image, mask = scene(k, (80, 80, 80), (220, 220, 220), channels=channels)
        light = 0.65 + 0.35 * np.linspace(-1, 1, image.shape[1]) * (-1) ** k
        pool.append((np.rint(image * light[:, None]).astype(np.uint8), mask))
    assert check_auto(pool).flatten


def test_auto_does_not_even_light_that_is_even():
    pool = [scene(k, (80, 80, 80), (220, 220, 220)) for k in range(6)]
    assert not check_auto(pool).flatten


def test_a_user_refines_what_auto_chose():
    pool = [scene(k, (30, 30, 30), (200, 200, 200))[0] for k in range(6)]
    chosen = Foreground(method="auto").resolved(pool)
    refined = Foreground.model_validate({"method": "auto", "tolerance": 20, "snap": False}).resolved(pool)
    assert refined.method == chosen.method == "background_color" and refined.tolerance == 20
    assert refined == chosen.model_copy(update={"tolerance": 20.0, "snap": False})
    with pytest.raises(UsageError, match=r"foreground\.channel: auto chose background_color"):
        Foreground.model_validate({"method": "auto", "channel": "r"}).resolved(pool)


def shots(shown, empty):
    """Return shots of a dark object on a bright ground, among them some of the ground alone."""
    pool = [scene(k, (60, 80, 50), (230, 230, 230)) for k in range(shown)]
    for k in range(empty):
        image = 230 + rng(100 + k).normal(0, 3, (128, 160, 3))
        pool.insert(2 * k + 1, (np.clip(image, 0, 255).astype(np.uint8), np.zeros((128, 160), bool)))
    return pool


@pytest.mark.parametrize(("shown", "empty"), [(12, 8), (3, 3), (10, 5)])
def test_auto_tells_empty_shots_from_those_of_an_object(shown, empty):
    """Law: up to half of the images may show none; nothing is found there, and on the others what is there."""
    pool = shots(shown, empty)
    found = choose([image for image, _ in pool])
    for image, expected in pool:
        mask = found.mask(image)
        assert overlap(mask, expected) > 0.95 if expected.any() else not mask.any()


def test_auto_finds_nothing_where_most_shots_are_empty():
    assert choose([image for image, _ in shots(3, 12)]) == Foreground()


@pytest.mark.parametrize(("shown", "empty"), [(3, 12), (2, 14), (6, 9)])
def test_an_object_that_few_shots_show_is_told_of(shown, empty):
    pool = shots(shown, empty)
    images = [image for image, _ in pool]
    found = overlooked(images, segmented)
    assert choose(images) == Foreground() and found.of == len(images)
    assert found.names == [str(k) for k, (_, expected) in enumerate(pool) if expected.any()]
    for image, expected in pool:
        mask = segmented(found.keys, image).view(bool)
        assert overlap(mask, expected) > 0.95 if expected.any() else not mask.any()


@pytest.mark.parametrize(("make", "size"), textures())
def test_no_object_is_told_of_on_a_texture_nor_where_one_shot_alone_shows_it(make, size):
    assert overlooked([make(k, size) for k in range(16)], segmented) is None
    assert overlooked([image for image, _ in shots(1, 12)], segmented) is None
    assert overlooked([], segmented) is None
