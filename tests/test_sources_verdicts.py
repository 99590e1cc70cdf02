"""What the names of folders and images say of being normal, where a folder is the source."""

import pytest
from test_sources_folder import write

from anomgen.errors import UsageError
from anomgen.sources.folder import Folder


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


def test_folders_and_images_of_any_other_name_are_taken(tmp_path):
    names = """line1/good/a line2/good/a test_bench/a normal_light/a dim_light/a no_defects/a defect-free_2/a book/a
        Class1/a side/b_def_1 side/b_def_2 top/0_ng pole/positive_terminal/a pole/negative_terminal/a as/gut/a as/ok/a
        as/good_new/a as/i.O./a trip/DSC_1 trip/DSC_2 trip/Gotthard_pass trip/epic_fail"""
    paths = [f"{name}.png" for name in names.split()]
    for path in paths:
        write(tmp_path / path)
    assert len(Folder(path=str(tmp_path)).open()) == len(paths)
