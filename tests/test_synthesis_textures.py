"""Texture sources give textures of the image's shape and depth, pure in rng; what is missing is named early."""

import json
import sys
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomgen.errors import RecipeError, SourceError, UsageError
from anomgen.rng import Stream, rng_for
from anomgen.sources.pixels import to_depth
from anomgen.synthesis import textures
from anomgen.synthesis.fields import value_noise
from anomgen.synthesis.procedural import DEFAULT_FAMILIES
from anomgen.synthesis.textures import FolderTextures, ProceduralTextures, build_textures


def rng(index=0):
    return rng_for(9, Stream.SAMPLE, index)


@pytest.fixture
def folder(tmp_path):
    """A folder of three textures: colour, grey and 16 bits, two of them in a subfolder."""
    (tmp_path / "rough").mkdir()
    noise = rng().integers(0, 256, (50, 40, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    cv2.imwrite(str(tmp_path / "rough" / "b.png"), noise[..., 0])
    cv2.imwrite(str(tmp_path / "rough" / "c.png"), noise.astype(np.uint16) * 257)
    (tmp_path / "readme.txt").write_text("no picture")
    return tmp_path


@settings(max_examples=40, deadline=None)
@given(
    st.integers(16, 120),
    st.integers(16, 120),
    st.sampled_from([1, 3]),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(0, 10**6),
)
def test_procedural_textures_of_any_shape(height, width, channels, dtype, index):
    source = ProceduralTextures(bank_size=5)
    texture = source.texture(rng(index), (height, width, channels), dtype)
    assert texture.shape == (height, width, channels) and texture.dtype == dtype
    np.testing.assert_array_equal(texture, source.texture(rng(index), (height, width, channels), dtype))


def test_a_texture_does_not_depend_on_what_was_drawn_before():
    shape = (48, 64, 3)
    first = [ProceduralTextures(bank_seed=1).texture(rng(k), shape) for k in range(10)]
    textures._bank.cache_clear()
    for k in reversed(range(10)):
        np.testing.assert_array_equal(ProceduralTextures(bank_seed=1).texture(rng(k), shape), first[k])


def test_procedural_textures_vary_more_than_the_bank():
    drawn = [ProceduralTextures(bank_size=1).texture(rng(k), (40, 40, 3)) for k in range(20)]
    assert len({texture.tobytes() for texture in drawn}) > 15


def test_families_are_equally_frequent():
    counts = Counter(ProceduralTextures().draw(rng(k), (16, 16, 3))[1].split("/")[0] for k in range(1600))
    assert set(counts) == set(DEFAULT_FAMILIES)
    assert min(counts.values()) > 60 and max(counts.values()) < 145


def test_chosen_families():
    source = ProceduralTextures(families=("weave", "dots"))
    assert {source.draw(rng(k), (32, 32, 3))[1].split("/")[0] for k in range(20)} == {"weave", "dots"}


def test_large_images_enlarge_a_texture_of_bounded_size():
    source = ProceduralTextures(resolution=64, families=("clouds",))
    texture = source.texture(rng(), (300, 200, 3))
    assert texture.shape == (300, 200, 3)
    kept = list(textures._bank(source)._kept)
    assert kept and max(max(key[1:]) for key in kept) <= 80


def test_depth_and_grey():
    source = ProceduralTextures(bank_size=4)
    colour = source.texture(rng(1), (40, 50, 3))
    np.testing.assert_array_equal(source.texture(rng(1), (40, 50, 3), np.uint16), colour.astype(np.uint16) * 257)
    grey = source.texture(rng(1), (40, 50, 1))
    np.testing.assert_array_equal(grey[..., 0], cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY))
    assert to_depth(colour, np.dtype(np.uint8)) is colour


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(textures, "CACHE_BYTES", 100_000)
    source = ProceduralTextures(bank_seed=77)
    for k in range(30):
        source.draw(rng(k), (40 + k, 50, 3))
    kept = textures._bank(source)._kept
    assert len(kept) > 1 and sum(texture.nbytes for texture in kept.values()) <= 100_000


def test_kept_textures_cannot_be_written_to(folder):
    for source in (ProceduralTextures(), FolderTextures(path=str(folder))):
        source.draw(rng(), (40, 40, 3))
        assert all(not texture.flags.writeable for texture in textures._bank(source)._kept.values())


# Folders.


def test_textures_from_a_folder(folder):
    source = FolderTextures(path=str(folder))
    source.check((30, 60, 3))
    names = set()
    for k in range(30):
        texture, name = source.draw(rng(k), (30, 60, 3))
        assert texture.shape == (30, 60, 3) and texture.dtype == np.uint8
        names.add(name)
    assert names == {"a.png", "rough/b.png", "rough/c.png"}
    assert source.texture(rng(), (30, 60, 1), np.uint16).shape == (30, 60, 1)


def test_the_three_depths_of_a_picture_agree(folder):
    source = FolderTextures(path=str(folder))
    by_name = {name: texture for texture, name in (source.draw(rng(k), (50, 40, 3)) for k in range(30))}
    stored = cv2.imread(str(folder / "a.png"))[..., ::-1]
    np.testing.assert_array_equal(by_name["a.png"], stored)
    np.testing.assert_array_equal(by_name["rough/c.png"], stored)
    np.testing.assert_array_equal(by_name["rough/b.png"], np.repeat(stored[..., 2:], 3, axis=2))


def test_a_missing_folder_is_an_error_at_once(tmp_path):
    (tmp_path / "textures").mkdir()
    with pytest.raises(UsageError, match=r"texture\.path.*no such folder.*did you mean 'textures'"):
        FolderTextures(path=str(tmp_path / "texturs")).check()
    with pytest.raises(UsageError, match="holds no image"):
        FolderTextures(path=str(tmp_path / "textures")).check()
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(UsageError, match="it is a file"):
        FolderTextures(path=str(tmp_path / "file.png")).check()


@pytest.mark.parametrize("shape", [None, (32, 32, 3)])
def test_a_damaged_picture_is_named_before_the_run(folder, shape):
    whole = (folder / "a.png").read_bytes()
    (folder / "rough" / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"texture rough/cut\.png.*damaged or truncated"):
        FolderTextures(path=str(folder)).check(shape)


def test_no_path_of_the_machine_is_written(folder):
    assert FolderTextures(path=str(folder)).portable().path == folder.name
    assert ProceduralTextures().portable() == ProceduralTextures()


# Hugging Face datasets.


def test_textures_from_a_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    pictures = [Image.fromarray(rng(k).integers(0, 256, (40, 40, 3), dtype=np.uint8)) for k in range(3)]
    rows = datasets.Dataset.from_dict({"image": pictures, "label": [0, 1, 2]})
    rows.cast_column("image", datasets.Image()).save_to_disk(str(tmp_path / "set"))
    source = build_textures({"kind": "hub", "path": str(tmp_path / "set")})
    source.check((32, 48, 3))
    drawn = [source.draw(rng(k), (32, 48, 3)) for k in range(20)]
    assert {name for _, name in drawn} == {"train/000000", "train/000001", "train/000002"}
    assert all(texture.shape == (32, 48, 3) for texture, _ in drawn)
    assert source.portable().path == "set"


def test_a_missing_dataset_is_an_error_at_once(tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(UsageError, match=r"texture: .*there is no such folder"):
        build_textures({"kind": "hub", "path": str(tmp_path / "gone")}).check()


# Configuration.


def test_configurations_round_trip(folder):
    for source in (
        ProceduralTextures(families=("wood",), bank_size=7, bank_seed=3),
        FolderTextures(path=str(folder)),
        textures.HubTextures(path="owner/name", split="train"),
    ):
        again = build_textures(json.loads(json.dumps(source.model_dump(mode="json"))))
        assert again == source and hash(again) == hash(source)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "foldr", "path": "x"}, r"kind: unknown kind 'foldr'; did you mean 'folder'"),
        ({"families": ["cloud"]}, "did you mean 'clouds'"),
        ("procedural", "mapping with a `kind`"),
        ({"kind": "folder"}, "path: is missing"),
        ({"kind": "folder", "path": "x", "siez": 3}, "siez: unknown key"),
        ({"kind": "procedural", "families": ["wod"]}, "families.*unknown family 'wod'; did you mean 'wood'"),
        ({"kind": "procedural", "families": []}, "families"),
        ({"kind": "procedural", "bank_size": 0}, "bank_size"),
    ],
)
def test_faults_are_named(values, message):
    with pytest.raises(RecipeError, match=message):
        build_textures(values)


def test_simplex_without_its_package_is_an_error_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "noise", None)
    source = ProceduralTextures(families=("wood", "simplex"))
    with pytest.raises(UsageError, match=r'pip install "\.\[noise\]"'):
        source.check((32, 32, 3))


def test_simplex():
    pytest.importorskip("noise")
    source = ProceduralTextures(families=("simplex",), bank_size=2)
    source.check()
    assert source.texture(rng(), (40, 56, 3)).std() > 5


@pytest.mark.parametrize("shape", [(16, 16384), (2, 16384), (16384, 1)])
def test_noise_is_as_long_and_narrow_as_it_is_asked_for(shape):
    noise = value_noise(rng(), shape, cells=4, stretch=8)
    assert noise.shape == shape and np.isfinite(noise).all() and np.ptp(noise) > 0.1
