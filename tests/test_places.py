"""Datasets at URLs: written and read through fsspec, the same bytes as in a folder."""

import errno
import hashlib
import importlib.util
import os
import uuid
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="URLs need fsspec, which the extras `hub` and `ray` bring")
pytest.importorskip("upath", reason="the same extras bring universal_pathlib")

from small import digests, recipe, run

from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenError, UsageError
from anomgen.making.check import check_dataset
from anomgen.making.make import make, plan_of
from anomgen.making.replay import replay
from anomgen.places import Remote, _said, is_url, local, place, read_within, temporary_folder


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}/out"


def stored(url):
    fs, path = fsspec.core.url_to_fs(url)
    found = sorted(fs.find(path))
    return {name.removeprefix(f"{path}/"): hashlib.sha256(fs.cat_file(name)).hexdigest() for name in found}


def test_a_dataset_at_a_url_is_the_one_in_a_folder(url, tmp_path):
    make(recipe(), tmp_path / "out")
    result = make(recipe(), url)
    assert str(result.path) == url and stored(url) == digests(tmp_path / "out")
    dataset = Dataset(url)
    assert len(dataset) == 96 and check_dataset(dataset, None).ok and replay(dataset, 5).identical


def test_nothing_at_a_url_is_overwritten_or_mixed(url):
    make(recipe(), url)
    whole = stored(url)
    with pytest.raises(UsageError, match="holds a finished dataset"):
        make(recipe(), url)
    with pytest.raises(UsageError, match=r"another recipe \(different: seed\)"):
        make(recipe(seed=4), url, resume=True)
    fs, path = fsspec.core.url_to_fs(url)
    fs.rm_file(f"{path}/data/train-00001-of-00003.parquet")
    assert make(recipe(), url, resume=True).made == 32
    assert stored(url) == whole
    make(recipe(count=32), url, overwrite=True)
    assert len(Dataset(url)) == 32
    fs.pipe_file(f"{path}-other/notes.txt", b"mine")
    with pytest.raises(UsageError, match="holds other files"):
        make(recipe(), f"{url}-other", overwrite=True)


def test_parts_of_an_array_job_meet_at_a_url(url, tmp_path):
    make(recipe(), tmp_path / "out")
    for part in ("2/2", "1/2"):
        make(recipe(), url, shard=part)
    make(recipe(), url, finish=True)
    assert stored(url) == digests(tmp_path / "out")


def test_two_workers_write_to_a_url(tmp_path):
    make(recipe(), tmp_path / "out")
    make(recipe(), f"local://{tmp_path.as_posix()}/url", workers=2)
    assert digests(tmp_path / "url") == digests(tmp_path / "out")


def test_a_dry_run_at_a_url_writes_nothing(url):
    assert plan_of(recipe(), place(url))["megabytes_free"] is None
    assert stored(url) == {}


def test_an_upload_that_fails_names_the_file_and_leaves_a_resumable_run(url, monkeypatch):
    fs = fsspec.filesystem("memory")
    put, calls = type(fs).put_file, []

    def failing(self, local, remote, **options):
        calls.append(remote)
        if remote.endswith("00001-of-00003.parquet"):
            raise ConnectionError("cut off")
        return put(self, local, remote, **options)

    monkeypatch.setattr(type(fs), "put_file", failing)
    with pytest.raises(AnomgenError, match=r"train-00001-of-00003\.parquet: ConnectionError: cut off"):
        make(recipe(), url)
    monkeypatch.setattr(type(fs), "put_file", put)
    assert make(recipe(), url, resume=True).made == 64


@pytest.mark.parametrize("ask", ["exists", "is_dir", "is_file"])
def test_a_lost_connection_is_an_error_and_no_empty_place(url, monkeypatch, ask):
    """Law: only what the file system says is not there counts as free to write to."""
    make(recipe(count=8), url)
    kept = (place(url).exists(), place(url).is_dir(), (place(url) / "README.md").is_file())
    assert kept == (True, True, True) and not (place(url) / "README.md" / "x").exists()

    def cut_off(*_arguments, **_options):
        raise ConnectionError("cut off")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "info", cut_off)
    with pytest.raises(AnomgenError, match=f"{url}: ConnectionError: cut off"):
        getattr(place(url), ask)()
    with pytest.raises(AnomgenError, match="ConnectionError: cut off"):
        make(recipe(count=8), url)


def test_paths_stay_paths_and_urls_become_places(tmp_path):
    assert place(tmp_path) == tmp_path and place("a/b") == Path("a/b") and place("C:/x") == Path("C:/x")
    assert place(f"file://{tmp_path}") == tmp_path
    there = place("memory://bucket/a/b.yaml/")
    assert isinstance(there, Remote) and place(there) is there
    assert (there.name, there.suffix, str(there.parent / "c")) == ("b.yaml", ".yaml", "memory://bucket/a/c")


def test_a_url_is_said_as_it_was_given():
    """Law: host, port and user stay in the text, which a command is told again; a folder's brackets are no pattern."""
    pytest.importorskip("requests", reason="webhdfs needs it")
    where = place("webhdfs://me@host:9870/a[1]/out/") / "data" / "train-1.parquet"
    assert str(where) == "webhdfs://me@host:9870/a[1]/out/data/train-1.parquet"
    there = place(f"memory://{uuid.uuid4().hex}/a[1]")
    fs, path = fsspec.core.url_to_fs(str(there))
    fs.pipe_file(f"{path}/x-1.txt", b"12345")
    fs.pipe_file(f"{path}/y.txt", b"")
    assert list(there.glob("x-*.txt")) == [there / "x-1.txt"] and (there / "x-1.txt").stat().st_size == 5
    assert list((there / "none").iterdir()) == [] and list((there / "y.txt").iterdir()) == []


def test_a_url_that_lacks_what_its_scheme_needs_is_refused():
    with pytest.raises(UsageError, match=r"reference://x: .*missing 1 required"):
        place("reference://x")


def test_a_url_is_told_from_a_path():
    for url in ("s3://a/b", "hf://datasets/me/x", "simplecache::s3://a", Path("s3://a/b"), "file:///a"):
        assert is_url(url), url
    for path in ("a/b", "C:/a", "C:\\a", "/a:b/c", "a", Path("C:/a")):
        assert not is_url(path), path


def test_a_scheme_whose_package_is_missing_names_it():
    packages = {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs", "oci": "ocifs", "dropbox": "dropbox"}
    missing = [scheme for scheme, package in packages.items() if importlib.util.find_spec(package) is None]
    if not missing:
        pytest.skip("all of these packages are installed")
    for scheme in missing:
        with pytest.raises(UsageError, match=packages[scheme]):
            place(f"{scheme}://bucket/out")


def test_an_unknown_scheme_says_what_was_probably_meant():
    with pytest.raises(UsageError, match="did you mean 'memory'"):
        place("memry://bucket/out")
    with pytest.raises(UsageError, match=r"no file system is known for foo://; known are s3, gs, ") as error:
        place("foo://x/y")
    assert "did you mean" not in str(error.value)


def test_the_command_line_prints_what_loads_a_url_and_refuses_what_would_be_lost(tmp_path):
    datasets = pytest.importorskip("datasets")
    command = ["make", "-r", "scar", "-n", "8", "--size", "48", "-o"]
    line = run(*command, f"local://{tmp_path.as_posix()}/out")[0].split("load:  ")[1].strip()
    assert line == f'datasets.load_dataset("parquet", data_files="local://{tmp_path.as_posix()}/out/data/*.parquet")'
    loaded = datasets.load_dataset("parquet", data_files=line.split('"')[3], cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == 8 and loaded["train"][1]["image"].size == (48, 48)
    assert "memory://out: is lost when the command ends" in run(*command, "memory://out", code=2)[1]


def test_a_dataset_is_written_to_a_repository_of_the_hub(hub, tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    from hub_fixtures import TOKEN

    huggingface_hub.HfApi(endpoint=hub.url, token=TOKEN).create_repo("me/made", repo_type="dataset")
    make(recipe(), tmp_path / "out")
    make(recipe(), "hf://datasets/me/made/out")
    assert stored("hf://datasets/me/made/out") == digests(tmp_path / "out")


def test_the_home_folder_is_meant_by_a_tilde(monkeypatch, tmp_path):
    """The shell leaves it alone after ``--out=``; a folder called ~ would be a trap."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert place("~/data") == tmp_path / "data" and place("a~b") == Path("a~b")
    with pytest.raises(UsageError, match="write the folder's full path"):
        place("~nobody-of-this-name/data")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
@pytest.mark.parametrize("name", ["-", "", " "])
def test_what_names_no_file_is_refused_as_an_output(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for read in (place, local):
        with pytest.raises(UsageError, match="is no path: give the name of a file or folder"):
            read(name)
    _, errors = run("make", "-n", "2", "-o", name, code=2)
    assert f"{name!r} is no path" in errors and not list(tmp_path.iterdir())
    assert place("./-") == local(Path("-")) == Path("-")


def test_an_output_below_a_file_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr("anomgen.making.engine.Plan.of", None)
    (tmp_path / "file").write_bytes(b"mine")
    assert local(tmp_path / "file") == tmp_path / "file" and local(tmp_path / "new" / "x") == tmp_path / "new" / "x"
    for out in (tmp_path / "file" / "x", tmp_path / "file" / "inner" / "x"):
        for words in (("preview", "-o", f"{out}.png"), ("tune", "builtin", "-o", f"{out}.yaml")):
            _, errors = run(*words, code=2)
            assert f"{out}" in errors and f"{tmp_path / 'file'} is a file, and no folder; choose another" in errors


def test_only_regular_files_of_bounded_size_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    assert read_within(tmp_path / "file", 5) == read_within(tmp_path / "link", 5) == b"12345"
    for name, fault in (
        ("zero", "a device or a pipe"),
        ("pipe", "a device or a pipe"),
        (".", "a folder"),
        ("none", "No such file"),
    ):
        with pytest.raises(OSError, match=fault):
            read_within(tmp_path / name, 5)
    with pytest.raises(OSError, match="holds more than"):
        read_within(tmp_path / "file", 4)
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 5 << 30)
    with pytest.raises(OSError, match=r"holds more than 4\.29 GB, too much"):
        read_within(tmp_path / "large", 4 << 30)


def test_reading_a_file_takes_the_memory_of_its_size(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_within(tmp_path / "file", 1 << 60) == b"12345"
    status = Path("/proc/self/status")  # says that it is empty
    if status.exists():
        assert b"Name:" in read_within(status, 1 << 30)
        with pytest.raises(OSError, match="holds more than"):
            read_within(status, 10)


def test_temporary_files_that_cannot_be_written_are_told(tmp_path, monkeypatch):
    """Law: neither the file that is wanted nor standard output is blamed for a full disk of temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with (
        pytest.raises(AnomgenError, match=r"temporary files cannot be written .*name a folder in TMPDIR"),
        temporary_folder(),
    ):
        pass
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(AnomgenError, match=r"temporary files cannot be written \(No space left on device\)"),
        temporary_folder(),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="elsewhere"), temporary_folder():
        raise OSError(errno.ENOSPC, "No space left on device", "elsewhere")
    assert not list(tmp_path.iterdir())


def test_a_file_for_a_url_that_finds_no_room_here_is_told(url, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(AnomgenError, match="temporary files cannot be written"):
        make(recipe(count=4), url)


@pytest.mark.parametrize("scheme", ["ftp", "zip://a.png::ftp"])
@pytest.mark.parametrize("login", ["me:s3c/ret", "me:s3c?ret", "me:s3c#ret"])
def test_no_error_of_a_file_system_quotes_a_part_of_a_password(scheme, login):
    """Law: what it takes for a port or a path is not told; how to write it is."""
    with pytest.raises(AnomgenError, match=r"in a name or password write / as %2F") as error:
        Dataset(f"{scheme}://{login}@127.0.0.1:1/x")
    assert "s3c" not in str(error.value) and "ret" not in str(error.value)


def test_what_a_file_system_says_is_told_where_it_quotes_no_password():
    failed = OSError(errno.ECONNREFUSED, "refused")
    for url in ("ftp://me:s3c%2Fret@host/x", "hf://datasets/me/x@main/data", "webhdfs://host:9870/x", "s3://bucket/x"):
        assert _said(url, failed) == "refused" and _said(url, ValueError("wrong")) == "wrong"
    assert "me:12" not in _said("webhdfs://me:12/34@host/x", ValueError("host me:12, path /34@host"))
