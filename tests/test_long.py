"""What takes minutes: many kills at random moments, and memory over many rows. Run with `pytest -m slow`."""

import random
import signal
import subprocess
import sys
import time

import pytest
from test_making_make import SMALL, digests

pytestmark = pytest.mark.slow
WORDS = [word for change in SMALL for word in ("--set", change)]


def command(name, out, workers):
    return [sys.executable, "-m", "anomgen", "make", "-r", name, "-n", "1600", "-o", str(out), "-j", str(workers)]


@pytest.mark.parametrize("seed", range(6))
def test_twelve_kills_at_random_moments_change_nothing(tmp_path, seed):
    choice = random.Random(seed)
    name = choice.choice(["nsa", "perlin", "mix", "pii"])
    subprocess.run([*command(name, tmp_path / "whole", 1), *WORDS], check=True)
    out, kills = tmp_path / "killed", 0
    for _ in range(12):
        workers = choice.choice([1, 2])
        resume = ["--resume"] if out.exists() else []
        process = subprocess.Popen([*command(name, out, workers), *WORDS, *resume], start_new_session=True)
        time.sleep(choice.uniform(0.3, 2.0))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills
    subprocess.run([*command(name, out, 1), *WORDS, "--resume"], check=True)
    assert digests(out) == digests(tmp_path / "whole")


def test_peak_memory_does_not_grow_with_the_count(tmp_path):
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
