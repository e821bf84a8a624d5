"""The demo corpus: true sentences, different from each other, with held-out texts that training never shows."""

import json
import random
import re
from functools import cache
from pathlib import Path

import pytest

from chinese_modernbert.demo.corpus import DemoCorpus, generate_demo_corpus, write_demo_corpus
from chinese_modernbert.demo.corpus.corpus import split_sentences
from chinese_modernbert.demo.corpus.numerals import chinese_numeral
from chinese_modernbert.demo.corpus.tables import FactTable, load_table, load_tables
from chinese_modernbert.demo.corpus.templates import Row, join_items, parse_template, render

FIRST_TWENTY_SYMBOLS = "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca".split()
SOLAR_TERMS = re.findall(
    "..", "立春雨水惊蛰春分清明谷雨立夏小满芒种夏至小暑大暑立秋处暑白露秋分寒露霜降立冬小雪大雪冬至小寒大寒"
)
COLUMNS_WITHOUT_REPETITION = {
    "provinces": ("capital", "abbreviation", "short", "sight", "food"),
    "countries": ("capital", "sight"),
    "dynasties": ("founder", "order", "start", "known"),
    "elements": ("symbol", "number"),
    "festivals": ("date", "food"),
    "opposites": ("name",),
    "planets": ("order", "trait", "moon"),
    "poets": ("line", "line_of"),
    "occupations": ("work",),
    "objects": ("use",),
    "body": ("work",),
    "family": ("of",),
    "idioms": ("meaning",),
    "inventions": ("deed",),
}
OTHER_WORDS = {
    "法国的首都是{mask}。": "巴黎是法国的首都",
    "墙上有{mask}地图。": "说到地图，我们用“张”这个量词",
    "中秋节的传统食品是{mask}。": "月饼是中秋节的传统食品",
    "广东省的省会是{mask}。": "广州是广东省的省会",
    "李白是{mask}诗人。": "唐代有一位诗人叫李白",
    "在常温下，铁是{mask}。": "在常温下铁是固体",
    "护士常常在{mask}工作。": "护士在医院照顾病人",
    "老虎是{mask}。": "老虎属于哺乳动物",
}


@cache
def corpus_of(seed: int) -> DemoCorpus:
    """Generate the corpus of a seed once for all tests."""
    return generate_demo_corpus(seed)


@pytest.fixture
def corpus() -> DemoCorpus:
    """Return the corpus of seed 0."""
    return corpus_of(0)


@pytest.fixture(scope="module")
def tables() -> dict[str, FactTable]:
    """Return the tables by theme."""
    return {table.theme: table for table in load_tables()}


def all_texts(corpus: DemoCorpus) -> list[str]:
    """List every text of the corpus."""
    cloze = [example.text for example in corpus.fill_mask]
    return [*corpus.documents, *corpus.validation, *cloze, *corpus.similarity_sentences]


def test_corpus_has_the_promised_size(corpus: DemoCorpus) -> None:
    assert len(corpus.sentences) >= 2500
    assert len(corpus.paragraphs) >= 200
    assert 150_000 <= sum(map(len, corpus.documents)) <= 300_000
    assert len(corpus.validation) >= 200
    assert len(corpus.fill_mask) == 8
    assert len(corpus.similarity_sentences) == 6


def test_no_text_is_given_twice(corpus: DemoCorpus) -> None:
    for texts in (
        corpus.sentences,
        corpus.paragraphs,
        corpus.validation,
        corpus.fill_mask,
        corpus.similarity_sentences,
    ):
        assert len(set(texts)) == len(texts)


def test_equal_seeds_give_equal_corpora_and_other_seeds_do_not(corpus: DemoCorpus) -> None:
    assert generate_demo_corpus(seed=0) == corpus
    assert corpus_of(1) != corpus


def test_held_out_sentences_occur_nowhere_in_training(corpus: DemoCorpus) -> None:
    training = "\n".join(corpus.documents)
    held_out = [*corpus.validation, *(example.text for example in corpus.fill_mask)]
    assert [part for text in held_out for part in split_sentences(text) if part in training] == []


def test_documents_hold_every_training_text_once(corpus: DemoCorpus) -> None:
    total = sum(map(len, corpus.sentences)) + sum(map(len, corpus.paragraphs))
    assert sum(map(len, corpus.documents)) == total
    assert set(corpus.paragraphs) <= set(corpus.documents)


def test_paragraphs_have_three_to_eight_sentences(corpus: DemoCorpus) -> None:
    assert {len(split_sentences(text)) for text in corpus.paragraphs} <= set(range(3, 9))


@pytest.mark.parametrize("leftover", ["{", "}", "None", "mask", "的的", "和和", "是是", "、、", "不不", "在在", "里里"])
def test_no_template_leftover_is_in_a_text(corpus: DemoCorpus, leftover: str) -> None:
    assert [text for text in all_texts(corpus) if leftover in text] == []


def test_punctuation_is_full_width_and_never_doubled(corpus: DemoCorpus) -> None:
    for text in all_texts(corpus):
        assert not re.search(r"[,.;:?!()\"' ]", text), text
        assert not re.search(r"[，。；：？！、]{2}", text), text
        assert text.endswith(("。", "？", "！")), text
        assert text.count("“") == text.count("”"), text
        assert text.count("《") == text.count("》"), text


def test_two_things_are_counted_with_liang(corpus: DemoCorpus) -> None:
    wrong = re.compile("(?<![十一二三四五六七八九第])二(只|条|头|匹|本|张|把|件|个|根|支|座)")
    assert [text for text in all_texts(corpus) if wrong.search(text)] == []


def test_characters_and_bigrams_are_varied(corpus: DemoCorpus) -> None:
    text = "".join(corpus.documents)
    assert len(set(text)) > 1_200
    assert len({text[index : index + 2] for index in range(len(text) - 1)}) > 8_000


def test_cloze_answers_are_common_words_that_training_shows(corpus: DemoCorpus) -> None:
    for example in corpus.fill_mask:
        assert example.text_with_blank.count("{mask}") == 1
        assert 1 <= len(example.answer) <= 4
        assert sum(example.answer in text for text in corpus.documents) >= 5, example


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_cloze_fact_is_told_in_other_words(seed: int) -> None:
    corpus = corpus_of(seed)
    assert {example.text_with_blank for example in corpus.fill_mask} == set(OTHER_WORDS)
    training = "".join(corpus.documents)
    assert [wording for wording in OTHER_WORDS.values() if wording not in training] == []


def test_every_row_of_every_table_is_in_training(corpus: DemoCorpus, tables: dict[str, FactTable]) -> None:
    training = "".join(corpus.documents)
    rows = [row for theme, table in tables.items() if theme != "arithmetic" for row in table.rows]
    assert [row["name"] for row in rows if str(row["name"]) not in training] == []


def test_every_template_fits_some_row(tables: dict[str, FactTable]) -> None:
    """A misspelt field or condition would silently make no text."""
    for table in tables.values():
        for template in table.sentences:
            alone = FactTable(table.theme, table.rows, (template,), (), ())
            assert list(alone.make_sentences(random.Random(0))), template
        for template in table.groups:
            alone = FactTable(table.theme, table.rows, (), (template,), ())
            assert list(alone.make_sentences(random.Random(0))), template
        for template in table.paragraphs:
            alone = FactTable(table.theme, table.rows, (), (), (template,))
            assert list(alone.make_paragraphs(random.Random(0))), template


def test_every_wording_of_a_paragraph_names_known_fields(tables: dict[str, FactTable]) -> None:
    for table in tables.values():
        known = {key for row in table.rows for key in row}
        wordings = [text for template in table.paragraphs for texts in template.sentences for text in texts]
        named = {
            name.removeprefix("other.").split(".")[0] for text in wordings for name in re.findall(r"{([^}]*)}", text)
        }
        assert named <= known, table.theme


def test_every_field_of_a_row_is_used(tables: dict[str, FactTable]) -> None:
    for table in tables.values():
        text = str([*table.sentences, *table.groups, *table.paragraphs])
        assert {key for row in table.rows for key in row if key not in text} <= {"name"}, table.theme


@pytest.mark.parametrize("theme", COLUMNS_WITHOUT_REPETITION)
def test_facts_that_identify_a_row_are_unique(tables: dict[str, FactTable], theme: str) -> None:
    """Negations such as "the capital is not ..." are true only while these columns do not repeat."""
    for column in COLUMNS_WITHOUT_REPETITION[theme]:
        values = [str(row[column]) for row in tables[theme].rows if column in row]
        assert len(set(values)) == len(values), column


def test_elements_are_in_the_order_of_the_periodic_table(tables: dict[str, FactTable]) -> None:
    rows = tables["elements"].rows
    numbers = [int(str(row["number"])) for row in rows]
    assert numbers == sorted(numbers)
    assert {row["number"]: row["symbol"] for row in rows[:20]} == dict(enumerate(FIRST_TWENTY_SYMBOLS, start=1))


def test_solar_terms_planets_and_months_are_in_order(tables: dict[str, FactTable]) -> None:
    assert [row["name"] for row in tables["solar_terms"].rows] == SOLAR_TERMS
    for theme in ("solar_terms", "planets", "calendar", "dynasties"):
        assert [row["order"] for row in tables[theme].rows] == list(range(1, len(tables[theme].rows) + 1))


def test_dynasties_begin_in_their_order(tables: dict[str, FactTable]) -> None:
    starts = [str(row["start"]) for row in tables["dynasties"].rows]
    years = [int("".join(re.findall(r"\d", start))) * (-1 if "前" in start else 1) for start in starts]
    assert years == sorted(years)


def test_all_thirty_one_provinces_have_a_seat_unless_they_are_cities(tables: dict[str, FactTable]) -> None:
    rows = tables["provinces"].rows
    assert len(rows) == 31
    assert {row["short"] for row in rows if "capital" not in row} == {"北京", "天津", "上海", "重庆"}


def test_the_wrong_classifier_is_not_the_right_one(tables: dict[str, FactTable]) -> None:
    assert all(row["wrong"] != row["classifier"] for row in tables["measure_words"].rows)


def test_computed_sums_in_the_sentences_are_right(corpus: DemoCorpus) -> None:
    value_of = {chinese_numeral(number): number for number in range(100)}
    text = "".join(corpus.documents)
    sums = re.findall(
        "(?<=[。])([一二三四五六七八九十]+)(加|乘)([一二三四五六七八九十]+)等于([一二三四五六七八九十]+)。", text
    )
    assert len(sums) > 50
    for left, sign, right, result in sums:
        first, second = value_of[left], value_of[right]
        assert value_of[result] == (first + second if sign == "加" else first * second)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "零"),
        (7, "七"),
        (10, "十"),
        (14, "十四"),
        (20, "二十"),
        (26, "二十六"),
        (105, "一百零五"),
        (110, "一百一十"),
    ],
)
def test_numbers_are_written_as_they_are_read(value: int, text: str) -> None:
    assert chinese_numeral(value) == text


def test_a_number_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="number=1000"):
        chinese_numeral(1000)


def test_a_template_makes_one_text_per_item_and_none_when_a_field_is_missing() -> None:
    row: Row = {"name": "甲", "cities": ["乙", "丙"], "order": 12}
    assert render("{cities.each}在{name}。", row) == ["乙在甲。", "丙在甲。"]
    assert render("{name}有{cities}。", row) == ["甲有乙和丙。"]
    assert render("第{order.words}是{other.name}。", row, {"name": "丁"}) == ["第十二是丁。"]
    assert render("{name}的{river}。", row) == []
    assert render("{strings.count}根弦", {"strings": 2}) + render("{strings.count}根弦", {"strings": 4}) == [
        "两根弦",
        "四根弦",
    ]


def test_lists_are_joined_the_chinese_way() -> None:
    assert [join_items(names) for names in (["甲"], ["甲", "乙"], ["甲", "乙", "丙"])] == ["甲", "甲和乙", "甲、乙和丙"]


def test_conditions_choose_the_rows_that_keep_a_sentence_true() -> None:
    first: Row = {"name": "甲", "order": 1, "kind": ["山", "景"]}
    second: Row = {"name": "乙", "order": 2, "kind": "山"}
    third: Row = {"name": "丙", "order": 4, "kind": "河"}
    less, following = (
        parse_template({"text": "x", "less": "order"}, "t"),
        parse_template({"text": "x", "next": "order"}, "t"),
    )
    same, differ = (
        parse_template({"text": "x", "same": "kind"}, "t"),
        parse_template({"text": "x", "differ": "kind"}, "t"),
    )
    assert less.fits_pair(first, third) and not less.fits_pair(third, first)
    assert following.fits_pair(first, second) and not following.fits_pair(second, third)
    assert same.fits_pair(first, second) and not same.fits_pair(first, third)
    assert differ.fits_pair(first, third) and not differ.fits_pair(first, second)
    assert not less.fits_pair(first, first) and not less.fits_pair(first, {"name": "丁"})


@pytest.mark.parametrize("entry", [{"text": "a", "sames": "kind"}, {"limit": 3}, 5, {"text": "a", "sentences": ["b"]}])
def test_a_misspelt_template_is_refused_with_the_file_name(entry: object) -> None:
    with pytest.raises(ValueError, match="places.yaml"):
        parse_template(entry, "places.yaml")


def test_a_table_with_two_rows_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hills.yaml"
    path.write_text("rows: [{name: 泰山}, {name: 泰山}]\n", encoding="utf-8")
    with pytest.raises(ValueError, match="泰山"):
        load_table(path)


def test_written_files_hold_one_document_per_line(corpus: DemoCorpus, tmp_path: Path) -> None:
    write_demo_corpus(corpus, tmp_path / "demo")
    for name, texts in (("train.jsonl", corpus.documents), ("validation.jsonl", corpus.validation)):
        lines = (tmp_path / "demo" / name).read_text(encoding="utf-8").rstrip("\n").split("\n")
        assert [json.loads(line) for line in lines] == [{"text": text} for text in texts]
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["train.jsonl", "validation.jsonl"]
