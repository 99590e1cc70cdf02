"""Small trainings of a Cycle-GAN, for tests."""

from anomgen.models.cyclegan.abnormal import Abnormal
from anomgen.sources.folder import Folder

SMALL = {"steps": 6, "width": 4, "blocks": 1, "discriminator_width": 4, "resolution": 32}


def sources(data, size=32, **options):
    """Return the normal images of a folder's `good` and the abnormal ones of its `bad`, opened."""
    normal = Folder(path=str(data / "good"), size=size, **options)
    return normal.open(), Abnormal.beside(str(data / "bad"), normal).open()
