"""What is missing is named with the extra that brings it."""

import importlib
import sys
import time

import pytest

from anomgen.errors import (
    AnomgenError,
    AnomgenNote,
    AnomgenWarning,
    MissingExtra,
    RecipeError,
    SourceError,
    UsageError,
    lacks_memory,
    redacted,
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
        ("me@host, a?b, C:/x?y@z", "me@host, a?b, C:/x?y@z"),
        ("//u:s3cret@host/x (no 'u:s3cret@host' in //)", "//…@host/x (no '…@host' in //)"),
        ("smb:\\\\u:s3cret@host\\x", "smb:\\\\…@host\\x"),
        ("'smb:\\\\\\\\u:s3cret@host\\\\x'", "'smb:\\\\\\\\…@host\\\\x'"),
        # a Path has eaten a slash; a password holds what separates the parts of an address
        ("ftp:/user:s3cret@127.0.0.1:1/x", "ftp:/…@127.0.0.1:1/x"),
        ("ftp://user:s3@cret@host/x", "ftp://…@host/x"),
        ("ftp:/user:s3/c@ret@host/x", "ftp:/…@host/x"),
        ("ftp://user:s3?c#r'e\"t@host/x", "ftp://…@host/x"),
        ("sftp://user:s3 cret@host/x", "sftp://…@host/x"),
        ("ftp://me@corp:s3/cret@host/x", "ftp://…@host/x"),
        ("https://u:12/34@host/x", "https://…@host/x"),
        ("https://jane.doe:443/5@host/x", "https://…@host/x"),
        ("sftp:/u:8080?5@host/x", "sftp:/…@host/x"),
        ("zip://a.png::ftp://user:s3cret@host/a.zip", "zip://a.png::ftp://…@host/a.zip"),
        ("//user:s3cret@host/x", "//…@host/x"),
        ("https://host/x#access_token=s3cret", "https://host/x#…"),
        ("https://host/x;sig=s3cret", "https://host/x;sig=<token>"),
        # values by their name, wherever they stand
        ("X-Amz-Signature=s3cret&x=1", "X-Amz-Signature=<token>&x=1"),
        ("X-Amz-Signature%3Ds3cret", "X-Amz-Signature%3D<token>"),
        ("?sv=2020&sig=s3cret&key=s3cret", "?sv=2020&sig=<token>&key=<token>"),
        ('{"token": "s3cret", "n": 3}', '{"token": <token>, "n": 3}'),
        ("{'db_password': 's3 cret'}", "{'db_password': <token>}"),
        ("AccountKey=s3cret==;Endpoint=x", "AccountKey=<token>;Endpoint=x"),
        ("api-key: s3cret1234", "api-key: <token>"),
        ("Authorization: token s3cretabc", "Authorization: token <token>"),
        ("token_hf_abcdefghijklmnopqrstuvwxyz", "token_<token>"),
        ("hf%5Fabcdefghijklmnopqrstuvwxyz", "<token>"),
        ("AKIAIOSFODNN7EXAMPLE", "<token>"),
        ("at https%3A%2F%2Fuser%3Apw123%40host/x", "at https%3A%2F%2F…%40host/x"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl here", "got <token> here"),
        ("Authorization: dXNlcjpwdzEyMzQ=", "Authorization: <token>"),
        ("password: hunter2 was sent", "password: <token> was sent"),
        ("password: letmein", "password: <token>"),
        ("x-api-key: abcdefgh", "x-api-key: <token>"),
        ("glpat-abcdefghij_klmnop and sk-ant-api03-abcdefghij", "<token> and <token>"),
        ("sk-proj-abc123def456ghi789", "<token>"),
        ("http://host/x;jsessionid=0A1B2C?y", "http://host/x;jsessionid=<token>?…"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----\nend", "<token>\nend"),
    ],
)
def test_messages_hold_nothing_secret_and_steer_no_terminal(monkeypatch, text, shown):
    monkeypatch.setenv("HF_TOKEN", "secret of my own")
    for kind in (AnomgenError, UsageError, SourceError, RecipeError, AnomgenWarning, AnomgenNote, MissingExtra):
        assert str(kind(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "hf://datasets/me/x@main/data: is not there",
        "http://localhost:8080/a@b/c: refused, ask me@host",
        "http://127.0.0.1:8080/a@b/c, http://[::1]:8080/a@b/c",
        "https://host:8080/a/c: refused, ask me@host",
        '{"url":"https://host:8080/a","by":"me@host"}',
        "s3://bucket/key: no such bucket; write to me@host",
        "https://host.org/page#a-section",
        "cannot read sftp://host:22 as me@host",
        "generator.key: unknown key; did you mean 'kind'?",
        "--set key: write it as key=value, for instance --set generator.key=4",
        "token: is missing, password must be given, signature (3, 4) differs, secret: none",
        "no token for the Hub: log in with `hf auth login`, or set HF_TOKEN to a token that may write",
        "password: see the docs; the --token: a text; risk-averse and sk-learn, --BEGIN",
        "sigma=3, design=4, monkey=5, tokens=7, max_tokens: 77",
        "basic settings, bearer something, the authorization failed",
        "signature: f(x, *, seed=0) of mask_signature.png",
    ],
)
def test_ordinary_messages_stay_as_they_are(text):
    assert str(AnomgenError(text)) == text


def test_what_a_server_sends_is_read_in_time():
    """Law: no text makes the search for secrets quadratic; a second a megabyte is far above what it takes."""
    for part in (
        "a.",
        "a_",
        "a:/",
        "ftp://a:",
        "ftp://",
        "aa://a?",
        "//a:",
        "sig=",
        "basic ",
        "ftp://u:x ",
        "ftp://u:1/",
        "%3A%2F%2F",
        "%3A%2F%2Fa%2",
        "eyJabcdefgh.",
        "-----BEGIN PRIVATE KEY-----",
        "token_",
        "sk-",
    ):
        started = time.thread_time()
        redacted(part * (50_000 // len(part)))
        assert time.thread_time() - started < 4, part


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), True),
        (ImportError("libx.so: cannot create shared object descriptor: Cannot allocate memory"), True),
        (ImportError("libx.so.1: cannot open shared object file: No such file or directory"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_known_in_each_library_s_words(error, told):
    assert lacks_memory(error) == told


def test_of_many_problems_the_first_ten_are_listed():
    error = RecipeError([(f"k{number}", "unknown key") for number in range(30)], name="mine.yaml", more=400)
    lines = str(error).splitlines()
    assert lines[0] == "mine.yaml: 430 problems" and lines[10:] == ["  k9: unknown key", "  and 420 more"]
    inner = str(error.inside("generator").named("other"))
    assert inner.startswith("mine.yaml: 430 problems\n  generator.k0: ") and inner.endswith("and 420 more")
    assert error.first == "430 problems, the first is k0: unknown key"


def test_a_recipe_of_nonsense_is_told_shortly():
    from anomgen.making.recipe import parse_recipe

    values = {"name": "x", "source": {f"s{k}": 1 for k in range(2000)}, **{f"k{k}": 1 for k in range(5000)}}
    values["source"]["kind"] = "builtin"
    with pytest.raises(RecipeError, match=r"^mine: 70\d\d problems\n") as error:
        parse_recipe(values, "mine")
    assert len(str(error.value).splitlines()) == 12
