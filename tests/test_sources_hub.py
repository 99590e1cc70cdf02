"""Hugging Face datasets as the source: local Parquet, saved, and image folders, without the internet."""

import io
import json
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from anomgen.errors import SourceError, UsageError
from anomgen.licenses import known
from anomgen.sources.conformance import check_source
from anomgen.sources.hub import Hub, _with_bytes, datasets_library, split_names

try:
    import datasets
except ImportError:
    datasets = None

pytestmark = [
    pytest.mark.skipif(datasets is None, reason='needs datasets: pip install ".[hub]"'),
    pytest.mark.usefixtures("offline"),
]

DEEP = np.random.default_rng(0).integers(0, 65535, (5, 40, 50, 3), endpoint=True).astype(np.uint16)


def png(array):
    return cv2.imencode(".png", array[..., ::-1])[1].tobytes()


def table(labels=None, **more):
    """Return a dataset of five 16-bit images, with class labels where asked for."""
    names = sorted(set(labels or []))
    features = {"score": datasets.Value("float32"), "image": datasets.Image(), "mask": datasets.Image()}
    columns = {
        "score": [0.5] * 5,
        "image": [{"bytes": png(array), "path": f"{i:06d}.png"} for i, array in enumerate(DEEP)],
        "mask": [None] * 5,
    }
    if labels:
        features["label"] = datasets.ClassLabel(names=names)
        columns["label"] = [names.index(label) for label in labels]
    for name, values in more.items():
        features[name] = datasets.Value("string")
        columns[name] = values
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def parquet(root, dataset, split="train", card=None):
    (root / "data").mkdir(parents=True, exist_ok=True)
    dataset.to_parquet(root / "data" / f"{split}-00000-of-00001.parquet")
    if card:
        (root / "README.md").write_text(f"---\n{card}\n---\n# Card\n")
    return root


@pytest.fixture
def local(tmp_path):
    parquet(tmp_path / "set", table(), "test")
    return parquet(tmp_path / "set", table(), card="license: cc-by-4.0")


def split_names_of(path):
    with datasets_library() as library:
        return split_names(library, Hub(path=path), path)


def ids(source):
    return [source.id(index) for index in range(len(source))]


def test_a_local_parquet_folder(local):
    check_source(Hub(path=str(local), size=32))
    source = Hub(path=str(local), size=None).open()
    assert ids(source)[:2] == ["train/000000", "train/000001"] and len(source) == 5
    assert source.license == "cc-by-4.0"
    assert all(np.array_equal(source[i], DEEP[i]) for i in range(5))


def test_the_split_comes_from_the_path_or_the_field(local):
    by_path, by_field = Hub(path=f"{local}:test").open(), Hub(path=str(local), split="test").open()
    assert ids(by_path)[0] == "test/000000" and by_path.fingerprint() == by_field.fingerprint()
    assert len(Hub(path=f"{local}:train[:3]").open()) == 3
    with pytest.raises(UsageError, match=r"'train', but the path .* says 'test'"):
        Hub(path=f"{local}:test", split="train").open()
    with pytest.raises(UsageError, match=r"no split 'tes' \(there is train, test\); did you mean 'test'"):
        Hub(path=f"{local}:tes").open()


def test_saved_datasets(tmp_path):
    table().save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table(), "val": table()}).save_to_disk(tmp_path / "many")
    first = Hub(path=str(tmp_path / "one")).open()
    assert first.fingerprint() == Hub(path=str(tmp_path / "many")).open().fingerprint()
    assert np.array_equal(Hub(path=f"{tmp_path / 'many'}:val", size=None).open()[4], DEEP[4])
    with pytest.raises(UsageError, match=r"no split 'vall' .*; did you mean 'val'"):
        Hub(path=str(tmp_path / "many"), split="vall").open()


def test_equal_contents_elsewhere_have_an_equal_fingerprint(local, tmp_path):
    other = parquet(tmp_path / "other", table())
    assert Hub(path=str(other)).open().fingerprint() == Hub(path=str(local)).open().fingerprint()


def test_a_worker_gets_a_reference_and_no_images(local):
    source = Hub(path=str(local)).open()
    data = pickle.dumps(source)
    assert len(data) < 10_000
    assert np.array_equal(pickle.loads(data)[2], source[2])


def test_columns(local):
    with pytest.raises(UsageError, match=r"no column of images 'imgae' .*; did you mean 'image'"):
        Hub(path=str(local), column="imgae").open()
    with pytest.raises(UsageError, match=r"'score' does not hold images; its columns are score \(float32\)"):
        Hub(path=str(local), column="score").open()
    with pytest.raises(SourceError, match="row 0: has no image in column 'mask'"):
        Hub(path=str(local), column="mask").open()


def test_no_column_of_images(tmp_path):
    root = parquet(tmp_path / "text", datasets.Dataset.from_dict({"text": ["a", "b"]}))
    with pytest.raises(UsageError, match=r"has no column of images; its columns are text \(string\)"):
        Hub(path=str(root)).open()


@pytest.mark.parametrize("word", ["normal", "good", "OK"])
def test_anomalous_rows_are_never_taken_silently(tmp_path, word):
    root = parquet(tmp_path / "set", table([word, "crack", word, "dent", word]))
    with pytest.raises(UsageError, match=f"label is also crack, dent.*label_column=label --set source.label={word}"):
        Hub(path=str(root)).open()
    source = Hub(path=str(root), label_column="label", label=word).open()
    assert ids(source) == ["train/000000", "train/000002", "train/000004"]
    assert Hub(path=str(root), label=word).open().fingerprint() == source.fingerprint()


def test_labels_as_text_and_wrong_labels(tmp_path):
    root = parquet(tmp_path / "set", table(label=["good", "bad", "good", "bad", "good"]))
    with pytest.raises(UsageError, match="label is also bad"):
        Hub(path=str(root)).open()
    assert len(Hub(path=str(root), label_column="label", label="good").open()) == 3
    with pytest.raises(UsageError, match=r"no label 'god' \(there is bad, good\); did you mean 'good'"):
        Hub(path=str(root), label_column="label", label="god").open()
    with pytest.raises(UsageError, match=r"no column 'lable' .*; did you mean 'label'"):
        Hub(path=str(root), label_column="lable", label="good").open()
    with pytest.raises(UsageError, match=r"needs source\.label, one of bad, good"):
        Hub(path=str(root), label_column="label").open()
    with pytest.raises(UsageError, match=r"source\.label needs source\.label_column"):
        Hub(path=str(root), label="good").open()


def test_rows_of_normal_images_only_need_no_label(tmp_path):
    assert len(Hub(path=str(parquet(tmp_path / "set", table(["good"] * 5)))).open()) == 5


def test_an_image_folder_with_exif_and_labels(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    for name in ("good/a", "good/b", "crack/c"):
        (tmp_path / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "train" / f"{name}.jpg", exif=exif)
    with pytest.raises(UsageError, match="label is also crack"):
        Hub(path=str(tmp_path)).open()
    source = Hub(path=str(tmp_path), label="good", size=None).open()
    assert len(source) == 2 and source[0].shape == (60, 40, 3)
    check_source(source)


def test_bad_rows_are_named_or_skipped(tmp_path):
    data = io.BytesIO()
    Image.new("CMYK", (40, 40)).save(data, "JPEG")
    cells = [{"bytes": png(DEEP[0]), "path": None}, {"bytes": data.getvalue(), "path": None}]
    features = datasets.Features({"image": datasets.Image()})
    root = parquet(tmp_path / "set", datasets.Dataset.from_dict({"image": cells}, features=features))
    with pytest.raises(SourceError, match="train/000001: is CMYK"):
        Hub(path=str(root)).open()
    assert Hub(path=str(root), on_bad_image="skip").open().skipped == ("train/000001",)


def test_configurations(tmp_path):
    for name in ("small", "large"):
        parquet(tmp_path / name, table())
    (tmp_path / "README.md").write_text(
        "---\nlicense: [mit, apache-2.0]\nconfigs:\n"
        "- {config_name: small, data_files: small/data/*}\n- {config_name: large, data_files: large/data/*}\n---\n"
    )
    with pytest.raises(UsageError, match=r"configurations small, large; choose one with --set source\.name=small"):
        Hub(path=str(tmp_path)).open()
    with pytest.raises(UsageError, match=r"no configuration 'larg' .*; did you mean 'large'"):
        Hub(path=str(tmp_path), name="larg").open()
    source = Hub(path=str(tmp_path), name="large").open()
    assert len(source) == 5 and source.license is None  # two licences are not one


def bomb(line_end):
    lines = ["x0: &x0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"x{k}: &x{k} [{','.join([f'*x{k - 1}'] * 10)}]" for k in range(1, 9)]
    return line_end.join(["---", *lines, "dataset_info:", "  splits: *x8", "---", ""]).encode()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("README.md", bomb("\n"), "more than 20 aliases"),
        ("README.md", bomb("\r"), "more than 20 aliases"),
        (".huggingface.yaml", bomb("\n").strip(b"-\n"), "more than 20 aliases"),
        ("README.md", b"---\nx: \x97\n---\n", "UTF-8"),
        ("README.md", b"---\nx: 1\nx: 2\n---\n", "'x' is given twice"),
        ("README.md", b"---\nx: " + b"a" * (1 << 22) + b"\n---\n", "holds more than"),
    ],
    ids=["aliases", "carriage returns", "standalone", "encoding", "twice", "size"],
)
@pytest.mark.parametrize("use", [lambda path: Hub(path=path).open(), split_names_of], ids=["open", "splits"])
def test_metadata_are_read_strictly_before_the_library_reads_them(local, use, name, content, expected):
    (local / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{name}: .*{expected}"):
        use(str(local))


def test_what_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"no such folder, nor is it an id OWNER/NAME of the Hub \(no 'sett' in"):
        Hub(path=str(tmp_path / "sett")).open()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no data"):
        Hub(path=str(tmp_path / "empty")).open()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-0.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(SourceError, match="cannot be loaded"):
        Hub(path=str(tmp_path)).open()


def test_without_the_internet_the_error_says_so():
    with pytest.raises(SourceError, match=r"the Hub cannot be reached.*HF_HUB_OFFLINE"):
        Hub(path="somebody/something").open()


def test_an_id_that_the_hub_does_not_know(monkeypatch):
    def unknown(*args, **kwargs):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unknown)
    with pytest.raises(UsageError, match="the Hub has no such dataset"):
        Hub(path="a/b").open()


def test_progress_bars_stay_as_they_were(local, capfd):
    assert not datasets.are_progress_bars_disabled()
    Hub(path=str(local)).open()
    assert not datasets.are_progress_bars_disabled()
    assert capfd.readouterr() == ("", "")


def test_a_missing_extra_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r'pip install "\.\[hub\]"'):
        Hub(path="a/b").open()


def test_configuration_round_trips_and_is_portable():
    config = Hub(path="/home/me/set:test", label_column="label", label="good", size=(32, 48))
    assert Hub.model_validate(config.model_dump(mode="json")) == config
    assert config.portable().path == "set:test"
    assert Hub(path="owner/name:test").portable().path == "owner/name:test"


def test_the_core_is_imported_without_the_library():
    code = (
        "import sys, anomgen.sources.hub, anomgen.sources.detection; print({'datasets', 'skimage'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def naming(root, named):
    """Write a dataset of one row whose image is the name of a file, which the library would embed."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})
    rows = pa.table({"image": pa.array([{"bytes": None, "path": named}], kind)})
    (root / "data").mkdir(parents=True)
    pq.write_table(
        rows.replace_schema_metadata({"huggingface": features}), root / "data" / "train-00000-of-00001.parquet"
    )


OWN = "hf://datasets/me/x@0123abc"


@pytest.mark.parametrize(
    "named",
    [
        "{}",
        "hf://datasets/me/xy@0123abc/a.png",
        "hf://datasets/me/x/a.png",
        "hf://me/x@main/a.png",
        "https://host/datasets/me/x/resolve/main/a.png",
        "file://{}",
        f"{OWN}/a.zip::file://{{}}",
        f"file://{{}}::{OWN}/a.zip",
        f"{{}}::{OWN}/a.zip",
        f"simplecache::file://{{}}::{OWN}/a.zip",
        f"zip://a.png::file://{{}}::{OWN}/a.zip",
        f"{OWN}/../../y/a.png",
        f"{OWN}/%2e%2e/y/a.png",
        None,
    ],
)
def test_rows_that_are_streamed_name_no_file_outside_the_dataset(tmp_path, named):
    """Law: before a file is opened, its address must be that of the dataset's repository, through archives at most."""
    (tmp_path / "mine.png").write_bytes(png(DEEP[0]))
    with pytest.raises(SourceError, match=r"me/x: a row names the file .* which is not the dataset's"):
        _with_bytes({"bytes": None, "path": named and named.format(tmp_path / "mine.png")}, "me/x")


@pytest.mark.parametrize("chain", ["", "zip://sub/a.png::", "gzip://a.png::tar://b.gz::"])
def test_rows_that_are_streamed_are_read_from_the_datasets_repository(monkeypatch, chain):
    opened = []

    def fake(path, mode):
        opened.append((path, mode))
        return io.BytesIO(b"picture")

    monkeypatch.setattr("fsspec.open", fake)
    address = f"{OWN}/train/a.png"
    assert _with_bytes({"bytes": None, "path": chain + address}, "me/x")["bytes"] == b"picture"
    assert opened == [(chain + address, "rb")]
    assert _with_bytes(None, "me/x") is None
    stored = {"bytes": b"stored", "path": "/etc/passwd"}
    assert _with_bytes(stored, "me/x") == stored and len(opened) == 1


@pytest.mark.parametrize("where", ["absolute", "above", "inside and above", "http://127.0.0.1:1/a.png"])
def test_rows_name_no_file_outside_the_dataset(tmp_path, where):
    """Law: a cell without bytes is read from the dataset's folder alone."""
    outside, root = tmp_path / "mine.png", tmp_path / "set"
    outside.write_bytes(png(DEEP[0]))
    names = {"absolute": str(outside), "above": "../mine.png", "inside and above": str(root / ".." / "mine.png")}
    naming(root, names.get(where, where))
    with pytest.raises(SourceError, match=r"row 0: names the file .* which is not the dataset's"):
        Hub(path=str(root), size=None).open()[0]


@pytest.mark.parametrize("where", ["own.png", "absolute"])
def test_rows_may_name_files_of_the_dataset(tmp_path, where):
    root = tmp_path / "set"
    naming(root, str(root / "own.png") if where == "absolute" else where)
    (root / "own.png").write_bytes(png(DEEP[1]))
    assert np.array_equal(Hub(path=str(root), size=None).open()[0], DEEP[1])


@pytest.mark.parametrize(
    ("license", "note"),
    [
        ("other\nlicense_name: mine", "says license: other, license_name: mine, which is one of its own"),
        ("cc-by-4.0\n---\nImages are under NDA.", "names cc-by-4.0, but says '# Images are under NDA.'"),
        (r'"mit\n---\n# hi"', None),
        ("unknown", None),
    ],
)
def test_a_card_whose_licence_is_one_of_its_own_or_taken_back_or_no_name_names_none(tmp_path, license, note):
    folder = parquet(tmp_path / "set", table(), card=f"license: {license}")
    source = Hub(path=str(folder), size=32).open()
    assert known(source.license) is None
    assert note is None or note in source.notes[0]


def test_a_licence_file_beside_the_rows_goes_before_the_card(local):
    (local / "data" / "LICENSE").write_text("All rights reserved.")
    source = Hub(path=str(local), size=32).open()
    assert source.license is None and source.notes[0].startswith("licence unknown: data/LICENSE says")
