"""SuperSimpleNet: where its noise goes, its losses, its networks' sizes, what it learns from."""

import numpy as np
import pytest
from scipy import ndimage
from small_detectors import told_apart
from test_score_detectors_chance import TEST, Blobs

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")
timm = pytest.importorskip("timm", reason="detectors need the extra `score`")

from torch import nn

from anomgen.errors import RecipeError
from anomgen.score.backbone import Backbone
from anomgen.score.detectors.base import Batch, build_detector
from anomgen.score.detectors.conformance import MadeTraining
from anomgen.score.detectors.networks import tensor
from anomgen.score.detectors.supersimplenet import (
    Network,
    SuperSimpleNet,
    blurred,
    flipped,
    focal,
    noise_regions,
    truncated,
)
from anomgen.score.metrics import auroc, reduce_maps

torch.set_num_threads(1)
TINY = {"steps": 2, "batch_size": 2, "width": 8}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Planted(nn.Module):
    """Stands in for a backbone of strides 8 and 16: the mean of the picture at each."""

    channels = (1, 2)

    def forward(self, x):
        fine = nn.functional.avg_pool2d(x.mean(1, keepdim=True), 8)
        return [fine, nn.functional.avg_pool2d(fine, 2).repeat(1, 2, 1, 1)]


# --- noise and losses -------------------------------------------------------------------------------------------------


def test_noise_stays_out_of_anomalies_and_leaves_half_of_the_images_alone():
    masks = torch.zeros(400, 1, 32, 24, dtype=torch.bool)
    masks[:, :, :, :12] = True
    noisy = noise_regions(np.random.default_rng(0), masks, 0.6)
    assert noisy.dtype == torch.bool and noisy.shape == masks.shape and not (noisy & masks).any()
    free = noise_regions(np.random.default_rng(0), torch.zeros_like(masks), 0.6)
    assert torch.equal(free & ~masks, noisy)  # what is drawn does not depend on the masks
    changed = free.flatten(1).any(1).float().mean()
    assert 0.25 < changed < 0.5  # half of them are drawn, and in some the noise stays below the level
    wide = noise_regions(np.random.default_rng(0), torch.zeros_like(masks), 0.2)
    assert not (free & ~wide).any() and wide.sum() > 2 * free.sum()  # a lower level: larger regions, the same noise


def test_flips_turn_anomalous_images_with_their_masks_and_leave_normal_ones():
    images = np.random.default_rng(0).integers(0, 256, (200, 4, 6, 3), np.uint8)
    masks = images[..., 0] > 128
    batch = Batch(images, images, masks, masks.astype(np.float32), ("normal", "blob") * 100)
    seen = flipped(np.random.default_rng(0), batch)
    ways = [lambda x: x, lambda x: x[::-1], lambda x: x[:, ::-1], lambda x: x[::-1, ::-1]]
    found = []
    for number, image in enumerate(images):
        matching = [k for k, turn in enumerate(ways) if np.array_equal(seen.images[number], turn(image))]
        found += matching if number % 2 else []
        assert len(matching) == 1 and (number % 2 or matching == [0])
        assert np.array_equal(seen.masks[number], seen.images[number][..., 0] > 128)
        assert np.array_equal(seen.normals[number], seen.images[number])
        assert np.array_equal(seen.soft_masks[number], seen.masks[number])
    assert np.bincount(found, minlength=4).min() > 10


def test_the_truncated_loss_is_the_mean_lack_of_margin_on_either_side():
    logits, masks = drawn(3, 1, 5, 4), drawn(3, 1, 5, 4, seed=1) > 0.5
    values, inside = logits.numpy(), masks.numpy()
    normal, anomalous = np.maximum(values[~inside] + 0.5, 0).mean(), np.maximum(0.5 - values[inside], 0).mean()
    assert float(truncated(logits, masks)) == pytest.approx(normal + anomalous, rel=1e-5)
    assert float(truncated(logits, masks & False)) == pytest.approx(np.maximum(values + 0.5, 0).mean(), rel=1e-5)


def test_the_focal_loss_is_its_formula():
    logits, wanted = drawn(50), drawn(50, seed=1) > 0
    right = 1 / (1 + np.exp(-logits.double().numpy() * np.where(wanted.numpy(), 1, -1)))
    assert float(focal(logits, wanted)) == pytest.approx(np.mean(-((1 - right) ** 4) * np.log(right)), rel=1e-4)


@pytest.mark.parametrize("deviation", [0.5, 2.0])
def test_maps_are_blurred_by_a_gaussian(deviation):
    x = drawn(2, 1, 40, 33)
    reach = int(np.ceil(3 * deviation))
    wanted = ndimage.gaussian_filter(
        x.numpy(), (0, 0, deviation, deviation), mode="mirror", radius=(0, 0, reach, reach)
    )
    np.testing.assert_allclose(blurred(x, deviation).numpy(), wanted, atol=1e-5)


# --- the network ------------------------------------------------------------------------------------------------------


def test_features_come_at_stride_four_each_with_its_neighbours():
    network = Network(Planted(), 8)
    image = torch.zeros(1, 3, 64, 48)
    image[:, :, 24:32, 16:24] = 1  # one place of stride 8: two by two places of stride 4
    with torch.no_grad():
        features = network.features(image)
    assert features.shape == (1, 3, 16, 12)
    fine = features[0, 0].numpy()
    assert fine.sum() == pytest.approx(4, rel=1e-5)  # enlarging doubles both sides, averaging keeps the sum
    assert np.unravel_index(fine.argmax(), fine.shape) in {(6, 4), (6, 5), (7, 4), (7, 5)}
    rows, columns = np.nonzero(fine)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 9, 2, 7)  # 1 by enlarging, 1 by averaging


def test_features_are_normalised_over_the_normal_images():
    normals = MadeTraining((48, 64, 3)).normals
    network = Network(Backbone(), 8)
    before = network.features(torch.from_numpy(np.stack(list(normals))).permute(0, 3, 1, 2) / 255)
    network.measure(list(normals))
    after = (before - network.centre) / network.spread
    assert after.mean((0, 2, 3)).abs().max() < 1e-3
    assert (after.std((0, 2, 3)) - 1).abs().max() < 1e-3


def test_the_papers_networks_have_the_papers_widths():
    paper = SuperSimpleNet(preset="paper")
    probe = timm.create_model(paper.backbone, pretrained=False, features_only=True)
    channels = dict(zip(probe.feature_info.reduction(), probe.feature_info.channels(), strict=True))
    planted = Planted()
    planted.channels = tuple(channels[stride] for stride in paper.strides)
    with torch.device("meta"):
        network = Network(planted, paper.width)
    c = 512 + 1024
    sizes = {
        "adapt": c * c + c,
        "mark": c * 1024 + 1024 + 2 * 1024 + 1024,
        "look": (c + 1) * 128 * 25 + 128 + 2 * 128,
        "judge": 2 * 128 + 2 + 1,
    }
    assert {name: sum(p.numel() for p in getattr(network, name).parameters()) for name in sizes} == sizes
    assert (paper.noise, paper.learning_rate, paper.batch_size, paper.normalise) == (0.015, 2e-4, 32, False)
    assert paper.steps * paper.batch_size == 300 * 256


def test_the_papers_two_forms_are_presets():
    """The settings of the authors' runs: with anomalies, and without any, as on MVTec AD."""
    keys = ("noise_level", "anomaly_ratio", "flips", "stop_gradient", "gradient_clip")
    forms = {name: SuperSimpleNet(preset=name) for name in ("paper", "paper-unsupervised")}
    assert [getattr(forms["paper"], key) for key in keys] == [0.6, None, True, False, 1.0]
    assert [getattr(forms["paper-unsupervised"], key) for key in keys] == [0.2, 0.0, False, True, None]
    assert len({form.noise for form in forms.values()} | {0.015}) == 1


@pytest.mark.parametrize(("changes", "taught"), [({}, True), ({"stop_gradient": True}, False)])
def test_judging_teaches_marking_unless_its_gradient_is_stopped(changes, taught, monkeypatch):
    monkeypatch.setattr("anomgen.score.detectors.supersimplenet.truncated", lambda logits, masks: 0.0)
    monkeypatch.setattr(
        "anomgen.score.detectors.supersimplenet.focal",
        lambda logits, wanted: logits.mean() if logits.ndim == 1 else 0 * logits.mean(),
    )
    gradients = []
    step = torch.optim.AdamW.step

    def noted(self, *args, **kwargs):
        heads = self.param_groups[1]["params"]
        gradients.append((float(heads[0].grad.abs().sum()), float(heads[-2].grad.abs().sum())))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    SuperSimpleNet(**{**TINY, "steps": 1}, **changes).fit(MadeTraining(), np.random.default_rng(0))
    ((marking, judging),) = gradients
    assert judging > 0 and (marking > 0) == taught


@pytest.mark.parametrize("limit", [1e-3, None])
def test_gradients_are_no_longer_than_the_limit(limit, monkeypatch):
    norms = []
    step = torch.optim.AdamW.step

    def noted(self, *args, **kwargs):
        parts = [p.grad.square().sum() for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.stack(parts).sum().sqrt()))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    detector = SuperSimpleNet(**{**TINY, "steps": 1}, gradient_clip=limit)
    detector.fit(MadeTraining(), np.random.default_rng(0))
    assert norms[0] < 1.001e-3 if limit else norms[0] > 1e-2


def test_the_adaptor_learns_at_half_the_heads_rate_which_falls_twice():
    seen = []
    step = torch.optim.AdamW.step

    def noted(self, *args, **kwargs):
        seen.append([group["lr"] for group in self.param_groups])
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", noted)
        SuperSimpleNet(**{**TINY, "steps": 10}, learning_rate=2e-3).fit(MadeTraining(), np.random.default_rng(0))
    adaptor, heads = np.array(seen).T
    np.testing.assert_allclose(heads, [2e-3] * 8 + [0.8e-3, 0.32e-3], rtol=1e-6)
    np.testing.assert_allclose(adaptor, heads / 2)


def test_only_what_is_no_backbone_is_trained():
    detector = SuperSimpleNet(**TINY)
    detector.fit(MadeTraining(), np.random.default_rng(0))
    frozen = Backbone().state_dict()
    assert all(torch.equal(detector._network.backbone.state_dict()[name], values) for name, values in frozen.items())


# --- the detector -----------------------------------------------------------------------------------------------------


class Counting(MadeTraining):
    """Notes the share of anomalous images that is asked for."""

    def batches(self, count, batch_size, anomaly_ratio=None, *, first=0):
        self.asked = anomaly_ratio
        return super().batches(count, batch_size, anomaly_ratio, first=first)


@pytest.mark.parametrize(
    ("settings", "asked", "shown"),
    [({}, None, 4), ({"noise": 0.0}, None, 2), ({"anomaly_ratio": 0.0}, 0.0, 4), ({"anomaly_ratio": 1.0}, 1.0, 4)],
)
def test_each_image_is_shown_twice_where_there_is_noise(settings, asked, shown, monkeypatch):
    sizes = []
    judged = Network.judged
    monkeypatch.setattr(Network, "judged", lambda self, x, marks: sizes.append(len(x)) or judged(self, x, marks))
    train = Counting()
    SuperSimpleNet(**TINY, **settings).fit(train, np.random.default_rng(0))
    assert train.asked == asked and sizes == [shown, shown]


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(RecipeError, match="both 0: no anomaly is left"):
        build_detector({"kind": "supersimplenet", "noise": 0, "anomaly_ratio": 0})


def test_it_learns_from_the_recipes_anomalies():
    assert told_apart(SuperSimpleNet(steps=40, batch_size=4, width=32)) > 0.8


@pytest.mark.slow
def test_noise_alone_tells_spots_it_has_never_seen():
    detector = SuperSimpleNet(steps=100, width=64, anomaly_ratio=0.0)
    detector.fit(Blobs(), np.random.default_rng(0))
    maps = detector.anomaly_maps(TEST.images)
    assert auroc(TEST.labels, reduce_maps(maps)) > 0.8
    assert auroc(TEST.masks.ravel(), maps.ravel()) > 0.8


def test_judged_maps_are_those_of_places_times_the_images_probability():
    plain = SuperSimpleNet(**TINY)
    plain.fit(MadeTraining(), np.random.default_rng(0))
    judged = SuperSimpleNet(**TINY, judged=True)
    judged.restore(plain.arrays())
    images = MadeTraining().test().images
    maps, network = plain.anomaly_maps(images), plain._network
    with torch.no_grad():
        features = network.adapted(tensor(images))
        shares = network.judged(features, network.mark(features)).sigmoid().numpy()
    np.testing.assert_allclose(judged.anomaly_maps(images), maps * shares[:, None, None], rtol=1e-4)
