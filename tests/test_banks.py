"""Banks of real defects: the same defects in whatever form they are given, checked, approved, published."""

import json

import cv2
import numpy as np
import pytest
from made_dataset import write_dataset
from real_data import defect, texture, tiny_data
from small import digests
from typer.testing import CliRunner

from anomgen.banks.folder import DATA, Bank, Defect, is_bank, open_bank
from anomgen.banks.make import add_defect, bank
from anomgen.cli.main import app
from anomgen.dataset.reader import load_dataset
from anomgen.errors import SourceError, UsageError
from anomgen.exporters.export import export
from anomgen.files import file_digest
from anomgen.sources.annotations.coco import uncompressed
from anomgen.synthesis.alignment import ALIKE, Normals


@pytest.fixture
def few(tmp_path):
    """Four pictures of defects in `defects`, of two types, and their masks in `masks`."""
    for k in range(4):
        image, mask = defect(200 + k, 48)
        kind = "spot" if k % 2 else "bar"
        for folder, picture in (("defects", image), ("masks", mask)):
            place = tmp_path / folder / kind / f"{k}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place), picture)
    return tmp_path


def put(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


def test_a_bank_holds_each_picture_its_mask_its_type_and_the_hash_of_its_file(few):
    made = bank(few / "defects", few / "bank", masks=few / "masks", license="CC BY 4.0")
    opened = open_bank(few / "bank")
    assert (made.defects, made.defect_types, made.license) == (4, {"bar": 2, "spot": 2}, "cc-by-4.0")
    assert opened.defect_types == ("bar", "spot") and is_bank(few / "bank")
    for own in opened.defects():
        file = few / "defects" / own.item
        assert own.digest == file_digest(file.read_bytes()) and own.item.startswith(own.defect_type)
        assert np.array_equal(own.image, cv2.imread(str(file))[..., ::-1])
        assert np.array_equal(own.mask, cv2.imread(str(few / "masks" / own.item), 0) > 0)
    assert (few / "bank" / "preview.png").is_file() and "cc-by-4.0" in (few / "bank" / "README.md").read_text()


def test_a_licence_of_a_bank_is_one_that_the_hub_lists(few):
    with pytest.raises(UsageError, match=r"--license: the Hub has no licence 'ccby4'"):
        bank(few / "defects", few / "bank", masks=few / "masks", license="ccby4")
    assert not (few / "bank").exists()


def test_masks_beside_the_pictures_are_none_of_them(few):
    """Law: which pictures are masks, is decided as everywhere; --masks says which of the masks count."""
    for mask in sorted((few / "masks").rglob("*.png")):
        put(few / "defects" / mask.parent.name / f"{mask.stem}_GT.png", cv2.imread(str(mask), 0)[::-1])
    (few / "defects" / "bar" / "notes.tga").write_bytes(b"")
    made = bank(few / "defects", few / "bank", masks=few / "masks")
    assert made.defects == 4 and any("left out 4 files, other masks: bar/0_GT.png" in note for note in made.notes)
    assert any("notes.tga" in note for note in made.notes)
    elsewhere = {own.item: own.mask for own in open_bank(few / "bank").defects()}
    beside = open_bank(bank(few / "defects", few / "own" / "bank", masks=few / "defects").path)
    assert all(np.array_equal(own.mask, elsewhere[own.item][::-1]) for own in beside.defects()) and len(beside) == 4


def test_the_same_defects_give_the_same_bytes(few):
    for name in ("one", "two"):
        bank(few / "defects", few / name / "bank", masks=few / "masks")
    files = sorted(path.relative_to(few / "one") for path in (few / "one").rglob("*") if path.is_file())
    assert len(files) == 4
    assert all((few / "one" / file).read_bytes() == (few / "two" / file).read_bytes() for file in files)


def test_a_bank_is_a_dataset_of_hugging_face(few):
    datasets = pytest.importorskip("datasets", reason="in the extra `hub`")
    bank(few / "defects", few / "bank", masks=few / "masks")
    data = datasets.load_dataset(str(few / "bank"), split="train", cache_dir=str(few / "cache"))
    assert data.features["defect_type"].names == ["bar", "spot"] and data[0]["mask"].size == (48, 48)


@pytest.mark.parametrize("form", ["coco", "yolo", "labelstudio", "mvtec"])
def test_a_bank_of_an_export_holds_the_masks_of_the_dataset(tmp_path, form):
    rows = {row["index"]: row for row in load_dataset(write_dataset(tmp_path / "made")).rows() if row["label"]}
    export(tmp_path / "made", to=form, out=tmp_path / "out")
    bank(tmp_path / "out", tmp_path / "bank")
    defects = list(open_bank(tmp_path / "bank").defects())
    assert len(defects) == len(rows)
    for own in defects:
        row = next(row for row in rows.values() if np.array_equal(row["image"], own.image))
        assert np.array_equal(own.mask, row["mask"]) and own.defect_type == row["defect_type"]


def test_a_finished_dataset_is_taken_as_it_is(tmp_path):
    pytest.importorskip("datasets", reason="in the extra `hub`")
    rows = load_dataset(write_dataset(tmp_path / "made")).stored_rows(["label"])
    count = sum(row["label"] for row in rows)
    assert bank(tmp_path / "made", tmp_path / "bank").defects == count
    again = bank(f"{tmp_path / 'bank'}/data", tmp_path / "again")
    assert again.defects == count and again.defect_types == {"nsa": 3, "scar": 3}


def test_compressed_run_lengths_are_those_of_the_reference():
    coco = pytest.importorskip("pycocotools.mask", reason="checked against its own library")
    mask = np.random.default_rng(3).random((37, 29)) < 0.3
    stored = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    runs = uncompressed(stored["counts"].decode())
    assert np.array_equal(np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(29, 37).T, mask)


def test_a_category_of_a_known_layout_gives_its_defects_alone(tmp_path):
    made = bank(tiny_data(tmp_path / "part"), tmp_path / "bank")
    assert made.defect_types == {"bar": 4, "spot": 4}


def test_count_takes_of_all_types_and_a_smaller_one_is_part_of_a_larger(tmp_path):
    data = tiny_data(tmp_path / "part")
    items = []
    for count in (2, 5):
        bank(data, tmp_path / f"bank{count}", count=count)
        items.append({entry.item for entry in open_bank(tmp_path / f"bank{count}").entries})
    assert items[0] < items[1] and open_bank(tmp_path / "bank2").defect_types == ("bar", "spot")
    with pytest.raises(UsageError, match="--count 9: there are 8"):
        bank(data, tmp_path / "bank", count=9)


def test_masks_that_do_not_fit_are_refused_by_name(few):
    mask = few / "masks" / "bar" / "0.png"
    whole = cv2.imread(str(mask), 0)
    for bad, told in (
        (np.zeros((24, 48), np.uint8), r"24 × 48 pixels, but its image bar/0.png is 48 × 48"),
        (np.zeros((48, 48), np.uint8), r"bar/0.png: its mask marks no pixel"),
        (255 - whole, r"0.png: marks .* as if inverted"),
        (np.pad(np.full((48, 30), 255, np.uint8), ((0, 0), (0, 18))), r"bar/0.png: its mask marks 62% .* inverted"),
    ):
        cv2.imwrite(str(mask), bad)
        with pytest.raises(SourceError, match=told):
            bank(few / "defects", few / "bank", masks=few / "masks")
        assert not is_bank(few / "bank")
    mask.unlink()
    with pytest.raises(SourceError, match=r"bar/0.png of 4 pictures have no mask"):
        bank(few / "defects", few / "bank", masks=few / "masks")


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({"segmentation": [], "bbox": [1, 1, 5, 5]}, "has a box and no segmentation"),
        ({"segmentation": {"size": [48, 48], "counts": [5, 5]}}, "do not fill its 48 × 48"),
        ({"segmentation": {"size": [10, 10], "counts": [50, 50]}}, "was annotated at 10 × 10 pixels, but is 48 × 48"),
    ],
)
def test_annotations_that_are_no_masks_are_refused(few, annotations, told):
    image = {"id": 1, "file_name": "0.png", "height": 48, "width": 48}
    content = {"images": [image], "annotations": [{"image_id": 1, "category_id": 1, **annotations}]}
    (few / "marks.json").write_text(json.dumps(content))
    with pytest.raises(SourceError, match=told):
        bank(few / "defects", few / "bank", masks=few / "marks.json")


def test_boxes_of_yolo_are_refused_by_file_and_line(few):
    put(few / "set" / "images" / "0.png", texture(1, 48))
    (few / "set" / "labels").mkdir()
    (few / "set" / "labels" / "0.txt").write_text("0 0.1 0.1 0.2 0.1 0.2 0.2\n0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(SourceError, match=r"labels/0.txt: line 2 is a box"):
        bank(few / "set", few / "bank")


# --- masks that nobody has drawn ------------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path):
    """Pictures of defects without masks, and normal ones."""
    for k in range(8):
        put(tmp_path / "good" / f"{k}.png", texture(k, 96))
    for k in range(3):
        put(tmp_path / "defects" / f"{k}.png", defect(200 + k, 96)[0])
    return tmp_path


def test_masks_are_proposed_by_difference_and_wait_for_approval(bare):
    with pytest.raises(UsageError, match="--masks, or normal images with --normal"):
        bank(bare / "defects", bare / "bank")
    with pytest.raises(UsageError, match="--normal builtin: is no folder of images"):
        bank(bare / "defects", bare / "bank", normal="builtin")
    made = bank(bare / "defects", bare / "bank", normal=bare / "good")
    assert made.proposed == ("0.png", "1.png", "2.png")
    for own in open_bank(bare / "bank").defects():
        true = defect(200 + int(own.item[0]), 96)[1] > 0
        assert (own.mask & true).sum() > 0.5 * (own.mask | true).sum()
    with pytest.raises(UsageError, match=r"3 of its masks are proposals: look at .*preview.png"):
        bank(bare / "bank")
    approved = bank(bare / "bank", without=["1.png"], yes=True)
    assert approved.proposed == () and approved.defects == 2 and not open_bank(bare / "bank").proposed
    with pytest.raises(UsageError, match=r"--without 1.png: there is no such defect"):
        bank(bare / "bank", without=["1.png"], yes=True)


def test_a_defect_among_the_normal_images_and_too_few_of_these_are_refused(bare):
    put(bare / "good" / "same.png", defect(200, 96)[0])
    with pytest.raises(SourceError, match=r"0.png: is also among the normal images, as same.png"):
        bank(bare / "defects", bare / "bank", normal=bare / "good")
    assert bank(bare / "defects", bare / "bank", normal=bare / "good", without=["0.png"]).defects == 2
    for k in range(7):
        (bare / "good" / f"{k}.png").unlink()
    with pytest.raises(UsageError, match="2 normal images do not tell what is usual"):
        bank(bare / "defects", bare / "other", normal=bare / "good")


def test_pictures_lie_alike_when_they_differ_by_a_shift_and_noise_alone():
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.normal(128, 1500, (80, 80)), (0, 0), 6)
    shifted = [np.roll(scene, (k, -k), (0, 1)) + rng.normal(0, 2, scene.shape) for k in range(5)]
    same = Normals([np.clip(image, 0, 255).astype(np.uint8)[8:72, 8:72, None] for image in shifted])
    assert same.disagreement() < ALIKE < Normals([texture(k, 64) for k in range(5)]).disagreement()
    assert Normals([texture(0, 64)]).disagreement() == np.inf


# --- what is on the disk --------------------------------------------------------------------------------------------


def test_a_bank_that_is_killed_while_it_is_written_anew_is_the_new_one(few):
    """Law: its data are put in place at once, with what is known of them; the record beside them follows."""
    made = bank(few / "defects", few / "bank", masks=few / "masks").path
    before = (made / "bank.json").read_bytes()
    first = Bank(made).entries[0].item
    bank(made, yes=True, without=[first])
    after = (made / "bank.json").read_bytes()
    (made / "bank.json").write_bytes(before)  # as if the run had died before it wrote the new one
    assert first not in [defect.item for defect in Bank(made).defects()]
    (made / "bank.json").unlink()
    assert first not in [defect.item for defect in Bank(made).defects()]
    assert Bank(made).record == json.loads(after)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_bank_that_was_killed_while_its_data_were_written_is_made_again(few, overwrite):
    """Law: what such a run leaves is not in the way, and goes; anything else beside it is refused."""
    whole = digests(bank(few / "defects", few / "whole" / "bank", masks=few / "masks").path)
    out = few / "bank"
    put(out / "data" / "mine.png", np.zeros((4, 4), np.uint8))
    for name in (".anomgen.lock", "data/.train-00000-of-00001.parquet.4711-68cee25a.tmp"):
        (out / name).write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="holds other files and no bank"):
        bank(few / "defects", out, masks=few / "masks", overwrite=overwrite)
    (out / "data" / "mine.png").unlink()
    bank(few / "defects", out, masks=few / "masks", overwrite=overwrite)
    assert digests(out) == whole


def test_damage_and_other_folders_are_told(few):
    made = bank(few / "defects", few / "bank", masks=few / "masks").path
    with pytest.raises(UsageError, match="holds a bank of defects; replace it with --overwrite"):
        bank(few / "defects", few / "bank", masks=few / "masks")
    with pytest.raises(UsageError, match="is no bank of defects"):
        open_bank(few / "masks")
    with pytest.raises(UsageError, match=r"bnk: there is no such bank .*did you mean 'bank'"):
        open_bank(few / "bnk")
    data = made / DATA
    stored = data.read_bytes()
    at = stored.index(b"IDAT") + 8
    data.write_bytes(stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :])
    with pytest.raises(UsageError, match=r"row 0 is not what bank.json says"):
        list(Bank(made).defects())
    record = json.loads((made / "bank.json").read_text())
    record["defects"][0]["defect_type"] = "other"
    (made / "bank.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"bank.json: is damaged"):
        Bank(made)


@pytest.mark.parametrize("name", ["bank.json", str(DATA)])
def test_no_bank_is_read_through_a_link_that_leads_out_of_its_folder(few, name):
    made = bank(few / "defects", few / "bank", masks=few / "masks").path
    (made / "bank.json").rename(few / "record")  # the data hold it, too
    (made / "bank.json").symlink_to(few / "record")
    if name != "bank.json":
        (made / name).rename(few / "data")
        (made / name).symlink_to(few / "data")
        with pytest.raises(UsageError, match="is no bank of defects"):
            Bank(made)
    else:
        (few / "record").write_text('{"anomgen_bank": 1}')
        assert len(list(Bank(made).defects())) == len(Bank(made))


def test_a_bank_is_pushed_with_its_card_and_used_from_there(hub, few):
    from anomgen.hub import push

    bank(few / "defects", few / "scratches", masks=few / "masks", license="cc-by-4.0")
    pushed = push(few / "scratches", "me/defects", revision_tag="v1")
    repo = hub.repos["dataset", "me/defects"]
    assert sorted(repo.files) == [
        ".gitattributes",
        "README.md",
        "scratches/bank.json",
        "scratches/data/train-00000-of-00001.parquet",
        "scratches/preview.png",
    ]
    card = repo.files["README.md"].decode()
    assert "generator.bank=me/defects:scratches" in card and 'load_dataset("me/defects", "scratches"' in card
    assert pushed.license == "cc-by-4.0" and push(few / "scratches", "me/defects").files == ()
    assert open_bank("me/defects").fingerprint == Bank(few / "scratches").fingerprint
    assert open_bank("me/defects:scratches").defect_types == ("bar", "spot")
    with pytest.raises(UsageError, match="no bank of defects"):
        open_bank("me/defects:dents")


def test_the_command_makes_and_shows_it(few):
    def run(*words):
        done = CliRunner().invoke(app, [*map(str, words)])
        assert done.exit_code == 0, done.output
        return done.stdout

    made = run("bank", few / "defects", "-m", few / "masks", "-o", few / "bank", "--without", "spot/1.png", "--json")
    assert json.loads(made)["defect_types"] == {"bar": 2, "spot": 1}
    told = run("bank", few / "defects", "-m", few / "masks", "-o", few / "bank", "--overwrite", "-n", 1)
    assert ": 1 defect (" in told and f"generator.bank={few / 'bank'}" in told.splitlines()[-1]
    run("preview", few / "bank", "-o", few / "sheet.png")
    assert cv2.imread(str(few / "sheet.png")).shape[0] > 48


def marked(seed, kind, item="a.png"):
    image, mask = defect(seed, 48)
    return Defect(item, kind, np.ascontiguousarray(image), mask > 0, file_digest(image.tobytes()))


def test_defects_are_added_one_by_one_and_marking_one_again_replaces_it(tmp_path):
    out = tmp_path / "bank"
    add_defect(out, marked(1, "spot"), license="CC BY 4.0")
    add_defect(out, marked(2, "spot"))
    add_defect(out, marked(2, "bar"))
    other = marked(1, "spot")
    smaller = np.zeros_like(other.mask)
    smaller[20:24, 20:24] = True
    told = add_defect(out, Defect("a.png", "spot", other.image, smaller, other.digest))
    opened = open_bank(out)
    assert told.defect_types == {"bar": 1, "spot": 2} and told.license == "cc-by-4.0"
    assert [own.item for own in opened.defects()] == ["a-2.png", "a-3.png", "a.png"]
    assert np.array_equal(opened.defect(2).mask, smaller) and np.array_equal(opened.defect(2).image, other.image)
    with pytest.raises(UsageError, match="no defect 3"):
        opened.defect(3)


def test_what_is_no_mark_and_what_is_no_bank_is_refused(tmp_path):
    own = marked(1, "spot")
    for mask, text in ((own.mask & False, "marks no pixel"), (own.mask | True, "as if inverted")):
        with pytest.raises(SourceError, match=text):
            add_defect(tmp_path / "bank", Defect("a.png", "spot", own.image, mask, own.digest))
    assert not (tmp_path / "bank").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UsageError, match="holds other files"):
        add_defect(tmp_path / "other", own)


def test_no_bank_with_a_damaged_picture_is_published(hub, few):
    from anomgen.hub import push

    made = bank(few / "defects", few / "scratches", masks=few / "masks", license="cc-by-4.0").path
    stored = (made / DATA).read_bytes()
    at = stored.index(b"IDAT") + 8
    (made / DATA).write_bytes(stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :])
    with pytest.raises(UsageError, match=r"row 0 is not what bank.json says"):
        push(made, "me/defects", dry_run=True)
    assert not hub.repos


def test_no_bank_of_proposals_is_published(hub, bare):
    from anomgen.hub import push

    bank(bare / "defects", bare / "bank", normal=bare / "good", license="mit")
    with pytest.raises(UsageError, match="3 of its masks are proposals"):
        push(bare / "bank", "me/defects")
