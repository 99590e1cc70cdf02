"""Settings with which each kind of detector is fitted in a moment, and what one has learnt."""

SMALL = {
    "autoencoder": {"width": 4},
    "cutpaste": {"width": 4, "batch_size": 4},
    "cyclegan": {"width": 4, "blocks": 1, "discriminator_width": 4},
    "draem": {"width": 4, "segmentation_width": 4, "batch_size": 4},
    "none": {"candidates": 40},
    "nsa": {"width": 4, "batch_size": 4},
    "probe": {"width": 4, "batch_size": 2},
    "realnet": {"selected": [4, 4, 4], "ranked": 4, "head": [4, 4, 4, 4], "batch_size": 4, "selection_batches": 1},
    "supersimplenet": {"width": 8, "batch_size": 2},
    "unet": {"width": 4, "depth": 2, "batch_size": 4},
}


def told_apart(detector):
    """Fit a detector on images some of which have a bright disc; return how well its maps tell discs: an AUROC."""
    from anomgen.rng import Stream, rng_for
    from anomgen.score.detectors.conformance import MadeTraining, pixel_auroc

    train = MadeTraining()
    test = train.test()
    detector.fit(train, rng_for(0, Stream.TRAINING))
    return pixel_auroc(detector.anomaly_maps(test.images), test.masks)
