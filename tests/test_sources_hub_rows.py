"""Which rows of Hugging Face datasets are normal: labels, masks and objects, for `make` and for `score` alike."""

import json

import cv2
import numpy as np
import pytest
from layouts import blob, noise

from anomgen.errors import SourceError, UsageError
from anomgen.making.engine import Plan
from anomgen.making.recipe import load_recipe
from anomgen.sources.hub import Hub
from anomgen.sources.labelled import listing

datasets = pytest.importorskip("datasets", reason='needs datasets: pip install ".[hub]"')
V, Image, ClassLabel = datasets.Value, datasets.Image, datasets.ClassLabel
pytestmark = pytest.mark.usefixtures("offline")

COUNT = 6


def png(array):
    return {"bytes": cv2.imencode(".png", array)[1].tobytes(), "path": None}


def stored(root, **columns):
    """Write a dataset of `COUNT` images and further columns, each (values, feature), and return its path."""
    columns = {"image": ([png(noise(k)) for k in range(COUNT)], Image()), **columns}
    values = {name: own for name, (own, _) in columns.items()}
    features = datasets.Features({name: feature for name, (_, feature) in columns.items()})
    (root / "data").mkdir(parents=True)
    datasets.Dataset.from_dict(values, features=features).to_parquet(root / "data/train-00000-of-00001.parquet")
    return str(root)


def rows_of(source):
    return [int(source.id(k).rpartition("/")[2]) for k in range(len(source))]


HALF = [0, 1, 0, 1, 0, 1]
LABELS = {
    "integers": ("label", HALF, V("int64"), "0"),
    "booleans": ("anomaly", [bool(one) for one in HALF], V("bool"), "False"),
    "text of booleans": ("is_anomaly", ["true" if one else "false" for one in HALF], V("string"), "false"),
    "floats": ("label", [float(one) for one in HALF], V("float32"), "0"),
    "classes by number": ("fault", HALF, ClassLabel(names=["0", "1"]), "0"),
    "a name with words": ("has_defect", HALF, V("int8"), "0"),
    "a name that ends so": ("surface_defect", HALF, V("int8"), "0"),
    "a name of normal ones": ("is_good", [not one for one in HALF], V("bool"), "True"),
    "types of defects": ("defect_type", ["good" if not one else "crack" for one in HALF], V("string"), "good"),
    "a condition": ("condition", ["good" if not one else "crack" for one in HALF], V("string"), "good"),
    "a class's name": ("class_name", ["good" if not one else "crack" for one in HALF], V("string"), "good"),
    "a label of its own name": ("gt_label", HALF, V("int64"), "0"),
    "a target": ("target", HALF, V("int64"), "0"),
    "some without": ("label", [None if one else 0 for one in HALF[:4]] + [0, 1], V("int64"), "0"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_say_which_rows_are_normal(tmp_path, kind):
    column, values, feature, label = LABELS[kind]
    path = stored(tmp_path / "d", **{column: (values, feature)})
    normal = [row for row, value in enumerate(values) if value is not None and bool(value) == (label == "True")]
    if feature.dtype == "string":
        normal = [row for row, value in enumerate(values) if value == label]
    says = (
        rf"not all rows are normal images: {column} is also .*label_column={column} --set source\.label={label}; if all"
    )
    with pytest.raises(UsageError, match=says):
        Hub(path=path).open()
    chosen = [f"source.label_column={column}", f"source.label={label}"]
    recipe = load_recipe("perlin", source=path, size=64, count=4, overrides=chosen)
    assert rows_of(Plan.of(recipe).source) == normal
    found = listing(path).found
    assert [int(one.id[-6:]) for one in found if one.defect_type == "normal"] == normal
    assert {one.defect_type for one in found} == {"normal", "crack" if label == "good" else "anomaly"}
    assert len(found) == len([value for value in values if value is not None])


@pytest.mark.parametrize(
    ("column", "values", "feature"),
    [
        ("label", [3, 1, 2, 1, 0, 1], V("int64")),
        ("score", HALF, V("int64")),
        ("anomaly", [0.5, 0, 0, 1, 0, 1], V("float32")),
        ("label", ["bottle", "cable", "bottle", "cable", "cable", "cable"], V("string")),
        ("label", [False] * COUNT, V("bool")),
        ("label", [None] * COUNT, V("int64")),
        ("defects", [HALF] * COUNT, datasets.Sequence(V("int64"))),
        ("is_anomaly", [0] * COUNT, V("int64")),
        ("weather", ["good", "rain"] * 3, V("string")),
        ("caption", ["a good bottle", "a bad photo"] * 3, V("string")),
        ("material", ["normal steel", "scrap metal"] * 3, V("string")),
        ("tags", [["good"], ["bad"]] * 3, [V("string")]),
        ("segments", [["retail"], ["b2b"]] * 3, [V("string")]),
        ("y", HALF, V("int64")),
        ("lighting", ["normal", "dim"] * 3, V("string")),
        ("caption", [f"a good tile {k}" for k in range(COUNT)], V("string")),
        ("split", ["train", "test"] * 3, V("string")),
        ("camera_type", ["wide", "narrow"] * 3, V("string")),
        ("answer", ["yes", "no"] * 3, V("string")),
        ("defect", [None] * COUNT, V("string")),
        ("num_views", HALF, V("int64")),
        ("right", [png(noise(k + COUNT)) for k in range(COUNT)], Image()),
        ("label_image", [png(noise(k + COUNT)) for k in range(COUNT)], Image()),
    ],
)
def test_columns_that_tell_nothing_leave_all_rows(tmp_path, column, values, feature):
    assert rows_of(Hub(path=stored(tmp_path / "d", **{column: (values, feature)})).open()) == list(range(COUNT))


@pytest.mark.parametrize(
    ("column", "values", "feature", "said"),
    [
        ("finding", ["OK", "NOK"] * 3, V("string"), "finding is also NOK"),
        ("quality", ["pass", "fail"] * 3, V("string"), "quality is also fail"),
        ("num_defects", [0, 2] * 3, V("int64"), "num_defects is also 2"),
        ("is_defective", ["no", "yes"] * 3, V("string"), "is_defective is also yes"),
    ],
)
def test_verdicts_count_whatever_their_column_is_called(tmp_path, column, values, feature, said):
    with pytest.raises(UsageError, match=f"not all rows are normal images: {said}"):
        Hub(path=stored(tmp_path / "d", **{column: (values, feature)})).open()


@pytest.mark.parametrize("column", ["seg", "defect_mask", "annotation", "conditioning_image", "target", "label_image"])
def test_any_column_of_flat_images_beside_photographs_is_one_of_masks(tmp_path, column):
    masks = ([png(blob() if one else np.zeros_like(blob())) for one in HALF], Image())
    source = Hub(path=stored(tmp_path / "d", **{column: masks})).open()
    assert rows_of(source) == [0, 2, 4] and any(f"in column {column}, mark" in note for note in source.notes)


@pytest.mark.parametrize(
    ("values", "feature", "label"),
    [([1] * COUNT, V("int64"), "1"), ([True] * COUNT, V("bool"), "True"), (["bad"] * COUNT, V("string"), "bad")],
)
def test_rows_that_are_all_called_anomalous_are_refused_unless_chosen(tmp_path, values, feature, label):
    path = stored(tmp_path / "d", label=(values, feature))
    with pytest.raises(
        UsageError, match=rf"no row is said to be a normal image: label is {label}.*source\.label={label}"
    ):
        Hub(path=path).open()
    assert len(Hub(path=path, label_column="label", label=label).open()) == COUNT


def test_a_label_is_given_as_yaml_has_it(tmp_path):
    path = stored(tmp_path / "d", label=(HALF, V("int64")), anomaly=([bool(one) for one in HALF], V("bool")))
    for column, label in (("label", 0), ("label", "0"), ("anomaly", False), ("anomaly", "false")):
        config = Hub(path=path, label_column=column, label=label)
        assert rows_of(config.open()) == [0, 2, 4] and Hub.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(UsageError, match=r"no label '2' \(there is 0, 1\)"):
        Hub(path=path, label_column="label", label=2).open()


@pytest.mark.parametrize("empty", ["a mask of zeros", "none"])
def test_rows_whose_masks_mark_something_are_left_out_and_counted(tmp_path, empty):
    nothing = None if empty == "none" else png(np.zeros_like(blob()))
    masks = ([png(blob()) if one else nothing for one in HALF], Image())
    path = stored(tmp_path / "d", mask=masks)
    source = Hub(path=path).open()
    note = "left out 3 rows, whose masks, in column mask, mark an anomaly: train/000001, train/000003, train/000005"
    assert rows_of(source) == [0, 2, 4] and note in source.notes
    assert [one.defect_type == "normal" for one in listing(path).found] == [not one for one in HALF]
    assert len(Hub(path=path, column="image").open()) == 3
    labelled = stored(tmp_path / "labelled", mask=masks, label=(["good"] * 5 + ["bad"], V("string")))
    chosen = Hub(path=labelled, label_column="label", label="good").open()
    assert rows_of(chosen) == [0, 2, 4] and any("left out 2 rows" in note for note in chosen.notes)
    scored = listing(labelled)
    assert [one.id[-1] for one in scored.found] == ["0", "2", "4", "5"], "the same rows are doubtful there"
    assert any(note.startswith("left out 2 rows, whose masks") for note in scored.notes)


def test_masks_of_something_else_are_refused_or_leave_nothing(tmp_path):
    inverted = [png(255 - blob()) if one else None for one in HALF]
    with pytest.raises(SourceError, match=r"d: column mask: 3 of 3 masks .*\n.*train/000001: .*(?s:.*)\[mask\]'$"):
        Hub(path=stored(tmp_path / "d", mask=(inverted, Image()))).open()
    with pytest.raises(UsageError, match=r"no row is a normal image: left out 6 rows, whose masks"):
        Hub(path=stored(tmp_path / "all", mask=([png(blob())] * COUNT, Image()))).open()


@pytest.mark.parametrize("column", ["fg", "object_mask", "roi", "icon"])
def test_masks_of_the_object_in_a_column_of_a_silent_name_leave_all_rows(tmp_path, column):
    assert len(Hub(path=stored(tmp_path / "d", **{column: ([png(blob())] * COUNT, Image())})).open()) == COUNT


OF_SOMETHING_ELSE = {
    "labels": ("condition", ["good" if not one else "like new" for one in HALF], V("string")),
    "masks": ("mask", [png(blob()) if one else None for one in HALF], Image()),
    "boxes": ("bbox", [[[1.0, 2, 10, 10]] if one else [] for one in HALF], [[V("float32")]]),
}


@pytest.mark.parametrize("kind", OF_SOMETHING_ELSE)
def test_columns_that_are_said_to_tell_nothing_are_not_heeded(tmp_path, kind):
    """Law: whatever refuses rows or leaves them out says how it is not heeded."""
    column, values, feature = OF_SOMETHING_ELSE[kind]
    path = stored(tmp_path / "d", **{column: (values, feature)})
    recipe = load_recipe("perlin", source=path, size=64, count=4, overrides=[f"source.ignored_columns=[{column}]"])
    assert rows_of(Plan.of(recipe).source) == list(range(COUNT))
    try:
        said = " ".join(Hub(path=path).open().notes)
    except UsageError as error:
        said = str(error)
    assert f"--set 'source.ignored_columns=[{column}]'" in said
    with pytest.raises(UsageError, match=r"source\.ignored_columns: no column 'x'"):
        Hub(path=path, ignored_columns=("x",)).open()


BOX = [1.0, 2.0, 10.0, 10.0]
KINDS = ClassLabel(names=["scratch", "good"])
OBJECTS = {
    "boxes": ("bbox", [[BOX] if one else [] for one in HALF], [[V("float32")]]),
    "one box": ("bbox", [BOX if one else [] for one in HALF], [V("float32")]),
    "runs": ("EncodedPixels", ["1 5 9 4" if one else None for one in HALF], V("string")),
    "outlines": ("polygons", [[[1.0, 2, 9, 2, 9, 9]] if one else [] for one in HALF], [[V("float32")]]),
    "texts where there are any": ("defect", ["scratch" if one else None for one in HALF], V("string")),
    "lists of texts": ("defects", [["scratch"] if one else [] for one in HALF], [V("string")]),
    "none": ("boxes", [[BOX] if one else None for one in HALF], [[V("int32")]]),
    "lists by key": (
        "objects",
        [{"bbox": [BOX] * 2, "category": [1, 0]} if one else {"bbox": [BOX], "category": [1]} for one in HALF],
        {"bbox": [[V("float32")]], "category": [KINDS]},
    ),
    "objects": (
        "objects",
        [[{"bbox": BOX, "category": int(not one)}] for one in HALF],
        [{"bbox": [V("float32")], "category": KINDS}],
    ),
    "a sequence": (
        "objects",
        [{"box": [BOX], "label": ["scratch" if one else "ok"]} for one in HALF],
        datasets.Sequence({"box": datasets.Sequence(V("float32")), "label": V("string")}),
    ),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_rows_with_objects_are_left_out_unless_these_are_normal(tmp_path, kind):
    column, values, feature = OBJECTS[kind]
    path = stored(tmp_path / "d", **{column: (values, feature)})
    source = Hub(path=path).open()
    assert rows_of(source) == [0, 2, 4]
    name = "scratch" if column in ("objects", "defect", "defects") else "object"
    told = f"left out 3 rows, which annotations mark ({name} on 3): train/000001, train/000003, train/000005"
    assert told in source.notes and any(f"column {column}" in note for note in source.notes)
    assert [one.defect_type == "normal" for one in listing(path).found] == [not one for one in HALF]


def test_objects_on_all_rows_that_need_be_no_defects_are_taken_for_the_product(tmp_path):
    objects = ([[{"bbox": BOX, "label": "bottle"}]] * COUNT, [{"bbox": [V("float32")], "label": V("string")}])
    source = Hub(path=stored(tmp_path / "d", objects=objects)).open()
    assert len(source) == COUNT
    assert any("all of 6 rows are annotated with bottle (column objects)" in note for note in source.notes)


def test_the_image_is_not_taken_from_the_column_of_masks(tmp_path):
    masks = [png(np.zeros_like(blob()))] * COUNT
    images = [png(noise(k)) for k in range(COUNT)]
    first = datasets.Dataset.from_dict(
        {"mask": masks, "photo": images}, features=datasets.Features({"mask": Image(), "photo": Image()})
    )
    first.save_to_disk(tmp_path / "d")
    assert np.ptp(Hub(path=str(tmp_path / "d")).open()[0]) > 0
    assert np.ptp(Hub(path=str(tmp_path / "d"), column="mask").open()[0]) == 0


def test_the_record_of_what_was_left_out_is_in_the_card(tmp_path):
    from anomgen.making.make import make

    masks = ([png(blob()) if one else None for one in HALF], Image())
    make(load_recipe("perlin", source=stored(tmp_path / "d", mask=masks), size=64, count=4), tmp_path / "out")
    notes = json.loads((tmp_path / "out/provenance.json").read_text())["source"]
    assert "left out 3 rows" in json.dumps(notes) or "left out 3 rows" in (tmp_path / "out/README.md").read_text()


def test_textures_may_show_anything_but_normal_images(tmp_path):
    """Whole anomalies, as `sia` makes them, are all called anomalous."""
    from anomgen.synthesis.textures import HubTextures

    masks, labels = ([png(blob())] * COUNT, Image()), (["anomaly"] * COUNT, V("string"))
    HubTextures(path=stored(tmp_path / "d", mask=masks, label=labels)).check()
    with pytest.raises(UsageError, match=r"texture: .*label is good beside bad: pictures of normal images make no"):
        HubTextures(path=stored(tmp_path / "mixed", label=(["good"] * 3 + ["bad"] * 3, V("string")))).check()
