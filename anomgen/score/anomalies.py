"""Anomalies that are there before the training: a finished dataset's, real ones, those a slow generator drew."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from anomgen.dataset.normals import NormalImages
from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.dataset.row import ANOMALY, Row
from anomgen.errors import AnomgenError
from anomgen.files import replacing
from anomgen.making.engine import Plan, Renderer
from anomgen.making.threads import single_threaded
from anomgen.rng import Stream, rng_for
from anomgen.score.data import RealData, TestImages
from anomgen.score.decoded import resized_mask
from anomgen.score.entries import Entry
from anomgen.sources.base import Source
from anomgen.sources.images import fit_image
from anomgen.sources.pixels import to_channels, value_max
from anomgen.sources.pool import Pool
from anomgen.sources.value_range import stretched

HELD_OUT = 0.2
"""Share of the anomalies that goes to validation."""
INPAINTING = 5
"""Pixels around a hole that its filling looks at."""
SAME = 3 / 255
"""Share of the value range that copies of one image may be apart when they were resized in different ways."""
MARGIN = 3
"""Pixels around a mask into which resizing spreads it."""
SEEN = 256
"""Pixels that are compared first; only images that agree there are compared wholly."""


class Anomalies(NamedTuple):
    """Anomalous rows to train on, and others for validation."""

    training: list[Row]
    validation: list[Row]


def anomalies_of(data: RealData, entry: Entry) -> Anomalies:
    """Return the anomalous rows of a dataset or of the real images held out.

    Rows that were made of a validation image validate; where there are none, `HELD_OUT` of all rows, drawn at random.
    Raises AnomgenError when a side is empty, or when a row was made of a test image.
    """
    if entry.kind == "real":
        assert data.real is not None
        found = parted(_real_rows(data.real), [], entry.recipe)
        return found._replace(training=found.training[: entry.abnormal])
    assert entry.dataset is not None
    return parted(*_dataset_rows(Dataset(entry.dataset), data), entry.name)


def parted(rows: Sequence[Row], held: Sequence[Row], name: str) -> Anomalies:
    """Return rows as both parts, in a fixed random order; `held` are for validation already."""
    if len(rows) < 2 - bool(held):
        raise AnomgenError(
            f"{name}: has {len(rows) + len(held)} anomalous images to train on and to choose thresholds "
            "with; at least one for each is needed"
        )
    mixed = [rows[k] for k in rng_for(0, Stream.ORDER).permutation(len(rows))]
    cut = 0 if held else max(1, round(len(rows) * HELD_OUT))
    return Anomalies(mixed[cut:], [*held, *mixed[:cut]])


def _dataset_rows(dataset: Dataset, data: RealData) -> tuple[list[Row], list[Row]]:
    """Return a finished dataset's anomalous rows at the size of the data: of other images, of validation images.

    Where the normal image of a row is neither in the dataset nor among the training images, the row's own stands in,
    the masked region filled in from around it.
    """
    shape = data.train[0].shape
    rows: list[Row] = []
    held: list[Row] = []
    normals = NormalImages(dataset, Pool(data.train))
    validation = np.stack([data.validation[k] for k in range(len(data.validation))])
    for record in dataset.records():
        if not record.is_anomalous:
            continue
        image = _fitted(stretched(record.image_pixels, dataset.value_range), shape)
        mask = resized_mask(record.mask_pixels, shape[:2])
        normal = _normal_of(record, normals)
        seen, hidden = (image, mask) if normal is None else (_fitted(normal, shape), np.zeros_like(mask))
        tested = shown(seen, hidden, data.test.images)
        if tested is not None:
            raise AnomgenError(
                f"{dataset.path}: row {record.index} was made of {record.source_id}, which is the test image "
                f"{data.test.ids[tested]}; make the dataset of the training images only"
            )
        if mask.any():
            row = _row(record, filled(image, mask) if normal is None else seen, image, mask)
            (rows if shown(seen, hidden, validation) is None else held).append(row)
    return rows, held


def _normal_of(record: Record, normals: NormalImages) -> np.ndarray | None:
    """Return the normal image that a row was made of, in the dataset's whole depth, or None."""
    own = normals.in_dataset(record.source_id, record.normal_pixels)
    return normals.in_pool(record.source_id) if own is None else stretched(own, normals.dataset.value_range)


def _row(record: Record, normal: np.ndarray, image: np.ndarray, mask: np.ndarray) -> Row:
    """Return an anomalous row of the dataset with its images at the size of the data."""
    soft, size = record.soft_mask_pixels, image.shape[1::-1]
    graded = None if soft is None else cv2.resize(soft, size, interpolation=cv2.INTER_AREA) * mask
    kind = record.defect_type
    return Row(record.index, record.seed, 0, record.source_id, normal, image, mask, graded, ANOMALY, kind, {})


def shown(image: np.ndarray, mask: np.ndarray, known: np.ndarray) -> int | None:
    """Return which of the images `known` (N, H, W, C) an image (H, W, C) shows outside its mask (H, W); None: none.

    An image that is flat outside its mask cannot be told, and shows none.
    """
    spread = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    kept = np.flatnonzero(cv2.dilate(mask.astype(np.uint8), spread) == 0)
    limit = SAME * value_max(image.dtype)
    pixels = image.reshape(-1, image.shape[2]).astype(np.int32)[kept]
    if not len(kept) or np.ptp(pixels) <= 4 * limit:
        return None
    flat = known.reshape(len(known), -1, image.shape[2])
    some = slice(None, None, max(1, len(kept) // SEEN))
    alike = (np.abs(flat[:, kept[some]] - pixels[some]) <= limit).all(axis=(1, 2))
    return next((int(k) for k in np.flatnonzero(alike) if (np.abs(flat[k, kept] - pixels) <= limit).all()), None)


def _fitted(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    found = fit_image(image, (shape[0], shape[1]), "stretch")
    found = to_channels(found, max(found.shape[2], shape[2]))
    if found.shape != shape:
        raise AnomgenError(f"the dataset's images have {found.shape[2]} channels, the data's {shape[2]}; make it anew")
    return found


def _real_rows(real: TestImages) -> list[Row]:
    """Return real anomalies as training rows.

    Note: nobody knows the normal image behind a real anomaly. Detectors that reconstruct it (draem, realnet) get the
    masked region filled in from around it. Without masks the whole image is anomalous, and stands for its normal
    image, too.
    """
    shape = real.images.shape[:3]
    masks = np.ones(shape, bool) if real.masks is None else real.masks
    normals = (real.images[k] if real.masks is None else filled(real.images[k], masks[k]) for k in range(shape[0]))
    return [
        Row(k, 0, 0, real.ids[k], normal, real.images[k], mask, None, ANOMALY, real.defect_types[k], {})
        for k, (normal, mask) in enumerate(zip(normals, masks, strict=True))
        if mask.any()
    ]


def filled(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the image with the masked region filled in from around it (Telea, J. Graphics Tools 2004).

    Note: scikit-image's inpaint_biharmonic is no nearer to what was there: on discs of radius 4, 10, 20 and 40 in four
    of its photographs at 256×256, a mean error of 9.8, 21.4, 25.8 and 36.3 of 255 in 8 to 31 ms of one core, against
    10.5, 20.7, 25.0 and 31.4 in 1 to 8 ms.
    """
    holes = mask.astype(np.uint8)
    planes = [
        cv2.inpaint(np.ascontiguousarray(image[..., c]), holes, INPAINTING, cv2.INPAINT_TELEA)
        for c in range(image.shape[2])
    ]
    return np.stack(planes, axis=2)


# --- drawn before -----------------------------------------------------------------------------------------------------


def draw_anomalies(plan: Plan, validation: Source, path: Path, count: int) -> None:
    """Draw `count` anomalies, as many as a slow generator can afford, and write them to one file.

    `HELD_OUT` of them are made of the validation images, for choosing thresholds.
    """
    held = max(1, round(count * HELD_OUT))
    rows = [
        *_anomalous(plan, range(count - held)),
        *_anomalous(replace(plan, source=validation), range(count, count + held)),
    ]
    graded = [row.soft_mask for row in rows if row.soft_mask is not None]
    with replacing(path) as file:
        np.savez_compressed(
            file,
            images=np.stack([row.image for row in rows]),
            normals=np.stack([row.normal for row in rows]),
            masks=np.stack([row.mask for row in rows]),
            soft_masks=np.stack(graded) if len(graded) == len(rows) else np.zeros(0, np.float32),
            defect_types=np.array([row.defect_type for row in rows]),
            held=np.array(held),
        )


def _anomalous(plan: Plan, indices: range) -> list[Row]:
    renderer, size = Renderer(replace(plan, recipe=plan.recipe.model_copy(update={"anomaly_ratio": 1.0}))), 16
    with single_threaded():
        return [
            row
            for start in range(indices.start, indices.stop, size)
            for row in renderer.block(range(start, min(start + size, indices.stop)))
        ]


def load_anomalies(path: Path) -> Anomalies:
    """Return what `draw_anomalies` wrote. Raises AnomgenError for a damaged file."""
    try:
        with np.load(path) as stored:
            images, normals, masks, graded = (stored[name] for name in ("images", "normals", "masks", "soft_masks"))
            types, held = stored["defect_types"], int(stored["held"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise AnomgenError(f"{path}: is damaged ({error}); remove it, then --retry draws it anew") from error
    soft: Sequence[np.ndarray | None] = graded if graded.size else [None] * len(masks)
    columns = zip(images, normals, masks, soft, types, strict=True)
    rows = [
        Row(k, 0, 0, "", normal, image, mask, soft_mask, ANOMALY, str(name), {})
        for k, (image, normal, mask, soft_mask, name) in enumerate(columns)
    ]
    return Anomalies(rows[: len(rows) - held], rows[len(rows) - held :])
