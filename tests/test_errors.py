"""What is missing is named with the extra that brings it."""

import importlib
import sys

import pytest

from anomgen.errors import (
    AnomgenError,
    AnomgenNote,
    AnomgenWarning,
    MissingExtra,
    RecipeError,
    SourceError,
    UsageError,
    require,
)


@pytest.mark.parametrize(
    ("adapter", "library"),
    [
        ("torch", "torch"),
        ("torchvision", "torchvision"),
        ("albumentations", "albumentations"),
        ("anomalib", "torch"),
    ],
)
def test_an_adapter_without_its_library_names_the_extra(adapter, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"anomgen.adapters.{adapter}", raising=False)
    message = rf'anomgen\.adapters\.{adapter} needs {library}: pip install "\.\[adapters\]"'
    with pytest.raises(MissingExtra, match=message) as told:
        importlib.import_module(f"anomgen.adapters.{adapter}")
    assert isinstance(told.value, UsageError) and isinstance(told.value, ImportError)


def test_only_what_is_missing_is_named():
    require("hub", "this", "json", "pathlib")
    with pytest.raises(MissingExtra, match=r'^this needs no_such_a and no_such_b: pip install "\.\[hub\]"'):
        require("hub", "this", "json", "no_such_a", "no_such_b")


def test_a_folder_of_that_name_is_no_library(tmp_path, monkeypatch):
    (tmp_path / "some_pictures").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match="some_pictures"):
        require("hub", "this", "some_pictures")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://cdn.host/file?X-Amz-Signature=abc&e=1 failed", "GET https://cdn.host/file?… failed"),
        ("hf://datasets/me/x?token=s3cret", "hf://datasets/me/x?…"),
        ("ftp://user:pw@host/x", "ftp://…@host/x"),
        ("S3://key:pw@host", "S3://…@host"),
        ("token hf_abcdefghijklmnopqrstuvwxyz is wrong", "token <token> is wrong"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer <token>"),
        ("the secret of my own", "the <token>"),
        ("\x1b]0;gone\x07\x1b[2J", "\\x1b]0;gone\\x07\\x1b[2J"),
        ("a\x9b2J\r\u202eb", "a\\x9b2J\\r\\u202eb"),
        ("name\udcff.png", "name\\udcff.png"),
        ("größer: 5 × 3\n\tsecond line", "größer: 5 × 3\n\tsecond line"),
        ("me@host, a?b, C:/x?y", "me@host, a?b, C:/x?y"),
    ],
)
def test_messages_hold_nothing_secret_and_steer_no_terminal(monkeypatch, text, shown):
    monkeypatch.setenv("HF_TOKEN", "secret of my own")
    for kind in (AnomgenError, UsageError, SourceError, RecipeError, AnomgenWarning, AnomgenNote, MissingExtra):
        assert str(kind(text)) == shown
