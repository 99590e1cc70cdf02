"""What takes minutes: many kills at random moments, and memory over many rows. Run with `pytest -m slow`."""

import random
import subprocess
import sys
import time

import pytest
from small import SMALL, command, digests

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(6))
def test_twelve_kills_at_random_moments_change_nothing(tmp_path, seed):
    choice = random.Random(seed)
    name = choice.choice(["nsa", "perlin", "mix", "pii"])
    subprocess.run(command(tmp_path / "whole", 1600, name), check=True)
    out, kills = tmp_path / "killed", 0
    for _ in range(12):
        words = command(out, 1600, name, "-j", str(choice.choice([1, 2])))
        process = subprocess.Popen([*words, *(["--resume"] if out.exists() else [])])
        time.sleep(choice.uniform(0.3, 2.0))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
    assert kills
    subprocess.run(command(out, 1600, name, "--resume"), check=True)
    assert digests(out) == digests(tmp_path / "whole")


def test_peak_memory_does_not_grow_with_the_count(tmp_path):
    pytest.importorskip("resource", reason="the peak is asked for as POSIX does")
    peaks = []
    for count in (1000, 20_000):
        code = (
            "import resource, sys\nfrom pathlib import Path\nfrom anomgen import load_recipe, make\n"
            f"make(load_recipe('nsa', overrides={SMALL[:2]}, count={count}), Path({str(tmp_path / str(count))!r}))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] <= 1.1 * peaks[0]
