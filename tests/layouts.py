"""Small data in the layouts of the field."""

import cv2
import numpy as np


def noise(seed, channels=3, shape=(40, 48), dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (*shape, channels)).astype(dtype)


def blob(value=255, shape=(40, 48), part=(slice(10, 30), slice(12, 36))):
    mask = np.zeros(shape, np.uint8)
    mask[part] = value
    return mask


def write(root, files):
    """Write images by name; a number stands for the noise of this seed."""
    for name, image in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), noise(image) if isinstance(image, int) else image)
    return root


def mvtec(
    root, *, train="train/good", good="test/good", bad="test/{}", masks="ground_truth/{}", ending="_mask", value=255
):
    """Write ten normal images for training, three for the test, and four anomalous ones of each of two types."""
    files = {f"{train}/{i:03d}.png": i for i in range(10)}
    files |= {f"{good}/{i:03d}.png": 20 + i for i in range(3)}
    for k, kind in enumerate(("crack", "hole")):
        for i in range(4):
            files[f"{bad.format(kind)}/{i:03d}.png"] = 40 + 10 * k + i
            files[f"{masks.format(kind)}/{i:03d}{ending}.png"] = blob(value)
    return write(root, files)


def visa(root, with_table=True):
    folder = root / "candle" / "Data"
    files = {f"Images/Normal/{i:04d}.JPG": i for i in range(10)}
    files |= {f"Images/Anomaly/{i:03d}.JPG": 20 + i for i in range(3)}
    write(folder, files | {f"Masks/Anomaly/{i:03d}.png": blob(i + 1) for i in range(3)})
    if with_table:
        rows = [
            f"candle,{'train' if i < 7 else 'test'},normal,candle/Data/Images/Normal/{i:04d}.JPG," for i in range(10)
        ]
        (root / "split_csv").mkdir()
        (root / "split_csv" / "1cls.csv").write_text("\n".join(["object,split,label,image,mask", *rows]))
    return root / "candle"


def plain(root, masks="masks", bad="bad"):
    files = {f"good/{i}.png": i for i in range(10)} | {f"{bad}/{i}.png": 20 + i for i in range(3)}
    return write(root, files | ({f"{masks}/{i}.png": blob() for i in range(3)} if masks else {}))


def remove(root, pattern):
    for file in root.glob(pattern):
        file.unlink()
