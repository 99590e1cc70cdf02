"""The columns of a dataset: those that `datasets` would write, with one vocabulary of defect types."""

import pyarrow as pa
import pytest
from made_dataset import made_rows

from anomgen.dataset.columns import VOCABULARY, Columns
from anomgen.dataset.writer import write_shard
from anomgen.errors import UsageError
from anomgen.making.recipe import bundled_recipes, load_recipe


@pytest.mark.parametrize("keep_normal", [False, True])
def test_the_schema_is_the_one_that_datasets_would_write(keep_normal):
    datasets = pytest.importorskip("datasets")
    columns = Columns(("nsa", "scar"), keep_normal)
    expected = datasets.Features.from_dict(columns.features)
    assert columns.schema.equals(expected.arrow_schema)
    assert columns.schema.metadata[b"huggingface"] == expected.arrow_schema.metadata[b"huggingface"]
    assert isinstance(expected["image"], datasets.Image)
    assert expected["defect_type"].names == ["normal", *VOCABULARY]


def test_datasets_of_two_recipes_can_be_joined(tmp_path):
    """Also one with a defect type of the user's own, which comes after those that are known."""
    datasets = pytest.importorskip("datasets")
    parts = []
    for name in ("nsa", "scar"):
        rows = made_rows(4, types=(name,))
        write_shard(tmp_path / f"{name}.parquet", rows, Columns((name,)), {})
        parts.append(datasets.Dataset.from_parquet(str(tmp_path / f"{name}.parquet"), cache_dir=str(tmp_path / "c")))
    joined = datasets.concatenate_datasets(parts)
    names = joined.features["defect_type"].names
    assert {names[number] for number in joined["defect_type"]} == {"normal", "nsa", "scar"}
    assert Columns(("glue", "nsa")).defect_names == ("normal", *VOCABULARY, "glue")


def test_every_bundled_defect_type_is_in_the_vocabulary_and_keeps_its_number():
    """Numbers are in finished datasets: names are added at the end of the vocabulary, and none is moved."""
    types = {name for recipe in bundled_recipes() for name in load_recipe(recipe).generator.defect_types}
    assert types <= set(VOCABULARY) and len(set(VOCABULARY)) == len(VOCABULARY)
    assert VOCABULARY[:9] == ("boxes", "cutpaste", "scar", "fpi", "pii", "nsa", "perlin", "sdas", "cyclegan")
    assert VOCABULARY[9:].index("broken_outline") == 15


def test_columns_of_a_dataset_without_the_vocabulary_are_read():
    """As anomgen 0.1 wrote them: the classes are the dataset's own."""
    schema = Columns(("nsa", "scar"), vocabulary=()).schema
    older = schema.with_metadata({b"huggingface": schema.metadata[b"huggingface"]})
    columns = Columns.of_schema(older)
    assert (columns.defect_types, columns.defect_names) == (("nsa", "scar"), ("normal", "nsa", "scar"))
    with pytest.raises(ValueError, match="are not among the classes"):
        Columns.of_schema(schema.with_metadata({**schema.metadata, b"anomgen.defect_types": b'["glue"]'}))


def test_columns_come_back_from_a_schema():
    columns = Columns(("a", "b"), keep_normal=True)
    assert Columns.of_schema(columns.schema) == columns
    place = columns.schema.get_field_index("label")
    other = columns.schema.set(place, columns.schema.field(place).with_type(pa.string()))
    with pytest.raises(ValueError, match=r"^its column label holds string, not int64$"):
        Columns.of_schema(other)


@pytest.mark.parametrize("types", [("normal",), ("a", "a")])
def test_a_defect_type_that_makes_the_column_ambiguous_is_refused(types):
    with pytest.raises(UsageError, match="taken"):
        Columns(types)
