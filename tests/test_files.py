"""Files put in place whole, output folders that one run holds, and hashes."""

import errno
import hashlib
import os
import re
import stat
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import filelock
import pytest

from anomgen.errors import AnomgenError, UsageError
from anomgen.files import (
    LOCK,
    Earlier,
    appending,
    drafting,
    file_digest,
    fingerprint_of,
    holds_earlier,
    locked,
    refuse_inside,
    refuse_linked,
    refuse_taken,
    remove,
    replacing,
)
from anomgen.places import place


def blake2b(text, size=16):
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def test_fingerprints_are_the_hashes_of_the_text_that_is_written_here():
    content = {"b": ["é", 0.5, None], "a": {"z": 1, "y": True}}
    assert fingerprint_of(content) == blake2b(r'{"a": {"y": true, "z": 1}, "b": ["\u00e9", 0.5, null]}')
    assert fingerprint_of(content, separators=(",", ":")) == blake2b(r'{"a":{"y":true,"z":1},"b":["\u00e9",0.5,null]}')
    assert fingerprint_of({"p": Path("a/b")}, size=8, default=str) == blake2b(f'{{"p": "{Path("a/b")}"}}', 8)
    assert file_digest(b"\x00png") == blake2b("\x00png")


# --- one run at a time ----------------------------------------------------------------------------------------------

HOLD = (
    "import sys, time; from pathlib import Path; from anomgen.files import locked\n"
    "with locked(Path(sys.argv[1]), shared=sys.argv[2] == 'shared'): print('held', flush=True); time.sleep(600)"
)


@contextmanager
def holding(out, how):
    """Hold a folder from another process, which is killed at the end."""
    words = [sys.executable, "-c", HOLD, str(out), how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("first", ["whole", "shared"])
@pytest.mark.parametrize("second", ["whole", "shared"])
def test_a_folder_is_held_by_one_run_or_by_parts_until_the_process_is_killed(tmp_path, first, second):
    """Law: only parts go together; a killed process lets go, and the next run leaves no lock behind."""
    out = tmp_path / "out"
    refused = pytest.raises(UsageError, match=r"another run is writing to .*out; wait")
    with holding(out, first):
        if (first, second) == ("shared", "shared"):
            with locked(out, shared=True):
                pass
        else:
            with refused, locked(out, shared=second == "shared"):
                pass
    assert [path.name.startswith(LOCK) for path in out.iterdir()] == [True]
    with locked(out):
        pass
    assert not any(out.iterdir())


def test_many_parts_that_begin_at_once_hold_a_folder_that_a_killed_run_left(tmp_path):
    with holding(tmp_path, "whole"):
        pass
    with ExitStack() as parts:
        for _ in range(20):
            parts.enter_context(locked(tmp_path, shared=True))
        assert len(list(tmp_path.glob(f"{LOCK}-*"))) == 20
        with pytest.raises(UsageError, match="another run"), locked(tmp_path):
            pass
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["link", "hard link", "link to nothing", "folder", "fifo"])
def test_a_lock_that_is_no_file_of_its_own_is_refused_and_left(tmp_path, kind):
    victim, lock = tmp_path / "victim", tmp_path / "out" / LOCK
    victim.write_text("mine")
    lock.parent.mkdir()
    {
        "link": lambda: lock.symlink_to(victim),
        "hard link": lambda: lock.hardlink_to(victim),
        "link to nothing": lambda: lock.symlink_to(tmp_path / "nothing"),
        "folder": lock.mkdir,
        "fifo": lambda: os.mkfifo(lock),
    }[kind]()
    with pytest.raises(UsageError, match=r"\.anomgen\.lock: is a link, or no file"), locked(tmp_path / "out"):
        pass
    assert victim.read_text() == "mine" and os.path.lexists(lock) and not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EROFS, errno.EACCES])
def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch, number):
    def refused(self, *arguments, **options):
        Path(self.lock_file).touch()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    with locked(tmp_path / "out"):
        (tmp_path / "out" / "data").touch()
    assert number == errno.EACCES or [path.name for path in (tmp_path / "out").iterdir()] == ["data"]


def test_the_folder_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="mine"), locked(tmp_path):
        raise ValueError("mine")
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert not any(tmp_path.iterdir())


# --- what an output folder may hold ---------------------------------------------------------------------------------


def earlier(out):
    return Earlier("a half cake") if (out / "cake").exists() else None


def test_a_folder_that_holds_nothing_is_begun(tmp_path):
    assert not holds_earlier(tmp_path / "gone", "cake", earlier)
    for name in (LOCK, f"{LOCK}-0123abcd", ".cake.1-0123abcd.tmp", "crumbs"):
        (tmp_path / name).touch()
    assert not holds_earlier(tmp_path, "cake", earlier, leftovers={"crumbs"})
    (tmp_path / f"{LOCK}-notes").write_text("mine")
    with locked(tmp_path):
        pass
    assert (tmp_path / f"{LOCK}-notes").read_text() == "mine"
    with pytest.raises(UsageError, match="holds other files and no cake; choose another folder with -o"):
        holds_earlier(tmp_path, "cake", earlier, leftovers={"crumbs"})
    with pytest.raises(UsageError, match=r"crumbs is a file; give a folder with -o"):
        holds_earlier(tmp_path / "crumbs", "cake", earlier, overwrite=True)


def test_a_folder_that_holds_anything_but_leftovers_is_taken(tmp_path):
    refuse_taken(tmp_path / "gone", "go away")
    refuse_taken(tmp_path, "go away")
    (tmp_path / "crumbs").touch()
    refuse_taken(tmp_path, "go away", leftovers=("crumbs",))
    for out, leftovers in ((tmp_path, ()), (tmp_path, ("other",)), (tmp_path / "crumbs", ("crumbs",))):
        with pytest.raises(UsageError, match=f"{re.escape(str(out))} is there already; go away"):
            refuse_taken(out, "go away", leftovers)


def test_what_an_earlier_run_made_is_touched_only_as_asked(tmp_path):
    (tmp_path / "cake").touch()
    assert holds_earlier(tmp_path, "cake", earlier, resume=True)
    assert holds_earlier(tmp_path, "cake", earlier, overwrite=True)
    with pytest.raises(UsageError, match="exclude each other"):
        holds_earlier(tmp_path, "cake", earlier, resume=True, overwrite=True)
    with pytest.raises(UsageError, match="holds a half cake; go on with --resume, replace it with --overwrite, or"):
        holds_earlier(tmp_path, "cake", earlier)
    with pytest.raises(UsageError, match="holds a cake; replace it with --overwrite, or choose"):
        holds_earlier(tmp_path, "cake", lambda _: Earlier("a cake", can_go_on=False))


def test_an_output_inside_a_source_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    for inside in (tmp_path / "photos", tmp_path / "photos" / "a" / "out", tmp_path / "b" / ".." / "photos" / "out"):
        with pytest.raises(UsageError, match="lies inside the source"):
            refuse_inside(inside, None, str(tmp_path / "elsewhere"), str(tmp_path / "photos"))
    refuse_inside(tmp_path / "out", str(tmp_path / "photos"), "me/a-dataset-of-the-hub", None)


def test_a_folder_of_the_output_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for out, inner in (
        (tmp_path / "real", ""),
        (tmp_path / "link", ""),
        (tmp_path / "missing", "a/b"),
        (tmp_path, "real"),
    ):
        refuse_linked(tmp_path / out, inner)
    refuse_linked(place("memory://x"))
    for inner in ("", "link", "link/a/b"):
        with pytest.raises(UsageError, match="link is a link, and files are replaced and removed in it"):
            refuse_linked(tmp_path, inner)
    with pytest.raises(UsageError, match="dangling is a link"):
        refuse_linked(tmp_path, "dangling")


def test_what_is_put_in_place_follows_no_link(tmp_path):
    """Law: of a link the name is taken, or it is refused; what it leads to keeps its contents and its mode."""
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_text("mine")
    victim.chmod(0o600)
    (out / "net").mkdir(parents=True)
    for name in ("a", "net/weights", "log"):
        (out / name).symlink_to(victim)
    (out / "hard").hardlink_to(victim)
    with replacing(out / "a") as file:
        file.write(b"new")
    with drafting(out, "index") as draft:
        for name in ("index", "net/weights", "hard"):
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_text("new")
    (out / "other").hardlink_to(victim)
    for name in ("log", "other"):
        with pytest.raises(UsageError, match=f"{name} is a link, and is added to"), appending(out / name) as add:
            add(b"new")
    assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("mine", 0o600)
    assert all((out / name).read_text() == "new" for name in ("a", "index", "net/weights", "hard"))
    assert {path.name for path in out.iterdir()} == {"a", "net", "log", "hard", "index", "other"}


def test_what_may_not_be_removed_is_named(tmp_path, monkeypatch):
    (tmp_path / "here").touch()
    remove(tmp_path / "here")
    remove(tmp_path / "gone")
    assert not any(tmp_path.iterdir())

    def read_only(self, missing_ok=False):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(AnomgenError, match=r"gone: may not be written \(Read-only file system\); allow it or choose"):
        remove(tmp_path / "gone")
