"""What the names of folders and images say of being normal, where a folder is the source."""

import pytest
from test_sources_folder import write

from anomgen.errors import UsageError
from anomgen.sources.folder import Folder
from anomgen.sources.labelled import listing
from anomgen.sources.verdicts import opposed

OPPOSED = """
nondefective|defective nodefects|defects uncracked|cracked noncrack|crack fehlerfrei|fehlerhaft flawless|flawed
unbroken|broken perfect|imperfect complete|incomplete aligned|misaligned 未破损|破损 良|不良 정상|비정상 rust|norust
notumor|glioma rustfree|rust ohne_Riss|mit_Riss without_cracks|cracks Uninfected|Parasitized yes|no
Apple___healthy|Apple___scab normal-cecum|polyps freshapples|rottenapples Fresh_Apple|Rotten_Apple
Gutteile|Schlechtteile goodPCB|missingPCB no_defect|blowhole background|defects perfect-rail|defective-rail
gut|Kratzer iO|Kratzer good_001|crack_001 benign|malignant
"""
HONEST = """
cam1|cam2 no_defects|cam1 no_defects|batch_2 no_defects|2024-05-02 ok_front|ok_side normal_light|dim_light
normal_exposure|night bad_light|dim_light coated|uncoated woven|nonwoven flash|no_flash no_logo|logo
wired|wireless with_logo|without_logo labeled|unlabeled inside|side inboard|board imported|ported union|ion
unit|it No_1|No_2 abc|def|ghi ko|en|ja Bad_Homburg|Kassel io_board|cpu_board pass1|pass2 goods|faces
Goodyear|Michelin stainless|copper sugar-free|classic smooth|rough gold|golden los_malos|los_otros free|busy
morning|evening seamed|seamless bottle|cable leather|wood front|back A|B 1|2 M6|M8 nova|va shoe|boot new|old
freight|eight nylon|lon salted|unsalted sugar-free|sugar bleifrei|Blei stainless|stain no_lid|lid No_Entry|Yield
beschichtet|unbeschichtet 不透明|透明 无糖|糖 ripe|unripe fail-safe_valve|band-pass_filter FailSafe|BandPass
passport|pass_word No_DR|Severe
"""


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["train/good/a.png", "test/crack/b.png"], r"test images \(test/\)"),
        (["Train/a.png", "Test_public/b.png"], "test images"),
        (["train/good/a.png", "ground_truth/crack/b.png"], r"masks \(ground_truth/\)"),
        (["images/a.png", "Masks/a.png"], r"masks \(Masks/\)"),
        (["bottle/test/good/a.png", "bottle/test/crack/b.png"], "crack/ beside good/"),
        (["Normal/a.png", "Anomaly/b.png"], "Anomaly/ beside Normal/"),
        (["bottle/train/good/a.png", "bottle/test/good/b.png"], "/bottle holds test images"),
        (["ok_front/a.png", "def_front/b.png"], "def_front/ beside ok_front/"),
        (["0_normal/a.png", "1_defect/b.png"], "1_defect/ beside 0_normal/"),
        (["Class1/a.png", "Class1_def/b.png", "Class2/c.png"], "Class1_def/ beside Class1/"),
        (["top/ok-1/a.png", "top/NotOK 1/b.png"], "NotOK 1/ beside ok-1/"),
        (["no_defects/a.png", "defects/b.png"], "holds defects/ beside no_defects/"),
        (["Negative/a.png", "Positive/b.png"], "holds Positive/ beside Negative/"),
        (["undamaged/a.png", "crack/b.png"], "holds crack/ beside undamaged/"),
        (["i.O/a.png", "n.i.O./b.png"], r"holds n\.i\.O\./ beside i\.O/"),
        (["gut/a.png", "Ausschuss/b.png"], "holds Ausschuss/ beside gut/"),
        (["conforme/a.png", "non_conforme/b.png"], "holds non_conforme/ beside conforme/"),
        (["良品/a.png", "不良品/b.png"], "holds 不良品/ beside 良品/"),
        (["defect free/a.png", "hole/b.png"], "holds hole/ beside defect free/"),
        (["无瑕疵样本/a.png", "瑕疵样本/b.png"], "holds 瑕疵样本/ beside 无瑕疵样本/"),
        (["正常品/a.png", "擦花/b.png"], "holds 擦花/ beside 正常品/"),
        (["양품/a.png", "불량/b.png"], "holds 불량/ beside 양품/"),
        (["a.png", "defects/b.png"], "holds defects/ beside pictures"),
        (["OKs/a.png", "NGs/b.png"], "holds NGs/ beside OKs/"),
        (["a/good_1.png", "a/bad_1.png"], r"a holds bad_1\.png beside good_1\.png"),
        (["0.bmp", "1.bmp", "1_NOK.bmp"], r" holds 1_NOK\.bmp beside 1\.bmp"),
        (["part_pass_1.png", "part_fail_2.png"], r" holds part_fail_2\.png beside part_pass_1\.png"),
    ],
)
def test_test_images_and_masks_are_never_taken_for_normal_ones(tmp_path, names, text):
    for name in names:
        write(tmp_path / name)
    with pytest.raises(UsageError, match=text) as caught:
        Folder(path=str(tmp_path)).open()
    assert "every image of a source must be a normal one" in str(caught.value)


@pytest.mark.parametrize("names", OPPOSED.split())
def test_a_name_and_its_opposite_or_a_verdict_on_one_side_are_refused(names):
    told = opposed(names.split("|"))
    assert told and set(told) == set(names.split("|"))


@pytest.mark.parametrize("names", HONEST.split())
def test_honest_names_are_not_opposed(names):
    assert opposed(names.split("|")) is None


def test_a_data_set_whose_folder_says_outright_that_it_is_normal_needs_no_opposite(tmp_path):
    for name in ("no_defect", "blowhole", "fray"):
        write(tmp_path / name / "a.png")
    found = {image.id: image.defect_type for image in listing(str(tmp_path)).found}
    assert found == {"no_defect/a.png": "normal", "blowhole/a.png": "blowhole", "fray/a.png": "fray"}


@pytest.mark.parametrize("names", ["0|1", "class_0|class_1", "CD|UD"])
def test_folders_called_by_codes_are_taken_and_noted(tmp_path, names):
    for name in names.split("|"):
        write(tmp_path / name / "a.png")
    notes = Folder(path=str(tmp_path)).open().notes
    said = f"the images in {names.replace('|', '/ and ')}/ were all taken for normal ones, as these names say nothing"
    assert any(note.startswith(said) for note in notes)
    write(tmp_path / "more" / "b.png")
    assert not any("say nothing" in note for note in Folder(path=str(tmp_path)).open().notes)


@pytest.mark.parametrize("names", ["ripe|unripe", "lid|no lid", "No_DR|Severe", "mit Etikett|ohne Etikett", "无糖|糖"])
def test_features_and_their_opposites_are_taken_and_noted(tmp_path, names):
    for name in (*names.split("|"), "more"):
        write(tmp_path / name / "a.png")
    notes = Folder(path=str(tmp_path)).open().notes
    assert any("were all taken for normal ones" in note and names.replace("|", "/ and ") in note for note in notes)


def test_folders_and_images_of_any_other_name_are_taken(tmp_path):
    names = """line1/good/a line2/good/a test_bench/a normal_light/a dim_light/a as/no_defects/a as/defect-free_2/a
        book/a Class1/a side/b_def_1 side/b_def_2 top/0_ng pole/positive_terminal/a pole/negative_terminal/a as/gut/a
        as/ok/a as/good_new/a as/i.O./a trip/DSC_1 trip/DSC_2 trip/Gotthard_pass trip/epic_fail"""
    paths = [f"{name}.png" for name in names.split()]
    for path in paths:
        write(tmp_path / path)
    assert len(Folder(path=str(tmp_path)).open()) == len(paths)
