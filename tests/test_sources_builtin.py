"""The built-in images: crops of real textures, or round pieces of them."""

import numpy as np

from anomgen.sources.builtin import BACKGROUND, DISC, Builtin


def test_a_disc_is_the_texture_within_and_even_without():
    surface, disc = (Builtin(name="gravel", size=96, form=form).open() for form in ("surface", "disc"))
    away = np.hypot(*(np.mgrid[:96, :96] - 47.5))
    shown, whole = disc[3], surface[3]
    assert shown.shape == whole.shape == (96, 96, 1) and shown.dtype == np.uint8
    assert np.array_equal(shown[away < DISC * 96 - 1], whole[away < DISC * 96 - 1])
    assert (shown[away > DISC * 96 + 1] == BACKGROUND).all()
    assert disc.fingerprint() != surface.fingerprint() and disc.id(3) == surface.id(3)
