"""The Poisson solver against a direct sparse solve, and the laws that blending promises."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from anomgen.synthesis.blend import alpha_blend, poisson_blend
from anomgen.synthesis.freeform import _Torus
from anomgen.synthesis.masks import ellipse


def direct_solution(target, source, mask, guidance, weight, inner=None):
    """Solve the Poisson equation pixel by pixel and edge by edge, with a sparse LU, in float64."""
    t, s = target.astype(float), source.astype(float)
    h, w, channels = t.shape
    number = {tuple(p): k for k, p in enumerate(np.argwhere(mask))}
    matrix = lil_matrix((len(number), len(number)))
    right = np.zeros((len(number), channels))

    def magnitude(image, y, x):
        total = 0.0
        if x + 1 < w:
            total += ((image[y, x + 1] - image[y, x]) ** 2).sum()
        if y + 1 < h:
            total += ((image[y + 1, x] - image[y, x]) ** 2).sum()
        return total

    for (y, x), k in number.items():
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            q = (y + dy, x + dx)
            if not (0 <= q[0] < h and 0 <= q[1] < w):
                continue
            matrix[k, k] += 1
            dt, ds = t[y, x] - t[q], s[y, x] - s[q]
            blended = weight * ds + (1 - weight) * dt
            owner = (y, x) if dy + dx > 0 else q
            if guidance == "mixed":
                blended = blended if magnitude(s, *owner) > magnitude(t, *owner) else dt
            elif guidance == "pii":
                near, far = (1 - weight) * dt, weight * ds
                blended = near if (near**2).sum() > (far**2).sum() else far
            right[k] += blended if inner is None or inner[owner] else dt
            if q in number:
                matrix[k, number[q]] -= 1
            else:
                right[k] += t[q]
    solution = spsolve(matrix.tocsc(), right).reshape(len(number), channels)
    result = t.copy()
    for (y, x), k in number.items():
        result[y, x] = solution[k]
    top = np.iinfo(target.dtype).max
    return np.clip(result, 0, top)


def scene(seed, h, w, channels, dtype):
    """Return two smooth-plus-noise images that stay away from the ends of the range."""
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    y, x = np.mgrid[:h, :w]
    images = []
    for _ in range(2):
        a, b, c = rng.uniform(0.02, 0.2, 3)
        base = 0.5 + 0.15 * np.sin(a * x + b * y)[..., None] + 0.05 * rng.normal(size=(h, w, channels)) + c / 4
        images.append(np.clip(base * top, 0, top).astype(dtype))
    return images


MASKS = {
    "rectangle": lambda h, w: (slice(4, h - 6), slice(3, w - 5)),
    "touches top left": lambda h, w: (slice(0, h // 2), slice(0, w // 2)),
    "touches bottom right": lambda h, w: (slice(h // 3, h), slice(w // 3, w)),
    "full height": lambda h, w: (slice(0, h), slice(5, w - 5)),
    "full width": lambda h, w: (slice(5, h - 5), slice(0, w)),
}


def rectangle(name, h, w):
    mask = np.zeros((h, w), bool)
    mask[MASKS[name](h, w)] = True
    return mask


def free_form(name, h, w):
    y, x = np.mgrid[:h, :w]
    if name == "ellipse":
        return ((y - h / 2) / (h / 3)) ** 2 + ((x - w / 2) / (w / 4)) ** 2 < 1
    if name == "L":
        mask = np.zeros((h, w), bool)
        mask[4:-4, 4:9] = mask[-9:-4, 4:-4] = True
        return mask
    if name == "ring":
        r = np.hypot((y - h / 2) / h, (x - w / 2) / w)
        return (r > 0.15) & (r < 0.4)
    if name == "at the corner":
        return y**2 + x**2 < (0.6 * h) ** 2
    return np.random.default_rng(0).random((h, w)) < 0.6


@pytest.mark.parametrize("guidance", ["normal", "mixed", "pii"])
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (4, np.uint16)])
def test_rectangles_equal_the_direct_sparse_solution(guidance, name, channels, dtype):
    target, source = scene(1, 31, 38, channels, dtype)
    mask = rectangle(name, 31, 38)
    result = poisson_blend(target, source, mask, guidance=guidance, weight=0.7)
    expected = direct_solution(target, source, mask, guidance, 0.7)
    assert np.abs(result - expected).max() <= 0.51


@pytest.mark.parametrize("guidance", ["normal", "mixed", "pii"])
@pytest.mark.parametrize("name", ["ellipse", "L", "ring", "at the corner", "sieve"])
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint16)])
def test_free_forms_equal_the_direct_sparse_solution(guidance, name, channels, dtype):
    target, source = scene(2, 40, 33, channels, dtype)
    mask = free_form(name, 40, 33)
    result = poisson_blend(target, source, mask, guidance=guidance)
    expected = direct_solution(target, source, mask, guidance, 1.0)
    assert np.abs(result - expected).max() <= 0.6


@pytest.mark.parametrize("guidance", ["normal", "mixed"])
@pytest.mark.parametrize("shape", ["rectangle", "free form"])
def test_the_guidance_leads_from_the_inner_pixels_alone(guidance, shape):
    target, source = scene(3, 24, 28, 3, np.uint8)
    mask = rectangle("rectangle", 24, 28)
    if shape == "free form":
        mask &= np.add.outer(np.arange(24), np.arange(28)) < 36
    inner = np.zeros_like(mask)
    inner[9:13, 8:17] = True
    result = poisson_blend(target, source, mask, guidance=guidance, inner=inner)
    expected = direct_solution(target, source, mask, guidance, 1.0, inner)
    assert np.abs(result - expected).max() <= 0.6
    assert np.abs(expected - direct_solution(target, source, mask, guidance, 1.0)).max() > 5
    none = poisson_blend(target, source, mask, guidance=guidance, inner=np.zeros_like(mask))
    assert np.array_equal(none, target)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(8, 60),
    st.integers(8, 60),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(["normal", "mixed"]),
    st.integers(0, 10_000),
)
def test_a_patch_pasted_onto_itself_is_the_identity(h, w, channels, dtype, guidance, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, np.iinfo(dtype).max, (h, w, channels), endpoint=True).astype(dtype)
    mask = rng.random((h, w)) < rng.uniform(0.1, 1)
    assert np.array_equal(poisson_blend(image, image, mask, guidance=guidance), image)


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 60), st.integers(8, 60), st.sampled_from([1, 3]), st.integers(0, 10_000))
def test_nothing_changes_outside_the_mask(h, w, channels, seed):
    rng = np.random.default_rng(seed)
    target, source = rng.integers(0, 256, (2, h, w, channels)).astype(np.uint8)
    before = target.copy()
    mask = rng.random((h, w)) < 0.4
    result = poisson_blend(target, source, mask, guidance="mixed")
    assert np.array_equal(result[~mask], target[~mask])
    assert np.array_equal(target, before)


def test_a_solution_is_the_same_wherever_in_memory_its_image_lies():
    """The transform of the torus has code of its own for arrays that are aligned; it must sum in the same order."""
    target, source = scene(8, 90, 83, 1, np.uint8)
    mask = free_form("ellipse", 90, 83)
    expected = poisson_blend(target, source, mask)
    values = np.random.default_rng(0).normal(size=(96, 88)).astype(np.float32)
    spectrum = cv2.dft(values)
    for offset in range(1, 17):
        room = np.zeros((2, values.size + 17), np.float32)
        moved, result = (
            part[place : place + values.size].reshape(96, 88)
            for part, place in zip(room, (offset, 17 - offset), strict=True)
        )
        moved[:] = values
        assert np.array_equal(cv2.dft(moved, dst=result), spectrum)
        bytes_ = np.zeros(source.size + 17, np.uint8)[offset : offset + source.size].reshape(source.shape)
        bytes_[:] = source
        assert np.array_equal(poisson_blend(target, bytes_, mask), expected)


@pytest.mark.parametrize("name", ["ellipse", "L"])
def test_a_free_form_takes_few_transforms_however_large(name, monkeypatch):
    """Law: smooth functions, which conjugate gradients find last, are not left to them."""
    solved = []
    solve = _Torus.solve
    monkeypatch.setattr(_Torus, "solve", lambda torus, charges: solved.append(1) or solve(torus, charges))
    target, source = scene(9, 200, 180, 3, np.uint8)
    poisson_blend(target, source, free_form(name, 200, 180))
    assert 3 <= len(solved) <= 12


@pytest.mark.parametrize(("h", "w", "seed"), [(12, 63, 27), (25, 128, 135), (22, 107, 327)])
def test_a_thin_form_of_16_bits_is_solved_as_far_as_numbers_go(h, w, seed, monkeypatch):
    """Law: where rounding keeps corrections from vanishing, the iteration ends soon, near the solution."""
    solved = []
    solve = _Torus.solve
    monkeypatch.setattr(_Torus, "solve", lambda torus, charges: solved.append(1) or solve(torus, charges))
    rng = np.random.default_rng(seed)
    target, source = rng.integers(0, 1 << 16, (2, h, w, 3)).astype(np.uint16)
    mask = ellipse(h, w, 0.3)
    mask[[0, -1]] = mask[:, [0, -1]] = False
    result = poisson_blend(target, source, mask)
    assert np.abs(result - direct_solution(target, source, mask, "normal", 1.0)).max() < 64
    assert len(solved) <= 40


def test_a_large_free_form_mask_is_padded_to_a_fast_size_and_stays_exact():
    """With guidance `normal` and a source equal to the target around the mask, the solution is the source."""
    target, source = scene(7, 150, 131, 1, np.uint8)
    mask = free_form("ellipse", 150, 131)
    source = np.where(mask[..., None], source, target)
    assert np.abs(poisson_blend(target, source, mask).astype(int) - source).max() <= 1


def test_a_constant_added_to_the_source_makes_no_difference():
    target, source = scene(3, 50, 50, 3, np.uint8)
    mask = free_form("ellipse", 50, 50)
    assert np.array_equal(poisson_blend(target, source, mask), poisson_blend(target, source - 20, mask))


def test_mixed_chooses_by_magnitude_whatever_the_direction():
    """A source that depends on x + y must come through as strongly as one that depends on x − y."""
    flat = np.full((64, 64, 1), 128, np.uint8)
    y, x = np.mgrid[:64, :64]
    mask = np.zeros((64, 64), bool)
    mask[8:-8, 8:-8] = True
    peaks = []
    for phase in (x + y, x - y):
        source = (128 + 60 * np.sin(phase / 5.0))[..., None].astype(np.uint8)
        peaks.append(np.abs(poisson_blend(flat, source, mask, guidance="mixed").astype(int) - 128).max())
    assert min(peaks) > 50
    assert abs(peaks[0] - peaks[1]) < 8


def test_a_mask_that_covers_everything_keeps_the_mean():
    target, source = scene(4, 30, 30, 1, np.uint8)
    result = poisson_blend(target, source, np.ones((30, 30), bool), guidance="mixed")
    assert abs(result.mean() - target.mean()) < 0.5


def test_an_empty_mask_returns_a_copy():
    target, source = scene(5, 20, 20, 3, np.uint8)
    result = poisson_blend(target, source, np.zeros((20, 20), bool))
    assert np.array_equal(result, target)
    assert result is not target


@pytest.mark.parametrize("size", [400, 700])
def test_large_rectangles_use_the_fast_transform_and_stay_exact(size):
    """With guidance `normal` and equal rims the solution is the source itself, whatever the size."""
    target, source = scene(6, size, size, 1, np.uint8)
    source[0], source[-1], source[:, 0], source[:, -1] = target[0], target[-1], target[:, 0], target[:, -1]
    mask = np.zeros((size, size), bool)
    mask[1:-1, 1:-1] = True
    assert np.abs(poisson_blend(target, source, mask).astype(int) - source).max() <= 1
    mixed = poisson_blend(
        np.full_like(target, 99),
        np.where(mask[..., None], source, 99).astype(np.uint8),
        mask,
        guidance="mixed",
    )
    assert np.abs(mixed.astype(int) - np.where(mask[..., None], source, 99)).max() <= 1


def test_alpha_blend_rounds():
    target = np.full((4, 4, 1), 100, np.uint8)
    assert alpha_blend(target, target, 0.3).tolist() == target.tolist()
    assert (alpha_blend(target, np.full_like(target, 103), 0.5) == 102).all()
    assert (alpha_blend(target, np.full_like(target, 200), 1.0) == 200).all()
