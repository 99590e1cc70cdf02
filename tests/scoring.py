"""Requests of `anomgen score` for a tiny data set, and what they will train."""

import pytest
from real_data import tiny_data

pytest.importorskip("timm", reason="scoring is an extra")

from anomgen.score.request import Request
from anomgen.score.rows import RowFile
from anomgen.score.schedule import scheduled

QUICK = ("detector.probe.steps=2", "detector.probe.batch_size=2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("real") / "part")


def request(data, recipes=("perlin",), detectors=("probe",), **options):
    changes = QUICK if "probe" in detectors else ()
    return Request((str(data),), recipes, detectors, **{"seeds": 1, "size": 32, "changes": changes, **options})


def schedule_of(data, out, **options):
    return scheduled(request(data, **options), out, RowFile(out))
