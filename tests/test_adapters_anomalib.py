"""The augmenter for anomalib."""

import pytest
from online import ALWAYS, as_tensor, outside, recipe

torch = pytest.importorskip("torch", reason="the adapters are for torch")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("shape", [(3, 80, 72), (5, 3, 80, 72)])
def test_the_augmenter_keeps_shapes_and_the_pixels_outside_the_mask(shape):
    from anomgen.adapters.anomalib import Augmenter

    augment = Augmenter(recipe("perlin", overrides=ALWAYS))  # a grey source
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.45
    drawn, mask = augment(image)
    assert drawn.shape == image.shape and mask.shape == (*shape[:-3], 1, 80, 72)
    assert drawn.dtype == mask.dtype == torch.float32 and mask.flatten(-3).any(dim=-1).all()
    assert torch.equal(drawn * (1 - mask), image * (1 - mask)) and not torch.equal(drawn, image)
    assert not list(augment.parameters()) and not augment.state_dict()


def test_feeding_adds_anomalies_while_training_only():
    from anomgen.adapters.anomalib import IMAGENET_MEAN, IMAGENET_STD, Augmenter, load_anomalies

    class Model(torch.nn.Module):
        def forward(self, images, masks=None, labels=None):
            return images, masks, labels

    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    images = (torch.stack([as_tensor(outside(k)) for k in range(4)]) / 255 - mean) / std
    model = Model()
    handle = load_anomalies(model, Augmenter(recipe("cutpaste", overrides=["anomaly_ratio=0.5"])))
    torch.manual_seed(0)
    drawn, masks, labels = model(images=images, masks=None, labels=torch.tensor([0, 0, 0, 1]))
    assert labels[3] and 0 < masks.flatten(1).any(dim=1).sum() < 4
    assert masks.shape == (4, 80, 72)
    assert torch.allclose(drawn * (1 - masks[:, None]), images * (1 - masks[:, None]), atol=1e-5)
    marked = torch.zeros(4, 80, 72)
    marked[:, :3] = 1
    assert model(images=images, masks=marked, labels=None)[1][:, :3].all()
    model.eval()
    assert model(images=images)[0] is images
    handle.remove()
    assert model.train()(images=images)[0] is images


def test_glass_dsr_and_supersimplenet_learn_from_our_anomalies(monkeypatch):
    """anomalib's own networks, untrained, take what the augmenter draws; DRAEM trains in the page's example."""
    pytest.importorskip("anomalib", reason="the models are anomalib's")
    import timm
    from anomalib.models import Dsr
    from anomalib.models.image.glass.torch_model import GlassModel
    from anomalib.models.image.supersimplenet.torch_model import SupersimplenetModel

    from anomgen.adapters.anomalib import IMAGENET_MEAN, IMAGENET_STD, Augmenter, load_anomalies

    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *words, **options: create(*words, **options | {"pretrained": False})
    )
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    augment = Augmenter("nsa", size=128, overrides=ALWAYS)
    images = torch.rand(2, 3, 128, 128)
    glass = GlassModel(input_shape=(128, 128), backbone="resnet18", layers=["layer2", "layer3"], pre_trained=False)
    glass.augmentor = augment
    glass.center = torch.zeros(256, glass.calculate_features(images, images)[0].shape[-1])
    assert all(value.isfinite().all() for value in glass.train()((images - mean) / std)[:3])
    dsr = Dsr()
    dsr.perlin_generator = augment
    drawn, masks = dsr.perlin_generator(images)
    assert dsr.third_stage_loss(dsr.model.train()(drawn)["anomaly_map"], masks).isfinite()
    simple = SupersimplenetModel(backbone="resnet18").train()
    load_anomalies(simple, augment)
    scores = simple(images=(images - mean) / std, masks=None, labels=torch.zeros(2))
    assert scores[3].tolist() == [1, 1, 1, 1]  # it doubles the batch; without ours, half of it would be normal
