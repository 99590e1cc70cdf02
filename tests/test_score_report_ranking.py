import json

import numpy as np
import pytest
from score_rows import done_row, failed_row, records

from anomgen.errors import UsageError
from anomgen.score.report import ranking


def board(rows, metric=None):
    """Return the board of rows as plain JSON."""
    return ranking.board(records(rows), metric).plain()


def row(entry, value, *, data="a", detector="probe", seed=0, spread=None, metric="pixel_ap", **more):
    """A row; `spread`: what the replicates add to the value, None for no replicates."""
    replicates = {} if spread is None else {metric: [value + s for s in spread]}
    figures = {"metrics": {metric: value}, "replicates": replicates, **more}
    return done_row(entry, "none" if entry == "none" else detector, data, seed, **figures)


def failed(entry, **more):
    return failed_row(row(entry, 0.0, **more))


def line(table, entry):
    return next(found for found in table["lines"] if found["entry"] == entry)


def spread(seed, size=0.05):
    return np.random.default_rng(seed).normal(size=200) * size


def full(values, seeds=(0, 1, 2), data=("a", "b"), detectors=("probe", "unet"), noise=0.01, size=0.05):
    """Rows of every cell, with noise of the seeds, and of the images alike for all entries of a data set."""
    rng = np.random.default_rng(0)
    return [
        row(entry, value + rng.normal() * noise, data=d, detector=t, seed=s, spread=spread(k, size))
        for k, d in enumerate(data)
        for t in detectors
        for s in seeds
        for entry, value in values.items()
        if entry != "none" or t == detectors[0]
    ]


def test_means_and_deviations_by_hand():
    rows = [
        row("nsa", value, data=data, detector=detector, seed=seed)
        for data, detector, seed, value in [
            ("a", "probe", 0, 0.1),
            ("a", "probe", 1, 0.3),
            ("a", "unet", 0, 0.5),
            ("a", "unet", 1, 0.5),
            ("b", "probe", 0, 0.2),
            ("b", "probe", 1, 0.6),
            ("b", "unet", 0, 0.8),
            ("b", "unet", 1, 1.0),
        ]
    ]
    found = board(rows)
    cell = next(c for c in found["by_cell"] if (c["data"], c["detector"]) == ("b", "probe"))
    assert line(cell, "nsa")["mean"] == pytest.approx(0.4)
    assert line(cell, "nsa")["sd"] == pytest.approx(np.std([0.2, 0.6], ddof=1))
    assert line(found["by_data"]["a"], "nsa")["mean"] == pytest.approx(0.35)
    assert line(found["by_detector"]["unet"], "nsa")["mean"] == pytest.approx(0.7)
    whole = line(found["overall"], "nsa")
    assert whole["mean"] == pytest.approx(0.5) and whole["columns"] == 4 and whole["seeds"] == 2
    assert whole["sd"] == pytest.approx(np.std([0.4, 0.6], ddof=1))  # the mean over columns, seed by seed


def test_board_is_plain_and_the_same_for_rows_in_any_order():
    rows = full({"boxes": 0.3, "none": 0.4, "nsa": 0.5, "perlin": 0.5})
    found = board(rows)
    read = [json.loads(json.dumps(r)) for r in rows]
    np.random.default_rng(1).shuffle(read)
    assert json.dumps(found, allow_nan=False) == json.dumps(board(read))
    assert json.dumps(found) == json.dumps(board(rows))


def test_the_best_comes_first_and_what_nothing_tells_apart_shares_a_rank():
    found = board(full({"boxes": 0.2, "nsa": 0.5, "perlin": 0.5, "cutpaste": 0.1}, noise=0.02))["overall"]
    ranks = {entry["entry"]: entry["rank"] for entry in found["lines"]}
    assert ranks == {"nsa": 1, "perlin": 1, "boxes": 3, "cutpaste": 4}
    means = [entry["mean"] for entry in found["lines"]]
    assert means == sorted(means, reverse=True)


def test_differences_are_paired():
    """What the images do to both entries alike cancels: the intervals overlap, the difference is clear."""
    found = board(full({"boxes": 0.40, "nsa": 0.42}, noise=0.001, size=0.1))
    boxes, nsa = line(found["overall"], "boxes"), line(found["overall"], "nsa")
    assert boxes["high"] > nsa["low"]
    against = nsa["against"]["boxes"]
    assert against["clear"] and 0.01 < against["low"] < against["difference"] < against["high"] < 0.03
    assert (against["a"], against["b"], against["columns"], against["trainings"]) == ("nsa", "boxes", 4, 12)
    assert (nsa["rank"], boxes["rank"]) == (1, 2)
    (pair,) = found["pairs"]
    assert pair["a"] == "boxes" and pair["difference"] == -against["difference"]
    assert (pair["low"], pair["high"]) == (-against["high"], -against["low"])


def test_the_interval_holds_the_spread_of_images():
    rows = [row("nsa", 0.5, seed=s, spread=spread(3)) for s in range(3)]
    found = line(board(rows)["overall"], "nsa")
    low, high = np.quantile(0.5 + spread(3), [0.025, 0.975])
    assert found["low"] == pytest.approx(low) and found["high"] == pytest.approx(high)
    alone = line(board(rows[:1])["overall"], "nsa")
    assert alone["low"] == pytest.approx(low) and alone["high"] == pytest.approx(high) and alone["sd"] is None


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_two_equal_entries_are_told_apart_as_rarely_as_promised(seeds):
    """A plain bootstrap of three seeds would tell them apart in one of four cases."""
    rng = np.random.default_rng(seeds)
    wrong = 0
    for _ in range(200):
        rows = [row(v, 0.5 + rng.normal() / 20, seed=s) for v in ("nsa", "perlin") for s in range(seeds)]
        wrong += board(rows)["pairs"][0]["clear"]
    assert wrong / 200 < 0.1


def test_the_baseline_without_anomalies_stands_in_every_column_without_a_rank():
    found = board(full({"none": 0.6, "real": 0.9, "boxes": 0.3, "nsa": 0.5}))
    assert found["detectors"] == ["probe", "unet"]
    for table in (found["overall"], found["by_detector"]["unet"], found["by_data"]["a"], found["by_cell"][0]):
        assert line(table, "none")["rank"] is None and line(table, "none")["mean"] == pytest.approx(0.6, abs=0.03)
        assert line(table, "real")["rank"] is None
        assert (line(table, "nsa")["rank"], line(table, "boxes")["rank"]) == (1, 2)
    against = line(found["overall"], "nsa")["against"]
    assert list(against) == ["boxes", "none", "real"]
    assert against["none"]["difference"] == pytest.approx(-0.1, abs=0.02) and against["none"]["clear"]
    assert list(line(found["overall"], "none")["against"]) == ["boxes", "real"]


def test_only_the_baseline():
    found = board([row("none", 0.4)])
    assert found["detectors"] == ["none"] and line(found["overall"], "none")["mean"] == 0.4


def test_comparisons_use_what_both_have_and_say_how_much():
    rows = full({"boxes": 0.3, "nsa": 0.5, "perlin": 0.4})
    rows = [r for r in rows if (r["entry"], r["data"]) != ("perlin", "b")]
    rows = [r for r in rows if (r["entry"], r["data"], r["detector"], r["seed"]) != ("nsa", "a", "probe", 2)]
    found = board(rows)
    table = found["overall"]
    assert (table["columns"], table["of"]) == (2, 4)
    assert [line(table, v)["columns"] for v in ("boxes", "nsa", "perlin")] == [4, 4, 2]
    assert [line(table, v)["seeds"] for v in ("boxes", "nsa", "perlin")] == [3, 2, 3]
    pairs = {(p["a"], p["b"]): (p["columns"], p["trainings"]) for p in found["pairs"]}
    assert pairs == {("boxes", "nsa"): (4, 11), ("boxes", "perlin"): (2, 6), ("nsa", "perlin"): (2, 5)}
    assert [line(table, v)["incomplete"] for v in ("boxes", "nsa", "perlin")] == [False, True, True]
    of_a = {
        (r["detector"], r["seed"]): r["metrics"]["pixel_ap"] for r in rows if (r["entry"], r["data"]) == ("boxes", "a")
    }
    shared = [np.mean([of_a["probe", s] for s in (0, 1)]), np.mean([of_a["unet", s] for s in (0, 1, 2)])]
    assert line(table, "boxes")["mean"] == pytest.approx(np.mean(shared)) and table["seeds"] == 2


def test_a_weak_training_that_is_missing_does_not_lead():
    values = {"nsa": (0.5, 0.1, 0.3), "cutpaste": (0.4,), "boxes": (0.3, 0.1)}
    rows = [row(v, x, seed=s, spread=spread(0)) for v, by_seed in values.items() for s, x in enumerate(by_seed)]
    rows += [row("none", 0.2, seed=s, spread=spread(0)) for s in range(4)]
    table = board(rows)["overall"]
    found = [(e["entry"], e["mean"], e["seeds"], e["incomplete"]) for e in table["lines"]]
    assert found == [
        ("nsa", 0.5, 3, False),
        ("cutpaste", 0.4, 1, True),
        ("boxes", 0.3, 2, True),
        ("none", 0.2, 4, False),
    ]
    assert (table["seeds"], table["columns"]) == (1, 1)
    assert all(entry["sd"] is None for entry in table["lines"])
    pair = line(table, "nsa")["against"]["boxes"]
    assert pair["difference"] == pytest.approx(0.1) and pair["trainings"] == 2  # of all that these two have


def test_where_nothing_is_shared_the_entry_with_the_fewest_trainings_is_left_out():
    rows = [row("nsa", 0.5, seed=0, spread=spread(0)), row("boxes", 0.1, seed=1, spread=spread(0))]
    found = board(rows)
    assert found["pairs"] == []
    kept, left_out = found["overall"]["lines"]
    assert (kept["entry"], kept["rank"], kept["mean"], kept["incomplete"]) == ("boxes", 1, 0.1, True)
    assert (left_out["rank"], left_out["mean"], left_out["low"], left_out["incomplete"]) == (None, None, None, True)
    rows += [row("perlin", x, seed=s, spread=spread(0)) for s, x in ((1, 0.2), (2, 0.9))]
    rows += [row("nsa", 0.8, seed=3), row("nsa", 0.8, seed=4)]  # three seeds that nobody else has
    kept = [entry for entry in board(rows)["overall"]["lines"] if entry["mean"] is not None]
    assert [(entry["entry"], entry["mean"]) for entry in kept] == [("nsa", pytest.approx(0.7))]
    rows = [row("none", 0.5, seed=0), row("boxes", 0.1, seed=1), row("nsa", 0.2, seed=1)]
    assert [entry["mean"] for entry in board(rows)["overall"]["lines"]] == [0.2, 0.1, None]  # a reference goes first


def test_no_line_ranks_better_than_one_with_a_higher_mean():
    """Alone, scar would share rank 1, as nothing tells it from perlin; but nsa above it is clearly worse."""
    rows = []
    for entry, value, size in (("perlin", 0.5, 0.001), ("nsa", 0.31, 0.001), ("scar", 0.30, 0.3), ("pii", 0.2, 0.02)):
        rows.append(row(entry, value, spread=spread(len(entry), size)))
    lines = board(rows)["overall"]["lines"]
    assert [(entry["entry"], entry["rank"]) for entry in lines] == [
        ("perlin", 1),
        ("nsa", 2),
        ("scar", 2),
        ("pii", 3),
    ]
    clear = {frozenset((p["a"], p["b"])) for p in board(rows)["pairs"] if p["clear"]}
    assert frozenset(("perlin", "scar")) not in clear


def test_the_first_line_is_first_even_if_others_win_elsewhere():
    of_a, of_b = {"nsa": 0.5, "pii": 0.4, "scar": 0.3}, {"nsa": 0.1, "pii": 0.9}
    rows = [row(v, x, data=d, spread=spread(0)) for d, of in (("a", of_a), ("b", of_b)) for v, x in of.items()]
    found = board(rows)
    (pair,) = (p for p in found["pairs"] if {p["a"], p["b"]} == {"nsa", "pii"})
    assert pair["clear"] and pair["difference"] < 0
    lines = found["overall"]["lines"]
    assert [(e["entry"], e["rank"]) for e in lines] == [("nsa", 1), ("pii", 1), ("scar", 3)]


@pytest.mark.parametrize("count", [2, 5])
def test_trainings_of_none_count_once_however_many_detectors_there_are(count):
    def ends(detectors):
        rows = [row("none", x, seed=s) for s, x in enumerate((0.48, 0.5, 0.52))]
        rows += [row("nsa", 0.5, detector=f"d{k}", seed=s) for k in range(detectors) for s in range(3)]
        found = board(rows)
        (pair,) = found["pairs"]
        entry = line(found["overall"], "none")
        return [entry["low"], entry["high"], pair["low"], pair["high"]]

    assert ends(count) == pytest.approx(ends(1))


def test_failures_are_counted_and_take_nothing_from_the_others():
    rows = [*full({"boxes": 0.3, "nsa": 0.5}), failed("perlin"), failed("perlin", data="b", seed=1)]
    rows.append(row("perlin", None, data="b", detector="unet"))
    found = board(rows)
    lost = line(found["overall"], "perlin")
    assert found["overall"]["lines"][-1] == lost
    assert (lost["rank"], lost["mean"], lost["low"], lost["sd"], lost["against"]) == (None, None, None, None, {})
    assert (lost["failed"], lost["undefined"], lost["columns"]) == (2, 1, 0)
    assert line(found["by_data"]["a"], "perlin")["failed"] == 1
    assert found["overall"]["columns"] == 4


def test_a_board_of_failures_and_of_nothing():
    found = board([failed("nsa")])
    assert found["overall"] == {**found["overall"], "columns": 0, "of": 1}
    assert found["metrics"] == {"a": "pixel_ap"} and found["pairs"] == []
    assert board([])["overall"] == {"columns": 0, "of": 0, "over": [], "seeds": 0, "lines": []}


def test_nothing_varies_so_nothing_is_claimed():
    found = board([row("nsa", 0.9, metric="threshold_f1"), row("boxes", 0.1, metric="threshold_f1")], "threshold_f1")
    assert found["intervals"] == ["seeds"]
    for entry in found["overall"]["lines"]:
        assert (entry["low"], entry["high"], entry["rank"]) == (None, None, 1)
    assert found["pairs"][0]["clear"] is False and found["pairs"][0]["difference"] == pytest.approx(-0.8)


def test_equal_figures_are_never_told_apart():
    """A detector that learns from normal images alone gives every recipe the same figures."""
    rows = [row(v, 0.5 + s / 10, seed=s, spread=spread(1)) for v in ("nsa", "boxes") for s in range(3)]
    assert [entry["rank"] for entry in board(rows)["overall"]["lines"]] == [1, 1]


def test_data_without_masks_is_ranked_by_image_ap():
    rows = [row("nsa", 0.5, data="masked"), row("nsa", 0.7, data="bare", metric="image_ap")]
    rows[0]["metrics"]["image_ap"] = 0.9
    rows[1]["metrics"]["pixel_ap"] = None
    rows += [failed("boxes", data="bare"), failed("boxes", data="masked")]
    for ordered in (rows, rows[::-1]):
        assert ranking.ranking_metrics(records(ordered)) == {"masked": "pixel_ap", "bare": "image_ap"}
    assert line(board(rows)["overall"], "nsa")["mean"] == pytest.approx(0.6)
    assert line(board(rows, "image_ap")["overall"], "nsa")["mean"] == pytest.approx(0.8)


def test_an_unknown_metric_is_named():
    with pytest.raises(UsageError, match="did you mean 'pixel_ap'"):
        board([row("nsa", 0.5)], "pixl_ap")


def test_the_later_of_two_rows_counts():
    rows = [row("nsa", 0.5, finished="2026-01-02T00:00:00Z"), row("nsa", 0.1, finished="2026-01-01T00:00:00Z")]
    assert line(board(rows)["overall"], "nsa")["mean"] == 0.5
    assert line(board([row("nsa", 0.1), row("nsa", 0.5)])["overall"], "nsa")["mean"] == 0.5


def test_swept_entries_are_held_against_the_nearest_baseline():
    rows = [row("boxes", 0.5), row("none", 0.6)]
    for count in (50, 100):
        rows.append(row(f"boxes count={count}", 0.3, recipe="boxes", variation={"count": count}))
        rows.append(row(f"nsa count={count}", 0.4, recipe="nsa", variation={"count": count, "ratio": 0.3}))
    against = line(board(rows)["overall"], "nsa count=50")["against"]
    assert (against["boxes"]["b"], against["none"]["b"]) == ("boxes count=50", "none")


def test_kendalls_tau_between_detectors_and_between_data_sets():
    values = {"boxes": 0.1, "nsa": 0.2, "perlin": 0.3, "cutpaste": 0.4}
    rows = [row("none", 0.9, data=d) for d in ("a", "b")]
    for name, value in values.items():
        for d in ("a", "b"):
            rows.append(row(name, value, data=d, detector="probe"))
            rows.append(row(name, 1 - value, data=d, detector="unet"))
            rows.append(row(name, 0.5, data=d, detector="flat"))
    tau = board(rows)["tau"]
    by_pair = {tuple(t["between"]): t["tau"] for t in tau["detectors"]}
    assert by_pair == {("flat", "probe"): None, ("flat", "unet"): None, ("probe", "unet"): pytest.approx(-1)}
    assert tau["detectors"][0]["entries"] == 4 and tau["detectors"][0]["columns"] == 2  # without the references
    swapped = [r for r in rows if r["detector"] == "probe"]
    swapped = [row(r["entry"], 0.25, data="b") if (r["entry"], r["data"]) == ("boxes", "b") else r for r in swapped]
    (between,) = board(swapped)["tau"]["data"]
    assert between == {"between": ["a", "b"], "tau": pytest.approx(4 / 6), "entries": 4, "columns": 1}


def test_tau_uses_the_columns_that_all_its_generators_have():
    rows = [
        row(v, x, data=d, detector=t)
        for v, x in (("nsa", 0.5), ("boxes", 0.4), ("perlin", 0.1))
        for d in ("a", "b")
        for t in ("probe", "unet")
        if (v, d) != ("perlin", "b")
    ]
    (between,) = board(rows)["tau"]["detectors"]
    assert between == {"between": ["probe", "unet"], "tau": pytest.approx(1), "entries": 3, "columns": 1}
    (between,) = board(rows)["tau"]["data"]
    assert (between["entries"], between["columns"]) == (2, 2)


def test_the_interval_of_a_mean_stays_where_metrics_lie():
    rows = [row("nsa", value, seed=seed, spread=spread(0)) for seed, value in enumerate((0.95, 0.1))]
    found = line(board(rows)["overall"], "nsa")
    assert (found["low"], found["high"]) == (0.0, 1.0)
