"""Shards as Ray tasks: the same bytes as the local runner, killed workers, GPU actors, clusters that are not there."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest

ray = pytest.importorskip("ray", reason="the engine ray is in the extra `ray`")

from small import digests, recipe

from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenError, SourceError, UsageError
from anomgen.generators.cutpaste import CutPaste
from anomgen.making.engine import Plan
from anomgen.making.make import make
from anomgen.making.runners import ray as runner_ray
from anomgen.making.runners.base import Shard
from anomgen.versions import versions as versions_here

pytestmark = [  # older releases of Ray give a tip, and leave the processes that they start, and files for these, open
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
    pytest.mark.filterwarnings("ignore:(unclosed file|subprocess .* is still running):ResourceWarning"),
]


class Dies(CutPaste):
    """Kills its process before the marker exists, and makes it."""

    kind: ClassVar[str] = "cutpaste"
    marker: str

    def sample_batch(self, rngs, images, pool):
        if not Path(self.marker).exists():
            Path(self.marker).touch()
            os._exit(9)
        return super().sample_batch(rngs, images, pool)


class OnGpu(CutPaste):
    """Says that it needs a GPU and notes which one it got."""

    kind: ClassVar[str] = "cutpaste"
    marker: str

    @property
    def uses_network(self):
        return True

    def sample_batch(self, rngs, images, pool):
        with Path(self.marker).open("a") as file:
            file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
        return super().sample_batch(rngs, images, pool)


class Fails(CutPaste):
    """Finds a source's image damaged."""

    kind: ClassVar[str] = "cutpaste"

    def sample_batch(self, rngs, images, pool):
        raise SourceError("photo 7 is damaged")


def with_generator(generator):
    return recipe("cutpaste").model_copy(update={"generator": generator})


@pytest.fixture(scope="module", autouse=True)
def session():
    """One Ray of two processors and one pretended GPU for all tests here."""
    here = str(Path(__file__).parent)
    given = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    given["RAY_worker_niceness"] = "0"  # of the tests that run beside these, workers would be the last to compute
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", *given)}
    os.environ.update(given)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [before["PYTHONPATH"]])])
    ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def test_the_same_bytes_as_the_local_runner(tmp_path):
    make(recipe("mix"), tmp_path / "local")
    seen = []
    result = make(recipe("mix"), tmp_path / "ray", engine="ray", progress=lambda *counts: seen.append(counts))
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")
    assert result.made == 96 and seen[0] == (0, 96) and seen[-1] == (96, 96) and len(seen) == 4
    (tmp_path / "ray" / "data" / "train-00001-of-00003.parquet").unlink()
    assert make(recipe("mix"), tmp_path / "ray", engine="ray", resume=True).made == 32
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")
    assert make(recipe("mix"), tmp_path / "ray", engine="ray", resume=True).made == 0


def test_transplants_are_the_same_bytes_though_only_the_driver_reads_the_bank(tmp_path):
    from test_generators_transplant import banked

    options = {"source": str(tmp_path / "good"), "count": 24, "size": 64}
    options["overrides"] = [f"generator.bank={banked(tmp_path)}", "shard_size=8"]
    make("transplant", tmp_path / "local", **options)
    make("transplant", tmp_path / "ray", engine="ray", **options)
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")


def test_the_same_bytes_at_a_url(tmp_path):
    make(recipe(), tmp_path / "local")
    make(recipe(), f"local://{(tmp_path / 'url').as_posix()}", engine="ray", workers=1)
    assert digests(tmp_path / "url") == digests(tmp_path / "local")


def test_a_killed_worker_changes_nothing(tmp_path):
    chosen = with_generator(Dies(marker=str(tmp_path / "marker")))
    make(chosen, tmp_path / "killed", engine="ray")
    assert (tmp_path / "marker").exists()
    make(chosen, tmp_path / "whole")
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def test_a_generator_that_runs_a_network_gets_an_actor_on_the_gpu(tmp_path):
    chosen = with_generator(OnGpu(marker=str(tmp_path / "marker")))
    make(chosen, tmp_path / "ray", engine="ray", workers=2)
    lines = set((tmp_path / "marker").read_text().splitlines())
    assert len(lines) == 1 and next(iter(lines)).endswith(" 0")
    make(chosen, tmp_path / "local")
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")


def test_what_stops_a_shard_is_the_error_of_the_local_runner(tmp_path):
    with pytest.raises(SourceError, match="photo 7 is damaged") as caught:
        make(with_generator(Fails()), tmp_path / "out", engine="ray")
    assert caught.type is SourceError
    with pytest.raises(UsageError, match="unfinished"):
        Dataset(tmp_path / "out")


def test_a_shard_on_another_machines_disk_is_an_error(tmp_path):
    shard = Shard(tmp_path / "data" / "train-00000-of-00001.parquet", range(8), {})
    with pytest.raises(AnomgenError, match="written on another machine"):
        runner_ray._rows(ray, ray.put(8), shard)


def test_a_machine_with_other_versions_is_an_error(tmp_path):
    maker = runner_ray.Maker(Plan.of(recipe()), 1 << 20)
    shard = Shard(tmp_path / "x.parquet", range(8), {"versions": versions_here() | {"numpy": "1.0"}})
    with pytest.raises(AnomgenError, match=r"a machine of the cluster has .* this one .*numpy 1\.0"):
        maker.make(shard)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_an_error_within_seconds(scheme):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    started = time.perf_counter()
    with pytest.raises(AnomgenError, match=r"no Ray cluster answers at .*ray start --head"):
        runner_ray._refuse_unreachable(f"{scheme}127.0.0.1:{port}", "there")
    assert time.perf_counter() - started < 5


def test_the_command_line_says_so_and_writes_nothing(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    command = [sys.executable, "-m", "anomgen", "make", "-r", "scar", "-n", "4", "-o", "out", "--engine", "ray"]
    done = subprocess.run([*command, "--address", address], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no Ray cluster answers" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["nonsense", "host:", "host:port", "ray://host"])
def test_an_address_that_is_none_says_how_to_write_it(address):
    with pytest.raises(UsageError, match="HOST:PORT"):
        runner_ray._refuse_unreachable(address, address)


@pytest.fixture
def dead(tmp_path, monkeypatch):
    """Return the address of a cluster that died without a word: Ray's note names it, nobody listens there."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(address)
    return address


def begin(tmp_path, *options):
    command = [sys.executable, "-m", "anomgen", "make", "-r", "scar", "-n", "4", "-o", "out", "--engine", "ray"]
    started = time.perf_counter()
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and time.perf_counter() - started < 20 and not (tmp_path / "out").exists()
    return done.stderr


def test_auto_does_not_wait_for_a_cluster_that_died(dead, tmp_path):
    error = begin(tmp_path, "--address", "auto")
    assert f"no Ray cluster answers at {dead} (auto: noted in " in error and "`ray stop` forgets it" in error


@pytest.mark.parametrize("options", [(), ("--address", "auto")])
def test_the_address_in_the_environment_is_used_and_tried(dead, tmp_path, monkeypatch, options):
    monkeypatch.setenv("RAY_ADDRESS", dead)
    error = begin(tmp_path, *options)
    assert f"no Ray cluster answers at {dead} (RAY_ADDRESS)" in error and "unset RAY_ADDRESS" in error


def test_which_cluster_is_meant(dead, tmp_path, monkeypatch):
    assert runner_ray._resolved(None) == ("local", "local") and runner_ray._resolved("auto")[0] == dead
    assert runner_ray._resolved("host:1") == ("host:1", "host:1")
    assert str(runner_ray._note()) == ray._common.utils.get_ray_address_file(None)
    monkeypatch.setenv("RAY_ADDRESS", "other:1")
    assert runner_ray._resolved(None)[0] == runner_ray._resolved("auto")[0] == "other:1"
    assert runner_ray._resolved("host:1")[0] == "host:1" and runner_ray._resolved("local")[0] == "local"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert runner_ray._resolved(None)[0] == dead and runner_ray._resolved("host:1")[0] == "host:1"
    runner_ray._note().unlink()
    assert runner_ray._resolved("auto") == ("auto", "auto")
