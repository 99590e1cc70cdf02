"""Small trainings of SDAS on bricks."""

import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from learned import TINY

from anomgen.models.sdas.noised import Category
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import train_sdas
from anomgen.sources.builtin import Builtin

torch.set_num_threads(1)


def brick(count=8, size=32, name="brick"):
    return Builtin(count=count, size=size, name=name).open()


def run(out, settings, categories=None, **options):
    chosen = categories or [Category("brick", brick())]
    return train_sdas(chosen, TrainSDAS(**{**TINY, **settings}), out, **options)
