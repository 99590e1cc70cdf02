"""DRAEM: its losses against other implementations, its networks' sizes, what it learns, its determinism."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")
roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity

from anomgen.score.detectors.conformance import MadeTraining
from anomgen.score.detectors.draem import DRAEM, DRAEMNetwork, Reconstructive, focal_loss, ssim

torch.set_num_threads(1)
TINY = {"width": 4, "segmentation_width": 4, "steps": 3, "batch_size": 4}


@pytest.mark.parametrize("shape", [(40, 52), (16, 30)])
def test_ssim_is_the_one_of_scikit_image_away_from_the_border(shape):
    a, b = np.random.default_rng(0).random((2, 3, *shape), dtype=np.float32)
    b = 0.7 * a + 0.3 * b
    ours = ssim(torch.tensor(a)[None], torch.tensor(b)[None])[0].numpy()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, theirs = structural_similarity(a, b, channel_axis=0, full=True, **options)
    np.testing.assert_allclose(ours[:, 5:-5, 5:-5], theirs[:, 5:-5, 5:-5], atol=1e-4)


def test_ssim_takes_the_same_range_whatever_the_prediction():
    """The original doubles the dynamic range as soon as the prediction goes below -0.5."""
    target = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = ssim(target, target.flip(3))
    outlier = target.clone()
    outlier[..., 0, 0] = -0.6
    assert torch.equal(ssim(outlier, target.flip(3))[..., 8:, 8:], before[..., 8:, 8:])


def test_ssim_of_equal_images_is_one():
    image = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(ssim(image, image).numpy(), 1, atol=1e-4)


def test_focal_loss_is_its_formula():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 2, 5, 7))
    mask = rng.random((2, 1, 5, 7)) < 0.3
    p = np.exp(logits[:, 1]) / np.exp(logits).sum(1)
    own = np.where(mask[:, 0], p, 1 - p)
    expected = np.mean(-((1 - own) ** 2) * np.log(own))
    ours = focal_loss(torch.tensor(logits), torch.tensor(mask.astype(np.float32)))
    assert float(ours) == pytest.approx(expected, rel=1e-9)


def test_focal_loss_stays_finite_for_hopeless_pixels():
    loss = focal_loss(torch.tensor([[[[200.0]], [[-200.0]]]], requires_grad=True), torch.ones(1, 1, 1, 1))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(400)


def test_the_papers_networks_have_the_papers_size():
    paper = DRAEM(preset="paper")
    with torch.device("meta"):
        network = DRAEMNetwork(paper.width, paper.segmentation_width)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == pytest.approx(97.4e6, rel=0.001)
    assert (paper.batch_size, paper.learning_rate, paper.steps) == (8, 1e-4, 21_000)


def test_nothing_but_the_bottleneck_passes_through_the_reconstruction():
    """Five levels without skips: a 32-pixel image is known below by 2x2 places only."""
    seen = []
    network = Reconstructive(4).eval()
    network.down[-1].register_forward_hook(lambda module, args, out: seen.append(out.shape))
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    assert seen == [(1, 32, 2, 2)]


@pytest.mark.parametrize("shape", [(16, 16, 1), (40, 50, 3), (33, 64, 3)])
def test_sides_that_do_not_halve_five_times_are_fine(shape):
    train = MadeTraining(shape)
    detector = DRAEM(**TINY)
    detector.fit(train, np.random.default_rng(0))
    maps = detector.anomaly_maps(train.test(3).images)
    assert maps.shape == (3, *shape[:2])
    assert np.isfinite(maps).all() and maps.min() >= 0 and maps.max() <= 1


def test_it_learns_to_mark_and_to_repaint():
    train = MadeTraining((32, 32, 3))
    sizes = {"width": 8, "segmentation_width": 8, "steps": 60, "batch_size": 8, "learning_rate": 1e-2}
    detector = DRAEM(**sizes)
    detector.fit(train, np.random.default_rng(0))
    test = train.test()
    maps = detector.anomaly_maps(test.images)
    assert roc_auc_score(test.masks.ravel(), maps.ravel()) > 0.9


def test_another_seed_gives_other_maps():
    images = MadeTraining().test().images
    maps = []
    for seed in (0, 1):
        detector = DRAEM(**TINY)
        detector.fit(MadeTraining(), np.random.default_rng(seed))
        maps.append(detector.anomaly_maps(images))
    assert not np.array_equal(*maps)


def test_the_schedule_falls_at_four_fifths_and_nine_tenths():
    rates = []
    detector = DRAEM(**{**TINY, "steps": 10, "learning_rate": 1e-2})
    made = torch.optim.Adam.step

    def step(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return made(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", step)
        detector.fit(MadeTraining(), np.random.default_rng(0))
    np.testing.assert_allclose(rates, [1e-2] * 8 + [2e-3, 4e-4])
