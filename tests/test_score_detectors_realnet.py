"""RealNet: what its two selections pick, its networks' sizes, what it learns, its determinism."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")
timm = pytest.importorskip("timm", reason="detectors need the extra `score`")
roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score

from torch import nn

from anomgen.errors import UsageError
from anomgen.score.detectors.conformance import MadeTraining
from anomgen.score.detectors.realnet import (
    Discriminator,
    FeatureUNet,
    RealNet,
    RealNetNetwork,
    mismatch,
    select_channels,
    select_residuals,
)

torch.set_num_threads(1)
TINY = {"selected": (4, 4, 4), "ranked": 4, "head": (4, 4, 4, 4), "selection_batches": 1, "steps": 2, "batch_size": 4}


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Planted(nn.Module):
    """Stands in for a backbone at stride 4: channels 1 and 5 show the picture's brightness, the others its edges."""

    strides = (4,)
    channels = (8,)

    def forward(self, x):
        pooled = nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4)
        elsewhere = torch.roll(pooled, 5, dims=3)
        return [torch.cat([(3 if k in (1, 5) else 10) * (pooled if k in (1, 5) else elsewhere) for k in range(8)], 1)]


# --- selections -------------------------------------------------------------------------------------------------------


def test_the_selection_keeps_the_channels_that_change_where_the_anomaly_is():
    batches = MadeTraining().batches(3, 4, anomaly_ratio=1.0)
    (kept,) = select_channels(Planted(), batches, [2], torch.device("cpu"))
    assert kept.tolist() == [1, 5]


def test_mismatch_is_the_papers_formula():
    rng = np.random.default_rng(0)
    change, mask = rng.random((3, 5, 8, 6)) ** 2, (rng.random((3, 1, 16, 12)) < 0.2).astype(float)
    expected = []
    for channel in change.transpose(1, 0, 2, 3):
        scaled = (channel - channel.min()) / (channel.max() - channel.min() + 1e-4)
        expected.append(np.mean((scaled - mask[:, 0, ::2, ::2]) ** 2))
    found = mismatch(torch.tensor(change), torch.tensor(mask))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_a_channel_that_never_changes_is_no_better_than_an_empty_map():
    mask = (drawn(2, 1, 8, 8) < 0.25).float()
    change = torch.cat((torch.zeros(2, 1, 8, 8), mask), 1)
    still, right = mismatch(change, mask).tolist()
    assert still == pytest.approx(float(mask.mean())) and right == pytest.approx(0, abs=1e-6)


def test_the_residuals_with_the_largest_maximum_and_mean_are_chosen_in_order_for_each_image():
    residuals = 0.1 * drawn(2, 10, 6, 6)
    ranking = residuals.clone()
    ranking[0, 7, 2, 3], ranking[0, 2, 0, 0] = 9, 8  # peaks
    ranking[0, 4] += 0.5  # everywhere
    ranking[0, 9] += 0.4
    ranking[1, 3] += 2  # both peak and mean
    ranking[1, 1] += 1
    chosen = select_residuals(residuals, ranking, 2)
    assert torch.equal(chosen[0], residuals[0, [7, 2, 4, 9]])
    assert torch.equal(chosen[1], residuals[1, [3, 1, 3, 1]])


def test_the_ranking_compares_channels_but_the_residuals_stay_as_they_are():
    """A channel that is always large does not win; it is what an image does unusually that counts."""
    discriminator = Discriminator(6, 1, (4, 4, 4, 4))
    usual = drawn(16, 6, 8, 8) * torch.tensor([100, 1, 1, 1, 1, 1.0])[:, None, None]
    for _ in range(3):
        discriminator(usual)
    discriminator.eval()
    unusual = usual[:1].clone()
    unusual[0, 4, 2:4, 2:4] = 30
    seen = []
    discriminator.mix[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    discriminator(unusual)
    assert torch.equal(seen[0][0], unusual[0, [4, 4]])
    assert not list(discriminator.comparable.parameters())


# --- the networks -----------------------------------------------------------------------------------------------------


def test_the_papers_networks_have_the_papers_widths():
    paper = RealNet(preset="paper")
    probe = timm.create_model(paper.backbone, pretrained=False, features_only=True)
    channels = dict(zip(probe.feature_info.reduction(), probe.feature_info.channels(), strict=True))
    assert [channels[stride] for stride in paper.strides] == [256, 512, 1024, 2048]
    kept = [torch.arange(count) for count in paper.selected]
    with torch.device("meta"):
        network = RealNetNetwork(nn.Identity(), kept, paper.ranked, paper.head)
    stack = 2 * (512 * 512 * 9 + 512 * 512)
    head = sum(9 * a * b + b for a, b in ((512, 128), (128, 32), (32, 8), (8, 4), (4, 2))) + 2 * 128
    assert sum(p.numel() for p in network.discriminate.parameters()) == stack + head
    assert network.discriminate.comparable.num_features == 1536
    assert [unet.enter.out_channels for unet in network.repaint] == [128, 256, 256, 128]
    assert {m.num_groups for m in network.modules() if isinstance(m, nn.GroupNorm)} == {32}
    assert (paper.selection_batches, paper.batch_size, paper.learning_rate) == (64, 16, 1e-4)


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (5, 7), (6, 4)])
def test_the_reconstruction_starts_at_zero_and_keeps_the_size(size):
    unet = FeatureUNet(12, 6)
    out = unet(drawn(2, 12, *size))
    assert out.shape == (2, 12, *size) and not out.any()


def test_the_reconstruction_of_the_default_learns_to_repaint():
    unet = FeatureUNet(8, 4)
    x = drawn(4, 8, 8, 8)
    optimiser = torch.optim.Adam(unet.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = nn.functional.mse_loss(unet(x), x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_what_is_wanted_is_the_features_of_the_normal_images():
    detector, train = RealNet(**TINY), MadeTraining()
    detector.fit(train, np.random.default_rng(0))
    network = detector._network
    shown, normal = drawn(4, 3, 64, 64), drawn(2, 3, 64, 64, seed=1)
    changed = torch.tensor([False, True, False, True])
    features, wanted = network.with_normals(shown, normal, changed)
    for own, found in zip(network.features(shown), features, strict=True):
        assert torch.allclose(own, found, atol=1e-4)
    expectations = network.features(normal)
    for own, found, expected in zip(features, wanted, expectations, strict=True):
        assert torch.equal(found[~changed], own[~changed])
        assert torch.allclose(found[changed], expected, atol=1e-4)


# --- the detector -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 16, 1), (40, 50, 3), (33, 64, 3)])
def test_sides_that_are_no_multiples_of_32_are_fine(shape):
    train = MadeTraining(shape)
    detector = RealNet(**TINY)
    detector.fit(train, np.random.default_rng(0))
    maps = detector.anomaly_maps(train.test(3).images)
    assert maps.shape == (3, *shape[:2])
    assert np.isfinite(maps).all() and maps.min() >= 0 and maps.max() <= 1


@pytest.mark.slow
def test_it_learns():
    train = MadeTraining((64, 64, 3))
    detector = RealNet(strides=(4, 8), selected=(16, 24), ranked=8, steps=60, selection_batches=2)
    detector.fit(train, np.random.default_rng(0))
    test = train.test()
    assert roc_auc_score(test.masks.ravel(), detector.anomaly_maps(test.images).ravel()) > 0.85


def test_a_batch_without_anomalies_is_learnt_from_too():
    class Normal(MadeTraining):
        def batches(self, count, batch_size, anomaly_ratio=None):
            return super().batches(count, batch_size, 0.0 if anomaly_ratio is None else anomaly_ratio)

    detector = RealNet(**TINY)
    detector.fit(Normal(), np.random.default_rng(0))
    assert np.isfinite(detector.anomaly_maps(Normal().test(1).images)).all()


@pytest.mark.parametrize(("one_cycle", "rates"), [(False, [0.01, 0.01]), (True, None)])
def test_the_rate_is_constant_unless_it_is_to_rise_and_fall(one_cycle, rates):
    seen = []
    step = torch.optim.Adam.step

    def noted(self, *args, **kwargs):
        seen.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", noted)
        settings = {**TINY, "learning_rate": 0.01, "one_cycle": one_cycle, "steps": 2 if rates else 10}
        RealNet(**settings).fit(MadeTraining(), np.random.default_rng(0))
    if rates:
        assert seen == rates
    else:
        assert max(seen) == pytest.approx(0.01, rel=0.05) and seen[0] < 0.001 > seen[-1]


def test_only_what_is_no_backbone_is_trained():
    detector = RealNet(**TINY)
    detector.fit(MadeTraining(), np.random.default_rng(0))
    assert not any(p.requires_grad for p in detector._network.backbone.parameters())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"selected": (24, 40, 113)}, "112"),
        ({"selected": (8, 8)}, "strides"),
        ({"ranked": 13}, "12 selected"),
        ({"preset": "paper", "backbone": "lite0"}, "selected"),
    ],
)
def test_numbers_that_the_backbone_does_not_have_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        RealNet(**{**TINY, **settings} if "preset" not in settings else settings).fit(
            MadeTraining(), np.random.default_rng(0)
        )
