"""Tables, and what VIA writes, beside normal images: what they call anomalous is left out, and nothing else."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import write
from test_sources_annotations import listed, put, require_one_left_out

from anomgen.sources.labelled import photos

VIA = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
BOXES = "filename,width,height,class,xmin,ymin,xmax,ymax"


def table(*rows):
    return "\n".join([*rows, ""])


def via(*files):
    """Regions of VIA; files: a name, attributes of the file and of each of its regions."""
    return {
        f"{name}99": {
            "filename": name,
            "size": 99,
            "regions": [{"shape_attributes": {"name": "rect"}, "region_attributes": own} for own in regions],
            "file_attributes": about,
        }
        for name, about, *regions in files
    }


def numbered(files):
    """Return what the first versions of VIA wrote: regions by their numbers."""
    return {key: {**own, "regions": dict(enumerate(own["regions"]))} for key, own in files.items()}


DENT = via(("0.png", {"caption": ""}), ("1.png", {}, {"name": "", "type": "dent", "image_quality": {"frontal": True}}))
CALLED = via(("0.png", {"label": "ok"}), ("1.png", {"label": {"defect": True, "blurred": False}}))
PROJECT = {"_via_settings": {"ui": {}}, "_via_img_metadata": DENT, "_via_attributes": {}}

MARKING = {
    "classes of Roboflow": {"_classes.csv": table("filename, Defect, Good", "0.png, 0, 1", "1.png, 1, 0")},
    "classes that may be beside each other": {
        "_classes.csv": table("filename, dent, oily", "0.png, 0, 0", "1.png, 1, 1")
    },
    "boxes of Roboflow": {"_annotations.csv": table(BOXES, "1.png,48,40,dent,1,1,9,9", "2.png,48,40,good,1,1,9,9")},
    "boxes of no class": {
        "../train.csv": table("image_id,width,height,bbox", '1.png,48,40,"[1, 2, 3, 4]"', "2.png,48,40,")
    },
    "RetinaNet": {"annotations.csv": table("/data/1.png,1,1.5,9,9,dent", "/data/2.png,,,,,")},
    "RetinaNet, first without a box": {"annotations.csv": table("/data/0.png,,,,,", "/data/1.png,1,1,9,9,dent")},
    "VIA": {"via_region_data.json": json.dumps(DENT)},
    "VIA 1": {"via_region_data.json": json.dumps(numbered(DENT))},
    "a project of VIA": {"via_project.json": json.dumps(PROJECT)},
    "a file's attributes in VIA": {"via_region_data.json": json.dumps(CALLED)},
    "a table of VIA": {
        "via_region_data.csv": table(
            VIA, '0.png,9,"{}",0,0,"{}","{}"', '1.png,9,"{}",1,0,"{""name"":""rect""}","{""type"":""dent""}"'
        )
    },
    "a table of VIA 1": {"via.csv": table(f"#{VIA}", '1.png,9,"{}",1,0,"{""name"":""rect""}","{}"')},
    "labels": {"meta.csv": table("filename,label", "0.png,good", "1.png,scratch")},
    "labels with folders": {
        "../../labels.csv": table("image,class", "images/photos/0.png,ok", "images/photos/1.png,NG")
    },
    "labels of Kaggle": {"../train.csv": table("image_id,label", "0,normal", "1,defective")},
    "a spreadsheet of Europe": {"parts.csv": table("\ufeffBild;Filename;Result", "a;0.png;i.O.", "b;1.png;n.i.O.")},
    "tabs": {"parts.csv": table("Image Name\tClass", "0.png\tgut", "1.png\tAusschuss")},
    "tabs in a file of them": {"parts.tsv": table("image\tlabel", "0.png\tgood", "1.png\tdent")},
    "a table of the Hub": {"metadata.csv": table("file_name,label", "0.png,good", "1.png,defect")},
    "JSON lines of the Hub": {
        "metadata.jsonl": table(
            '{"file_name": "0.png", "label": "good"}', "", '{"file_name": "1.png", "label": "defect", "text": null}'
        )
    },
    "objects in JSON lines": {
        "metadata.jsonl": table(
            '{"file_name": "0.png", "objects": {"bbox": [], "categories": []}}',
            '{"file_name": "1.png", "objects": {"bbox": [[1, 2, 3, 4]], "categories": [0]}}',
        )
    },
    "flags in JSON lines": {
        "metadata.jsonl": table(
            *(f'{{"file_name": "{k}.png", "is_good": {"false" if k == 1 else "true"}}}' for k in range(5))
        )
    },
    "no header": {"labels.csv": table("0.png,ok", "1.png,ng")},
    "blanks": {"../labels.csv": table("photos/0.png  normal mono", "photos/1.png  defective mono")},
    "a column of defects": {"log.csv": table("file,defect_type", "0.png,none", "1.png,scratch", "2.png,")},
    **{
        f"{none} for no defect": {"log.csv": table("file,defect", f"0.png,{none}", "1.png,dent")}
        for none in ("n/a", "NA", "keine", "ohne Befund", "nil")
    },
    "a status": {"log.csv": table("file,status", "0.png,ok", "1.png,nok")},
    "a status of the bad": {"log.csv": table("file,status", "1.png,nok")},
    "flags of a telling column": {"log.csv": table("file,label,is_good", "0.png,a,1", "1.png,b,0", "2.png,b,")},
    "true and false": {"log.csv": table("file,gain,defective", "0.png,1,False", "1.png,0,True")},
    "a label behind a silent one": {"log.csv": table("file,class,verdict", "0.png,bolt,pass", "1.png,nut,fail")},
}


@pytest.mark.parametrize("files", MARKING.values(), ids=MARKING)
def test_an_image_that_a_table_or_via_calls_anomalous_is_left_out(tmp_path, files):
    require_one_left_out(tmp_path, files)


def test_classes_in_json_lines_are_told_one_by_one(tmp_path):
    said = ('{"bbox": [[1, 2, 3, 4], [5, 6, 7, 8]], "category": ["cap", "dent"]}', '{"bbox": [], "category": []}')
    rows = (f'{{"file_name": "{k}.png", "objects": {said[k != 1]}}}' for k in range(5))
    notes = put(tmp_path / "photos", {"metadata.jsonl": table(*rows)})[1]
    assert "which annotations mark (cap on 1, dent on 1): 1.png |" in notes


OTHER = {
    "a camera's settings": {"meta.csv": table("filename,exposure,flash", "0.png,3,0", "1.png,4,1")},
    "an inventory": {"parts.csv": table("image,category,price", "0.png,bolt,3", "1.png,nut,4")},
    "what a camera counts": {"c.csv": table("file,bad_pixels,ok_share", "0.png,3,.2", "1.png,14,.8")},
    "a machine": {"c.csv": table("file,fail_safe,passPort", "0.png,0,1", "1.png,1,0")},
    "all are good": {"c.csv": table("file,label", *(f"{k}.png,good" for k in range(5)))},
    "one figure for all": {"c.csv": table("file,label", *(f"{k}.png,0" for k in range(5)))},
    "a score": {"c.csv": table("file,anomaly", *(f"{k % 5}.png,.{k}7" for k in range(12)))},
    "images elsewhere": {"../train.csv": table("image,label", "a.png,0", "b.png,1", "c.png,bad")},
    "numbers of anything": {"../orders.csv": table("id,status", "1,rejected", "2,ok")},
    "colours of masks": {"_classes.csv": table("Pixel Value, Class", "0, background", "1, dent")},
    "a list of images": {"files.csv": table("0.png", "1.png")},
    "an empty table": {"empty.csv": "", "meta.csv": "\n"},
    "a table without rows": {"c.csv": BOXES, "d.csv": "filename,label", "e.csv": VIA, "_classes.csv": "filename, dent"},
    "a header that is none": {"c.csv": '"filename\nlabel",x\n1.png,bad\n'},
    "captions in JSON lines": {"metadata.jsonl": table('{"file_name": "1.png", "text": "a bad part"}')},
    "other JSON lines": {"log.jsonl": "[1]\n{", "x.jsonl": "3\n", "e.jsonl": "", "f.tsv": "a\tb\n"},
    "sources": {"../SOURCES.tsv": table("photos/0.png\tx/Defects/0.png", "photos/1.png\tx/test/good/1.png")},
    "masks": {"m.csv": table("image,target", "0.png,bad/0.png", "1.png,good/1.png")},
    "short rows": {"c.csv": table("label,file,xmin,ymin,xmax,ymax", "dent,1.png", "dent", "")},
    "other JSON": {"site.json": '{"regions": [{"name": "north"}], "_via_img_metadata": []}'},
    "VIA without regions": {"via.json": json.dumps(via(("1.png", {"caption": "a part", "public_domain": "no"})))},
}


@pytest.mark.parametrize("files", OTHER.values(), ids=OTHER)
def test_other_tables_change_nothing_and_are_not_told_of(tmp_path, files):
    images, notes = put(tmp_path / "images" / "photos", files)
    assert len(images) == 5 and "annotations" not in notes and "may say" not in notes


DOUBTFUL = {
    "ELPV": {"../labels.csv": table("photos/0.png  0.0 mono", "photos/1.png  0.33 poly", "photos/2.png  1.0 mono")},
    "Kaggle": {"../train.csv": table("id_code,diagnosis", *(f"{k},{k % 2}" for k in range(5)))},
    "some of the images": {"train.csv": table("image,label", "1.png,1")},
    "booleans": {"c.csv": table("image,target", "0.png,True", "1.png,false")},
    **{
        name: {"c.csv": table(f"image,{name}", "0.png,0", "1.png,1")}
        for name in ("bad_pixels", "focus_ok", "normal_x", "accepted_terms", "is_good_seller")
    },
    "a shop": {"shop.csv": table("file,status", "0.png,OK", "1.png,sold out")},
    "positive and negative": {"c.csv": table("image,result", "0.png,Negative", "1.png,Positive")},
}


@pytest.mark.parametrize("files", DOUBTFUL.values(), ids=DOUBTFUL)
def test_labels_that_do_not_say_which_is_normal_are_told_of(tmp_path, files):
    images, notes = put(tmp_path / "images" / "photos", files)
    file = next(iter(files))
    assert len(images) == 5
    assert (
        f"1 file, not read, may say which images are anomalous: {file} ({file.removeprefix('../')}: its labels in "
        in notes
    )
    assert "do not say which of them is normal; write words instead, such as good and defect). Take these" in notes


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"via.csv": table(VIA, "1.png,9,{")}, "via.csv: holds no regions of VIA (KeyError"),
        ({"via.csv": table(VIA, "1.png,9,{,1,0,{},{}")}, "via.csv: holds no regions of VIA (ValueError: no JSON"),
        ({"v.json": '{"a": {"filename": "1.png", "regions": 3}}'}, "v.json: holds no regions of VIA (TypeError"),
        ({"m.jsonl": '{"file_name": "1.png", "label": "bad"}\n{'}, "m.jsonl: is no table (ValueError: no JSON"),
        ({"c.csv": table("filename,label", f"1.png,{'x' * 200_000}")}, "c.csv: is no table (Error: field larger"),
    ],
)
def test_a_damaged_table_is_told_of(tmp_path, files, told):
    images, notes = put(tmp_path / "photos", files)
    assert len(images) == 5 and f"may say which images are anomalous: {next(iter(files))} ({told}" in notes


def test_the_note_on_a_table_names_its_column(tmp_path):
    notes = put(tmp_path / "photos", MARKING["a label behind a silent one"])[1]
    assert "annotations were read from log.csv (column verdict); if they mark no defects" in notes


def test_a_table_in_another_encoding_is_told_of(tmp_path):
    write(tmp_path, {"0.png": 0, "1.png": 1})
    (tmp_path / "c.csv").write_bytes("filename,label\n0.png,défaut\n".encode("cp1252"))
    assert "c.csv (c.csv: cannot be read (not a text file in UTF-8" in listed(tmp_path)[1]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(sorted(MARKING)))
def test_a_tampered_table_never_ends_in_a_traceback(tmp_path, data, kind):
    name, text = next(iter(MARKING[kind].items()))
    whole, place = text.encode(), tmp_path / name.rpartition("/")[2]
    start = data.draw(st.integers(0, len(whole)))
    cut = whole[:start] + data.draw(st.binary(max_size=9)) + whole[start + data.draw(st.integers(0, 9)) :]
    write(tmp_path, {} if (tmp_path / "0.png").exists() else {f"{k}.png": k for k in range(3)})
    place.write_bytes(cut)
    assert len(photos(str(tmp_path)).found) > 0
    place.unlink()
