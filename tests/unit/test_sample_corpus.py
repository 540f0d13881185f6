"""The documents that come with the package: readable, small, and holding the answers that tests ask for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from confrag.build.readers import read
from confrag.registry.readers import EXTENSIONS, kind_of
from confrag.runtime.corpus import scan

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "examples" / "corpus"
QUESTIONS = [
    json.loads(line)
    for line in (ROOT / "tests" / "data" / "sample_questions.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    files = scan([str(CORPUS)], ["**/*"], ["*.py", "__pycache__/"], EXTENSIONS)
    assert files.skipped == ()
    return {file.name: "\n".join(section.text for section in read(file.path)) for file in files.files}


def test_formats_and_size(texts: dict[str, str]) -> None:
    assert {kind_of(name, {}) for name in texts} == set(EXTENSIONS.values()) - {"epub", "jsonl"}
    assert sum((CORPUS / name).stat().st_size for name in texts) < 400_000


def test_every_question_asks_for_an_own_document(texts: dict[str, str]) -> None:
    assert {question["file"] for question in QUESTIONS} == set(texts)
    chinese = [question for question in QUESTIONS if not question["query"].isascii()]
    assert len(chinese) >= 6
    assert len(QUESTIONS) - len(chinese) >= 12


# What tells the right document: every part of it is in the file, and nowhere else all together.
EVIDENCE = {
    "Who founded the ferry line?": ["founded", "Ida Marsh"],
    "When was the lighthouse at Alder Point lit for the first time?": ["lighthouse", "2 September 1923"],
    "What happened to the Northwick Belle in the storm of 1987?": ["3 November 1987", "sank"],
    "How many bicycles can be taken on one sailing?": ["Eight bicycles on each sailing"],
    "What does it cost to charter the Dipper for a wedding?": ["480 crowns", "150 crowns"],
    "At which wind speed do sailings stop?": ["17 metres per second"],
    "Where is the defibrillator?": ["Defibrillator | Wall of the café, lower deck"],
    "What is the price of an annual pass for an adult?": ["Annual pass", "Adult (crowns): 410.00"],
    "How much is a single adult ticket from Northwick to Sorrel Bay?": ["Northwick - Sorrel Bay; Adult (crowns): 8.50"],
    "When does the last boat from Northwick to Harrow Island leave at the weekend in summer?": [
        "From: Northwick; To: Harrow Island; Days: Saturday-Sunday; First departure: 08:10; Last departure: 22:40"
    ],
    "Who is the master of the Lapwing?": ["name: Lapwing", "Captain Joss Pereira"],
    "What kind of battery does the Dipper have?": ["260 kWh sodium-ion"],
    "Which part was replaced in the starboard thruster of the Lapwing?": ["SB-4471"],
    "What was the state of health of the Kestrel's battery after module 7 was exchanged?": ["module 7", "93 percent"],
    "By what time does a crew member have to call the duty manager when ill?": ["05:30", "extension 17"],
    "On which day of the month are wages paid?": ["25th of each month"],
    "How much does the training dummy Oskar weigh?": ["Oskar and weighs 75 kilograms"],
    "How often is the abandon ship drill held?": ["Abandon ship | twice a year | April and October"],
    "What is the surcharge for travelling without a valid ticket?": ["surcharge of 40 crowns"],
    "What is the limit of liability for lost or damaged luggage?": ["limited to 1,200 crowns"],
    "坐轮椅的乘客需要提前多久预约？": ["轮椅", "至少提前二十四小时"],
    "哪个航班有中文讲解？": ["每周六上午十点十五分从北维克开往哈罗岛的航班有中文讲解"],
    "多少人可以买团体票？": ["十五人及以上的团体"],
    "冰层多厚的时候所有航班停航？": ["超过八厘米时，所有航班停航"],
    "停航期间的接驳巴士从哪里发车？": ["北维克火车站前的二号站台"],
    "除夕夜看烟花的夜航票价是多少？": ["烟花", "票价为三十克朗"],
    "捡到的物品会保管多少天？": ["保管六十天"],
    "失物招领处什么时候开放？": ["每周二和每周四下午一点至五点"],
    "领取雨伞要付手续费吗？": ["雨伞免收手续费"],
}


@pytest.mark.parametrize("question", QUESTIONS, ids=[question["query"] for question in QUESTIONS])
def test_the_answer_is_in_the_right_document_alone(texts: dict[str, str], question: dict[str, str]) -> None:
    evidence = EVIDENCE[question["query"]]
    holding = [name for name, text in texts.items() if all(part in " ".join(text.split()) for part in evidence)]
    assert holding == [question["file"]]
