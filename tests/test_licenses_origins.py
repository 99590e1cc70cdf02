"""A licence is not believed over a sentence that says that images come from elsewhere."""

import pytest
from test_licenses import put

from anomgen.licenses import license_beside

ELSEWHERE = """
Pictures were collected with Google image search.
Images gathered from the internet.
Sourced from various online stores.
Screenshots from the web shop of IKEA.
Images from https://example.org/gallery
Some of the images stem from Wikimedia Commons.
Originally from Kaggle.
Merged from two Roboflow projects.
A combination of several public data sets.
The images are taken from a published data set.
A cleaned version of the bolts from Kaggle.
Taken from the paper by Doe et al.
Extracted from papers on bolts.
This set was originally published by Doe et al.
The images originate from a catalogue of ACME.
The images were provided by ACME Steel.
Contains patient images.
Scans of 30 patients.
Images from patients with lesions.
Chest X-rays, one patient per folder.
The patient's skin from above.
Normalised images of ImageNet.
The same images as CIFAR-10.
For the images see GC10-DET.
图片来自 ImageNet。
Taken from Google.
Stock photos of screws.
Images from the catalogue of ACME.
The photos are stock photos.
Bilder aus dem Internet.
Die Bilder stammen aus der Datenbank von Doe.
Images trouvées sur Internet.
Imágenes descargadas.
图片来自网络。
画像はウェブから収集しました。
인터넷에서 수집
Снимки из интернета
NEU-DET in COCO format.
Magnetic tile defect data set, cropped.
GC10-DET converted.
GoodsAD
ISIC 2018
Cropped from ImageNet.
Like those of DTD, but merged with DAGM.
""".strip().splitlines()
OWN = """
Own photographs of bolts.
All photographs were taken by us with a Basler camera.
Photos taken with a Basler camera.
Images were converted to PNG and cropped to the part.
Own work, photographed by Jane Doe in 2024.
I took these pictures in my kitchen.
The images come from our own inspection line in Ulm.
Images come from a line scan camera above the conveyor.
The images were collected from three production lines.
Collected from Line 3 between January and March.
Taken from Monday to Friday, from the left and from Camera B.
Frames were extracted from videos of our own line.
Samples were collected from Swedish sawmills and photographed by us.
The annotations were converted from COCO to YOLO.
Converted from Bayer pattern to RGB with ImageMagick.
The masks are derived from the CAD model.
20 images were taken from the training set for validation.
The test images are a subset of the images of day 3.
We selected 500 images at random and labelled them with Roboflow.
The set is a copy of our internal archive of 2023 without duplicates.
This is the second version of the dataset.
Images from the paint shop, of the web inspection system and of the web guide.
Paper rolls taken from the paper machine; the paper web runs at 3 m/s.
Images were collected by the online inspection system.
Journal bearings from stock, 20 photos of each.
The defect catalogue of the plant lists twelve kinds.
Original images: 4000 x 3000.
A detector pretrained on ImageNet reaches 0.98; ImageNet weights are in model.pt.
Compared on NEU-DET, MVTec AD and GC10-DET, too.
Unlike existing datasets, and harder than MVTec AD, it has exact masks.
In MVTec AD format.
The layout is that of MVTec AD.
Published on Zenodo and on Kaggle, too.
Download the images from Zenodo.
More images can be found on GitHub.
See the publication for how the images were obtained.
Please be patient, the download is large; no internet is needed later.
No patients or persons are visible.
Patients are not shown.
No images of patients, no patient data.
Patient monitors on our assembly line.
Photos of patient care beds at our plant.
Patient operators placed each bottle by hand.
Images of dental implants before delivery to patients.
ISIC code 2592.
ISIC Rev. 4 class 2592
Normalise by ImageNet mean and std.
Mean and std of ImageNet were used.
Same format as CIFAR-10.
For a data set with defects see GC10-DET.
权重来自 ImageNet。
Taken with Google Camera.
Stock photos of our own studio.
Each folder holds 20 images of one product from the catalogue of our company.
Aufgenommen mit einer Basler-Kamera, auf das Teil zugeschnitten.
Die Bilder stammen aus der laufenden Fertigung.
Photos prises par nous-mêmes avec un téléphone.
照片由我们自己拍摄。
""".strip().splitlines()


@pytest.mark.parametrize("sentence", ELSEWHERE)
def test_a_licence_above_a_sentence_on_images_from_elsewhere_is_not_believed(tmp_path, sentence):
    put(tmp_path, {"README.md": f"---\nlicense: mit\n---\n\n# Bolts\n\n{sentence}\n", "a/LICENSE": "CC BY 4.0"})
    found = license_beside(tmp_path)
    assert found.license is None and repr(sentence) in found.notes[0]
    put(tmp_path, {"a/notes.txt": sentence})
    assert license_beside(tmp_path / "a").notes == (
        f"licence unknown: notes.txt says {sentence!r} beside LICENSE; read it, and give --license",
    )


@pytest.mark.parametrize("sentence", OWN)
def test_a_sentence_on_how_images_came_about_takes_no_licence_back(tmp_path, sentence):
    put(tmp_path, {"README.md": f"---\nlicense: cc0-1.0\n---\n\n# Bolts\n\n{sentence}\n", "notes.txt": sentence})
    assert license_beside(tmp_path).license == "cc0-1.0"


def test_a_licence_file_in_the_folder_of_a_data_set_cannot_give_it_another_licence(tmp_path):
    for license, known in {"CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0", "CC0 1.0": None}.items():
        put(tmp_path / "mvtec_ad", {"LICENSE": f"The MVTec AD dataset is licensed under {license}."})
        assert license_beside(tmp_path / "mvtec_ad").license == known


@pytest.mark.parametrize(
    ("title", "license"), [("Bolts Dataset", "mit"), ("MVTec AD Dataset", None), ("NEU surface defect database", None)]
)
def test_a_title_of_another_data_set_is_a_doubt_in_a_licence_file(tmp_path, title, license):
    put(tmp_path / title, {"LICENSE": f"{title}\n\nThe images are released under the MIT License."})
    assert license_beside(tmp_path / title).license == license
