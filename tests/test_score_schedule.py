"""What a run is going to train: cells, budget, parts, what is drawn beforehand, models that have seen test images."""

from dataclasses import replace

import cv2
import pytest
from learned import tiny_cyclegan, tiny_sdas
from real_data import texture, tiny_data
from scoring import QUICK, request, schedule_of

pytest.importorskip("timm", reason="scoring is an extra")

import anomgen
from anomgen.banks.make import bank
from anomgen.config import Part
from anomgen.errors import UsageError
from anomgen.models.use import trained_on
from anomgen.score.cell import run
from anomgen.score.configuration import command_of
from anomgen.score.rows import RowFile
from anomgen.score.schedule import scheduled, within, write_split


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("real") / "part")


def test_a_budget_keeps_whole_groups_and_names_what_is_left_out(data, tmp_path):
    schedule = schedule_of(data, tmp_path, detectors=("probe", "unet"), seeds=2)
    first = [job for job in schedule.todo if job.cells[0].seed == 0 and job.cells[0].detector in ("none", "probe")]
    kept = within(schedule, sum(job.seconds for job in first) + 5, workers=1)
    assert {(job.cells[0].seed, job.cells[0].detector) for job in kept.todo} == {(0, "none"), (0, "probe")}
    assert len(kept.todo) + len(kept.left_out) == len(schedule.todo)
    assert not within(schedule, 0.001, 1).todo


def test_parts_of_a_run_are_all_of_it(data, tmp_path):
    whole = schedule_of(data, tmp_path, seeds=3)
    parts = [scheduled(request(data, seeds=3), tmp_path, RowFile(tmp_path), part=Part(k, 2)) for k in (1, 2)]
    keys = [cell.key for part in parts for job in part.todo for cell in job.cells]
    assert sorted(keys) == sorted(cell.key for cell in whole.cells)


def test_a_detector_that_needs_no_anomalies_is_fitted_once_for_all_recipes(data, tmp_path):
    schedule = schedule_of(data, tmp_path, recipes=("perlin", "nsa"), detectors=("autoencoder",))
    jobs = [job for job in schedule.todo if job.cells[0].detector == "autoencoder"]
    assert [len(job.cells) for job in jobs] == [3]


def test_changes_name_the_data_set_so_that_each_has_its_own_model(data, tmp_path):
    other = tiny_data(tmp_path / "other", bad=5)
    for seed, name in enumerate(("part", "other")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "pictures" / name / "0.png"), texture(300 + seed))
    chosen = f"recipe.perlin.generator.texture={{kind: folder, path: {tmp_path}/pictures/{{data}}}}"
    schedule = scheduled(
        replace(request(data, changes=(*QUICK, chosen)), data=(str(data), str(other))), tmp_path, RowFile(tmp_path)
    )
    paths = {
        cell.data: cell.entry.definition.generator.texture.path
        for cell in schedule.cells
        if cell.entry.name == "perlin"
    }
    assert paths == {name: f"{tmp_path}/pictures/{name}" for name in ("part", "other")}
    assert "pictures" not in command_of(schedule.request) and "{data}" in command_of(schedule.request)


def test_a_model_that_has_seen_test_images_is_refused_and_the_split_gives_it_others(tmp_path):
    pytest.importorskip("diffusers", reason="training models is an extra")
    data = tiny_data(tmp_path / "part", bad=20)
    written = write_split(request(data, recipes=("real",)), tmp_path / "models")
    folder = tmp_path / "models" / "part"
    assert written == {folder / "good": 10, folder / "abnormal": 12}
    (folder / "abnormal").rename(folder / "bad")
    tiny_cyclegan(folder / "model", folder)
    changes = (*QUICK, f"recipe.cyclegan.generator.model={tmp_path}/models/{{data}}/model")
    assert scheduled(request(data, recipes=("cyclegan", "real"), changes=changes), tmp_path, RowFile(tmp_path)).todo
    with pytest.raises(UsageError, match=r"cyclegan on part: .* 12 of the 46 test images, such as test/.*--split"):
        scheduled(request(data, recipes=("cyclegan",), changes=changes), tmp_path, RowFile(tmp_path))


def test_a_bank_of_real_defects_that_holds_test_images_is_refused_and_the_split_gives_it_others(tmp_path):
    data = tiny_data(tmp_path / "part", bad=6)
    write_split(request(data, recipes=("real",)), tmp_path / "models")
    folder = tmp_path / "models" / "part"
    few = bank(folder / "abnormal", folder / "bank", masks=folder / "masks")
    assert few.defect_types == {"bar": 2, "spot": 2}
    all_of_them = bank(data, tmp_path / "all").path
    for place, recipes, told in (
        (all_of_them, ("transplant", "real"), r"transplant on part: .* its bank holds, 8 of the 14 test images"),
        (few.path, ("transplant",), r"transplant on part: .* its bank holds, 4 of the 18 test images, .*--split"),
    ):
        changes = (*QUICK, f"recipe.transplant.generator.bank={place}")
        with pytest.raises(UsageError, match=told):
            scheduled(request(data, recipes=recipes, changes=changes), tmp_path, RowFile(tmp_path))
    schedule = scheduled(request(data, recipes=("transplant", "real"), changes=changes), tmp_path, RowFile(tmp_path))
    row = run(schedule.bench, next(job for job in schedule.todo if job.cells[0].entry.name == "transplant").cells)[0]
    assert row.status == "done", row.error


def test_lines_that_differ_in_their_ratio_share_what_is_drawn_beforehand(data, tmp_path, monkeypatch):
    from anomgen.generators.perlin import Perlin

    monkeypatch.setattr(Perlin, "uses_network", property(lambda self: True))
    monkeypatch.setattr(Perlin, "cost", lambda self, shape: 1.0)
    schedule = schedule_of(data, tmp_path, anomalies=8, ratios=(0.25, 0.5, 0.75))
    assert len(schedule.bench.drawn) == 3 and len(schedule.undrawn()) == 1 and schedule.drawing_seconds() == [8.0]


def test_a_budget_counts_drawing_beforehand_with_the_first_group_that_needs_it(data, tmp_path, monkeypatch):
    from anomgen.generators.perlin import Perlin

    schedule = schedule_of(data, tmp_path, anomalies=1000, recipes=("perlin",), seeds=2)
    free = within(schedule, 60, 1)
    monkeypatch.setattr(Perlin, "uses_network", property(lambda self: True))
    monkeypatch.setattr(Perlin, "cost", lambda self, shape: 1.0)
    schedule = schedule_of(data, tmp_path, anomalies=1000, recipes=("perlin",), seeds=2)
    assert not free.left_out and 1000 < schedule.seconds(8) <= schedule.seconds(1) < 1060
    assert [job.cells[0].entry.name for job in within(schedule, 60, 1).todo] == ["none"]
    assert not within(schedule, 1100, 1).left_out


@pytest.mark.parametrize("text", ["{", "[]", '{"data": [1]}', '{"data": {"a": 1}}', "\ufffe"])
def test_a_damaged_record_of_a_model_is_named(tmp_path, text):
    (tmp_path / "training.json").write_text(text, encoding="utf-16" if text == "\ufffe" else "utf-8")
    with pytest.raises(UsageError, match=r"training\.json: is damaged"):
        trained_on(tmp_path)


def test_a_record_without_files_tells_nothing(tmp_path):
    assert trained_on(tmp_path) == frozenset()
    for text in ("{}", '{"data": null}', '{"data": [{"files": null}]}'):
        (tmp_path / "training.json").write_text(text)
        assert trained_on(tmp_path) == frozenset()


def test_a_model_that_has_seen_validation_images_is_told(data, tmp_path):
    pytest.importorskip("diffusers", reason="training models is an extra")
    tiny_sdas(tmp_path / "model", folder=data / "train" / "good")
    changes = (*QUICK, f"recipe.sdas.generator.model={tmp_path}/model")
    (note,) = schedule_of(data, tmp_path / "run", recipes=("sdas",), changes=changes).notes
    assert "sdas was trained on 2 of the 2 normal images of part" in note
    with pytest.raises(UsageError, match=r"sdas\+perlin .* kind: mix"):
        schedule_of(data, tmp_path / "run", recipes=("sdas+perlin",))


def test_a_detector_s_own_settings_go_with_a_preset_and_steps_that_do_not_contradict_them(data, tmp_path):
    for changes, options in (
        (("detector.unet.steps=4",), {"steps": 4}),
        (("detector.unet.steps=4",), {"preset": "paper"}),
        (("detector.unet.preset=default",), {"preset": "paper", "steps": 4}),
    ):
        bench = schedule_of(data, tmp_path, detectors=("unet",), changes=changes, **options).bench
        assert bench.detectors["unet"].steps == 4
    with pytest.raises(UsageError, match=r"--steps 4 and --set detector\.probe\.steps=3: two values for one key"):
        anomgen.fit(data, "boxes", tmp_path / "kept", size=32, steps=4, overrides={"detector.probe.steps": 3})
    assert not (tmp_path / "kept").exists()


def test_the_data_set_s_name_stands_in_sweeps_too_and_errors_say_what_was_typed(data, tmp_path):
    with pytest.raises(UsageError, match=r"models/\{data\}/sdas"):
        schedule_of(data, tmp_path, changes=(*QUICK, "recipe.sdas.generator.model=models/{data}/sdas"))


def test_other_numbers_drawn_beforehand_are_other_files(data, tmp_path, monkeypatch):
    from anomgen.generators.perlin import Perlin

    monkeypatch.setattr(Perlin, "uses_network", property(lambda self: True))
    few, many = (schedule_of(data, tmp_path, anomalies=count).bench.drawn for count in (8, 16))
    ratios = schedule_of(data, tmp_path, anomalies=8, ratios=(0.25, 0.75)).bench.drawn
    assert few.keys() == many.keys() and set(few.values()).isdisjoint(many.values())
    assert len(ratios) == 2 and set(ratios.values()) == set(few.values())
