"""What `tune` is worth: recipes tuned with 1, 3 and 8 real defects beside `defects` as it is, on images held out.

python benchmarks/tune.py DATA… -o OUT --item '(kos\\d+)_'

As in transplant.py, the defects that are learnt from are taken out of the data first, with all other pictures of the
same items, and the rest is what everything is scored on. With no defect the tuned recipe is `defects` itself.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

from transplant import prepared, print_table

from anomgen.banks.folder import open_bank
from anomgen.score.run import score
from anomgen.tuning.tune import tune
from anomgen.versions import cores


def main() -> None:
    options = _options()
    folders = []
    for path in options.data:
        data = Path(prepared(path, options.out, options.counts, options.item))
        recipes = [_tuned(data, options, count) for count in options.counts]
        recipes += [_transductive(data, options)] if options.unlabelled else []
        folders.append(options.out / "scores" / data.name)
        score(
            [str(data)],
            ["defects", *recipes, *(options.beside.split(",") if options.beside else [])],
            detectors="probe",
            seeds=options.seeds,
            out=folders[-1],
            workers=options.workers,
            figures=False,
        )
        print_table(folders)


def _tuned(data: Path, options: argparse.Namespace, count: int) -> str:
    """Tune with a bank; return the recipe's file."""
    recipe = options.out / "recipes" / data.name / f"tuned-{count}.yaml"
    if not recipe.exists():
        began = time.monotonic()
        bank = options.out / "banks" / data.name / str(count)
        item = options.item if all(_has_item(entry.item, options.item) for entry in open_bank(bank).entries) else None
        limits = {"budget": options.budget, "workers": options.workers, "item": item}
        done = tune(data / "train" / "good", defects=bank, out=recipe, size=128, **limits)
        print(f"{data.name}: tuned with {count} in {time.monotonic() - began:.0f} s")
        for arm in done.comparison.arms if done.comparison else ():
            print(f"  {arm.name:<17} {arm.mean:.3f}  {arm.difference:+.3f} [{arm.low:+.3f}, {arm.high:+.3f}]")
        if done.comparison:
            print(f"  chosen: {done.comparison.chosen}. {done.comparison.note}", flush=True)
    return str(recipe)


def _transductive(data: Path, options: argparse.Namespace) -> str:
    """Tune with the test images, unlabelled; return the recipe's file."""
    recipe = options.out / "recipes" / data.name / "unlabelled.yaml"
    if not recipe.exists():
        done = tune(data / "train" / "good", unlabelled=data / "test", out=recipe, size=128)
        print(f"{data.name}: {done.hints[0].text}", flush=True)
    return str(recipe)


def _has_item(name: str, pattern: str | None) -> bool:
    return pattern is not None and re.search(pattern, name) is not None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="categories in the layout of MVTec AD")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--counts", type=lambda text: [int(part) for part in text.split(",")], default=[1, 3, 8])
    parser.add_argument("--item")
    parser.add_argument("--unlabelled", action="store_true", help="also tuned with the test images, unlabelled")
    parser.add_argument("--beside", default="", help="other recipes")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=cores())
    return parser.parse_args()


if __name__ == "__main__":
    main()
