"""Words on rights in nine further languages, and letters that cannot be read at all."""

from __future__ import annotations

import re
import unicodedata

_BEGINNINGS = {
    "Dutch": r"""
    alle\srechten auteursrecht licenti vertrouwelijk geheimhouding eigendom toestemming verboden toegestaan
    niet\s(?:\w+\s){0,2}(?:versprei|delen|gedeeld|kopi|gekopi|public|gepubl|doorge|gebruik|openbaar) niet-?commerci
    commerci(?:eel|ële) (?:alleen|uitsluitend|enkel)\s(?:voor|bestemd) intern\w*\sgebruik gebruiksvoorwaarden
    aan\sderden klant(?:en)?\b
    """,
    "Polish": r"""
    zastrzeżon praw\w*\s(?:autorsk|własno|mająt) poufn tajne? tajemnic licencj bez\s(?:\w+\s){0,2}zgody zezwol
    (?:jest|są|pozostaj\w+)\swłasno własno\w+\s(?:firm|klient|intelekt|przedsi) zabron zakaz niedozwol nie\swolno
    nie\s(?:udost|rozpowsz|publik|kopi|przekaz) rozpowszechni (?:nie)?komercyjn do\sużytku wyłącznie tylko\sdo
    regulamin umow[aęyi]\b klient warunk\w+[\W_]+(?:użyt|korzyst|licenc)
    """,
    "Swedish": r"""
    rättighet upphovsr licens(?!e) konfiden[ts]i sekretess hemlig förbju utan\s(?:\w+\s){0,2}tillst
    intern\w*\s(?:bruk|använd) (?:får|ska)\s(?:inte|ej) ej\sför (?:endast|enbart)\s(?:för|använd) delas\s(?:inte|ej)
    ägs\sav kommersiell samtycke medgivande egendom äganderätt kunde(?:n|r|rs|ns)\b avtal
    """,
    "Turkish": r"""
    hak(?:lar|k)[ıi]?\w*\s(?:sakl|mahfuz) telif lisans gizli(?:dir|lik) çok\sgizli gizli(?:\W*$|\s(?:belge|bilgi))
    ticari izinsiz iz(?:in|ni)\s(?:al|olma|ver) mülkiyet yasak kullanım[\W_](?:şart|koşul)
    (?:kullan|dağıt|kopyala|paylaş|çoğalt|yayınla|yayımla|sat)\w*(?:amaz|emez|mayın|meyin) müşteri
    (?:yalnızca|sadece)\s(?:\w+\s){0,2}(?:içi|araşt|eğitim|kullan) sözleşme
    """,
    "Russian and Ukrainian": r"""
    (?:все|усі)\sправа прав\w*\s(?:на|принадл|защищ|собств|использ) авторск правооблад л[иі]ценз конф[иі]денц
    секретн тайн (?:не)?коммерч (?:не)?комерц запрещ запрет заборон без\s(?:\w+\s){0,3}разрешения
    разреш(?:ен[оаы]?|а\w+)\b собственност власн[іи]ст принадлеж(?!\w*\s(?:к|классу)\b) соглаше договор
    (?:только|исключительно)\s(?:для|в\s\w+\sцелях) третьи\w+\sлиц заказчик клиент
    не\s(?:подлежит|распростран|копировать|публиковать|передавать|использовать|разглаш)
    услови\w+[\W_]+(?:использ|лиценз) для\s(?:внутренн|служебн|личн|научн|исследов|академ)
    (?:из|взят\w+\sс)\s(?:интернет|сайт)
    """,
    "Arabic": r"""
    (?:ال|لل)?حقوق (?:ال|لل)?(?:ترخيص|رخص|تراخيص|مرخص) (?:ال)?سري(?:ة|ا)?(?!\w) ب?سرية (?:ال|لل)?تجاري
    (?:ال|لل)?ملك(?!ة) ب?(?:دون\s)?[إا]ذن(?!\w) (?:ال|ب)?موافقة (?:ال)?ممنوع يمنع (?:ال)?محظور يحظر
    لا\s(?:يجوز|يسمح|تنشر|توزع|تشارك) غير\s(?:مسموح|مصرح) (?:لل|ال)استخدام\s(?:الداخلي|الشخصي|البحث|الأكاد)
    [أل]\w*غراض\s(?:ال)?(?:بحث|تعليم|شخص|[أا]كاد) شروط (?:ال)?اتفاقية [إا]عادة\s(?:ال)?(?:نشر|توزيع) (?:ال)?عملاء
    (?:ال)?عميل (?:ال|لل)?[إا]نترنت طرف\sثالث محرمانه
    """,
}
"""How words on rights begin."""
_WITHIN = {
    "Chinese": r"""
    版[权權] 著作[权權] 所有[权權] 保留.{0,6}[权權] [许許]可 授[权權] 机密 機密 保密 秘密 商[业業用] 禁止 [严嚴]禁
    不得 不可(?:[转轉商]|用于|使用) [请請]勿 [转転轉][载載] [条條]款 使用[协協][议議] 使用[须須]知
    内部(?:使用|资料|数据) 內部(?:使用|資料) [仅僅][供限] [仅僅]用[于於] 客[户戶] 知识产权 智慧財產
    [归歸].{1,15}所有 [归歸][属屬] 同意 外[传傳] [泄洩][露漏] 未[经經] 侵[权權]
    [来來源]自(?:网|網|百度|公[开開]|[论論]文) 互[联聯][网網] [爬抓]取 网上 網上
    """,
    "Japanese": r"""
    権利 無断 禁(?:ず|じ) 許諾 承諾 ライセンス 極秘 [社部]外秘 関係者外 公開は?(?:禁止|不可) (?:マル|丸)秘 営利 規約
    (?:使用|利用)(?:許可|条件) 契約 所有物 帰属 再配布 二次利用 複製 私的 社内(?:限|専用|利用|使用|のみ)
    (?:研究|学術|教育)(?:目的|用途|用に|にのみ) (?:目的|用途|社内|内部|関係者)のみ のみ(?:使用|利用)(?:でき|可)
    取り?扱い?注意 顧客 客先 お客様 第三者 知的財産 公開し(?:ない|ては) 配布(?:し(?:ない|ては)|不可) 持ち?出し
    インターネット (?:ウェブ|サイト|ネット|論文|公開データ\w*)から
    """,
    "Korean": r"""
    저작권 무단 복제 금지 금합니다 금함 허가 허락 (?<!\w)동의 승인 라이[선센]스 기밀(?!성|\s*(?:시험|검사)) 비밀
    대외비 상업 영리\s?(?:목적|적|용) 이용\s?약관 약관 이용\s?조건 소유(?:권|물|입니다) 재배포
    배포(?:하지|를\s금|불가) 고객 제\s?3자 (?:지식|지적)\s?재산 유출하지 외부\s?(?:유출|공유|반출)
    인터넷 논문에서 (?:내부|사내)\s?(?:용|사용|전용|한정|자료) 연구\s?(?:용|목적) 계약 권리
    """,
}
"""Words on rights where no space need part words."""
_UNREAD = r"[\u0370-\u03ff\u1f00-\u1fff\u0530-\u05ff\u0700-\u10ff\u1200-\u13ff\u1780-\u18af]{3}"
"""Part of a word in a script none of whose words are known here: Greek, Hebrew, Thai, Devanagari, …"""
_BARE = str.maketrans("łŁı", "lLi")


def folded(text: str) -> str:
    """Return a text without accents, other forms of the same letters, and what is not seen."""
    bare = re.sub(
        "[\u0300-\u036f\u00ad\u200b-\u200f\u2060\ufeff]", "", unicodedata.normalize("NFKD", text.translate(_BARE))
    )
    return unicodedata.normalize("NFC", bare)


def _any(words: dict[str, str]) -> str:
    return "|".join(" ".join(words.values()).split())


FURTHER = folded(rf"(?<![^\W_])(?:{_any(_BEGINNINGS)})|{_any(_WITHIN)}") + f"|{_UNREAD}"
"""What in a folded text is a word on rights, or cannot be read."""
