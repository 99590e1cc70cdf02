"""Which sentences and names of files are on rights, in languages that are not the one of the project."""

import pytest
from test_licenses import put

from anomgen.licenses import license_beside

RIGHTS = {
    "Dutch": """
        Alle rechten voorbehouden.
        Vertrouwelijk, niet verspreiden.
        Alleen voor intern gebruik.
        Niet voor commercieel gebruik.
        De foto's zijn eigendom van ACME.
        De beelden mogen niet zonder schriftelijke toestemming worden gedeeld.
        Gebruik door derden is verboden.
        Niet delen.""",
    "Polish": """
        Wszelkie prawa zastrzeżone.
        Poufne. Nie rozpowszechniać.
        Tylko do użytku wewnętrznego.
        Wyłącznie do celów niekomercyjnych.
        Prawa autorskie: ACME.
        Zdjęcia są własnością firmy ACME.
        Kopiowanie bez zgody autora zabronione.
        Zdjęcia należą do klienta.""",
    "Swedish": """
        Alla rättigheter förbehållna.
        Konfidentiellt. Får ej spridas.
        Endast för internt bruk.
        Ej för kommersiell användning.
        Upphovsrätten tillhör ACME.
        Kopiering utan tillstånd är inte tillåten.
        Bilderna ägs av ACME.
        Sekretessbelagt material""",
    "Chinese": """
        版权所有。
        保留所有权利
        仅供内部使用,请勿外传。
        禁止商业用途。
        未經授權不得轉載。
        图片归某某公司所有。
        本数据集仅用于学术研究
        客户资料,注意保密""",
    "Japanese": """
        無断転載を禁じます。
        社外秘
        商用利用不可
        著作権は株式会社ABCに帰属します。
        社内利用のみ。
        再配布しないでください。
        研究目的に限り利用できます。
        お客様から提供された画像です。""",
    "Korean": """
        모든 권리 보유.
        무단 전재 및 재배포 금지
        대외비
        상업적 이용을 금합니다.
        저작권은 ABC에 있습니다.
        내부용
        저작권자의 허락 없이 사용할 수 없습니다.
        고객사 자료입니다.""",
    "Russian": """
        Все права защищены.
        Конфиденциально. Не распространять.
        Только для внутреннего использования.
        Не для коммерческого использования.
        Авторские права принадлежат ООО Ромашка.
        Собственность компании.
        Использование без письменного разрешения не допускается.
        Снимки предоставил заказчик.""",
    "Turkish": """
        Tüm hakları saklıdır.
        TÜM HAKLARI SAKLIDIR
        Gizlidir, dağıtılamaz.
        Ticari amaçla kullanılamaz.
        Telif hakkı ACME'ye aittir.
        Yalnızca şirket içi kullanım içindir.
        Kopyalanması yasaktır.
        Görseller müşterimize aittir.""",
    "Arabic": """
        جميع الحقوق محفوظة.
        سري. يمنع النشر.
        للاستخدام الداخلي فقط.
        غير مسموح بالاستخدام التجاري.
        الصور ملك لشركة.
        لا يجوز استخدام الصور دون إذن كتابي.
        لأغراض البحث فقط
        يحظر إعادة النشر""",
    "Portuguese and Italian": """
        Todos os direitos reservados.
        É proibida a reprodução.
        Não distribuir.
        Vietata la riproduzione.
        Non distribuire.
        Riservato.""",
    "none that is known": """
        Με επιφύλαξη κάθε δικαιώματος.
        כל הזכויות שמורות.
        สงวนลิขสิทธิ์
        सर्वाधिकार सुरक्षित""",
    "any, in other letters": """
        _Confidential_
        Wszelkie prawa zastrzezone.
        Tum haklari saklidir.
        Les photos appartiennent a\u0300 un prive\u0301, tous droits re\u0301serve\u0301s.""",
}
NAMES = """
使用条款.txt 机密.pdf 利用規約.txt 社外秘.txt 이용약관.docx Лицензия.txt Условия_использования.txt lisans.txt
kullanım_koşulları.txt gebruiksvoorwaarden.txt licentie.md Licencja.txt warunki_uzytkowania.txt regulamin.pdf
licens.txt användarvillkor.docx ترخيص.txt condizioni.txt termos.txt LICENSE-fr.txt Nutzungsbedingungen
"""
CAPTIONS = {
    "German": """
        Aufgenommen am 3.5. mit Kamera 2, Licht von links.
        Fotos aus der Fabrik, rechte Seite heller, Bild 12 unscharf.""",
    "Dutch": """
        Opgenomen op 3 mei. Krassen verspreid over het oppervlak. In de rechten hoek.
        Het gebruik van een polarisatiefilter vermindert reflecties. Klasse 3 is alleen zichtbaar van boven.""",
    "Polish": """
        Prawa strona. Zgodnie z planem. Nie można zobaczyć rysy.
        Własności materiału: stal nierdzewna; tylko klasa 3 ma pęknięcia.""",
    "Swedish": """
        I gott tillstånd. Tillhör klass 3. Endast klass 3 har sprickor.
        Bild 12 är suddig och används inte för träning.""",
    "Chinese": """
        2024年3月拍摄,光源在左侧。所有图片均为1024像素。
        图12模糊,不用于训练。每个文件夹包含一种缺陷:划痕、凹陷、污渍。""",
    "Japanese": """
        001.png: 表面に傷あり。 002.png: 良品、背面から撮影。
        撮影条件: 照明は左。権田さんが撮影。良品のみ学習に使用。""",
    "Korean": """
        진동의 영향 없음. 자동의 오일 유출 결함. 기밀성 시험 부품.
        이미지 12는 흐려서 학습에 사용하지 않음.""",
    "Russian": """
        Высокое разрешение, свет с правой стороны. Условия съёмки одинаковы.
        Снимок 12 нерезкий и не используется при обучении.""",
    "Turkish": """
        Kusurlar hakkında notlar. Gizli çatlak var.
        Görüntü 12 bulanık, eğitimde kullanılmadı.""",
    "Arabic": """
        الصور محفوظة بصيغة PNG. تصوير سريع.
        الصورة 12 غير واضحة ولا تستخدم في التدريب.""",
    "Greek letters": """
        Noise of σ = 3, lenses of 50 µm, Δλ.""",
}


def lines(texts):
    """Return each line of some texts, in its language."""
    return [(language, line.strip()) for language, text in texts.items() for line in text.strip().splitlines()]


@pytest.mark.parametrize(("language", "sentence"), lines(RIGHTS))
def test_a_sentence_on_rights_is_a_doubt_in_any_language(tmp_path, language, sentence):
    card = "---\nlicense: cc-by-4.0\n---\nPhotos of bolts.\n"
    for name, files in {
        "notes.txt": {"README.md": card, "notes.txt": sentence},
        "README.md": {"README.md": f"{card}\n{sentence}\n"},
    }.items():
        put(tmp_path, files)
        found = license_beside(tmp_path)
        assert (found.license, found.file) == (None, name), (language, found)
        (tmp_path / "notes.txt").unlink(missing_ok=True)


@pytest.mark.parametrize(("language", "sentence"), lines(CAPTIONS))
def test_a_sentence_on_pictures_is_none_in_any_language(tmp_path, language, sentence):
    put(tmp_path, {"README.md": f"---\nlicense: cc-by-4.0\n---\n{sentence}\n", "notes.txt": sentence})
    found = license_beside(tmp_path)
    assert found.license == "cc-by-4.0", (language, found)


@pytest.mark.parametrize("name", NAMES.split())
def test_a_file_whose_name_tells_of_rights_must_be_understood_in_any_language(tmp_path, name):
    put(tmp_path, {"README.md": "---\nlicense: cc-by-4.0\n---\n", name: "Ask Jane."})
    found = license_beside(tmp_path)
    assert (found.license, found.file) == (None, name)


@pytest.mark.parametrize("name", ["メモ.txt", "说明.txt", "notatki.txt", "примечания.txt", "warunki_oswietlenia.txt"])
def test_a_file_of_another_name_need_not_be(tmp_path, name):
    put(tmp_path, {"README.md": "---\nlicense: cc-by-4.0\n---\n", name: "Ask Jane."})
    assert license_beside(tmp_path).license == "cc-by-4.0"


@pytest.mark.parametrize(
    "word", ["许可证:", "ライセンス:", "라이선스:", "Лицензия:", "Lisans:", "Licentie:", "Licença:", "许可证："]
)
def test_a_licence_may_be_called_as_in_other_languages(tmp_path, word):
    put(tmp_path, {"LICENSE": f"{word} CC BY 4.0", "a/README.md": f"## {word[:-1]}\n\nCC BY 4.0\n"})
    assert license_beside(tmp_path).license == license_beside(tmp_path / "a").license == "cc-by-4.0"


ENCODED = [
    ("shift_jis", "無断転載を禁じます。", "001.png: 表面に傷あり。背面から撮影。"),
    ("euc_jp", "社外秘", "画像12はぼやけている。"),
    ("gb18030", "版权所有。", "图12模糊,不用于训练。每个文件夹包含一种缺陷:划痕、凹陷、污渍。"),
    ("big5", "未經授權不得轉載。", "拍攝時間為三月,共四百張。"),
    ("euc_kr", "무단 전재 및 재배포 금지", "진동의 영향 없음. 재질은 스테인리스."),
    ("cp1251", "Все права защищены.", "Снимок 12 нерезкий и не используется при обучении."),
    ("cp1254", "Tüm hakları saklıdır.", "Kusurlar hakkında bilgi: sağ taraf daha parlak."),
    ("cp1250", "Wszelkie prawa zastrzeżone.", "Własności materiału: stal nierdzewna."),
    ("cp1252", "Tous droits réservés.", "Aufgenommen für Müller, Bild 12 unscharf."),
    ("cp1256", "جميع الحقوق محفوظة.", "الصورة 12 غير واضحة."),
    ("utf-16", "版权所有。", "图12模糊。"),
]


@pytest.mark.parametrize(("encoding", "rights", "caption"), ENCODED)
def test_a_text_in_an_encoding_that_nothing_tells_is_read_in_each(tmp_path, encoding, rights, caption):
    put(tmp_path, {"README.md": "---\nlicense: cc-by-4.0\n---\n", "notes.txt": rights.encode(encoding)})
    assert license_beside(tmp_path).file == "notes.txt"
    put(tmp_path, {"notes.txt": caption.encode(encoding)})
    assert license_beside(tmp_path).license == "cc-by-4.0"


def test_a_licence_in_another_encoding_is_understood(tmp_path):
    for name in ("LICENSE", "README.md"):
        for owner in ("© 2024 Müller", "Copyright 2024 Jörg Müller", "Author: Éloïse Lefèvre"):
            text = f"{owner}\n\nThe images are licensed under CC BY 4.0.\n"
            put(tmp_path / name, {name: text.encode("cp1252")})
            assert license_beside(tmp_path / name).license == "cc-by-4.0"
    put(tmp_path / "other", {"LICENSE": "CC BY 4.0\n\nCopyright 2024. ВСЕ ПРАВА ЗАЩИЩЕНЫ\n".encode("cp1251")})
    assert license_beside(tmp_path / "other").license is None
    put(tmp_path / "other", {"LICENSE": "CC BY 4.0\n\nJörg Müller fragen\n".encode("cp1252")})
    assert "'Jörg Müller fragen'" in license_beside(tmp_path / "other").words
    put(tmp_path / "card", {"README.md": "---\nlicense: cc-by-4.0\npretty_name: Fräsen\n---\n".encode("cp1252")})
    assert license_beside(tmp_path / "card").license == "cc-by-4.0"


@pytest.mark.parametrize(
    "text", ["版权所有,版权所有,版权所有\n".encode() * 2 + b"\xff", b"All rights reserved\0\1\xff"]
)
def test_a_damaged_place_makes_a_text_no_other_one(tmp_path, text):
    put(tmp_path, {"README.md": "---\nlicense: cc-by-4.0\n---\n", "a.txt": text})
    assert license_beside(tmp_path).words.startswith(("says '版权所有", "says 'All rights"))


def test_bytes_are_read_in_no_encoding(tmp_path):
    put(tmp_path, {"README.md": "---\nlicense: cc-by-4.0\n---\n", "weights": "© 版权所有\0".encode("gb18030")})
    assert license_beside(tmp_path).license == "cc-by-4.0"
