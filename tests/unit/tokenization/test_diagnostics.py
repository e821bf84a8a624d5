import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, Model, Unigram, WordLevel, WordPiece
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.tokenization import TextDocument, WordSegmenter, save_tokenizer
from chinese_modernbert.tokenization.diagnostics import (
    TokenizerReportArguments,
    common_characters,
    inspect_tokenizer,
    inspect_vocabulary,
    load_any_tokenizer,
    run_tokenizer_report,
    script_of,
)


class FixedWords:
    def __init__(self, *words: str) -> None:
        self.words = list(words)

    def cut(self, text: str) -> list[str]:
        assert "".join(self.words) == text
        return self.words


def document(text: str, source: str = "甲") -> TextDocument:
    return TextDocument(text, source, "x:1")


def test_counts_equal_those_made_by_hand(tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter) -> None:
    report = inspect_tokenizer(tokenizer, segmenter, [document("我们在北京𠮷"), document("图书馆", "乙")])
    assert (report.total.documents, report.total.characters, report.total.tokens) == (2, 9, 8)
    assert (report.total.byte_tokens, report.total.unknown_tokens) == (4, 0)
    assert report.total.multi_character_tokens == 3
    assert report.by_source["乙"].characters_per_token == 3.0
    assert sum(report.units_by_tokens.values()) == 5
    assert report.units_by_tokens[4] == 1
    assert report.units_by_characters[3] == 1


@pytest.mark.parametrize(
    ("words", "crossing"),
    [(("图书馆", "北京"), 0), (("图书", "馆", "北京"), 1), (("图书", "馆北", "京"), 2), (("图书馆北京",), 0)],
)
def test_a_token_over_a_border_between_words_is_a_crossing(
    tokenizer: PreTrainedTokenizerFast, words: tuple[str, ...], crossing: int
) -> None:
    report = inspect_tokenizer(tokenizer, FixedWords(*words), [document("图书馆北京")])
    assert report.total.crossing_tokens == crossing


def test_a_leading_space_is_no_crossing(tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter) -> None:
    assert inspect_tokenizer(tokenizer, segmenter, [document("The model")]).total.crossing_tokens == 0


@pytest.mark.parametrize(
    ("text", "script"), [("这是汉语", "simplified"), ("這是漢語", "traditional"), ("大山水 abc", "neutral")]
)
def test_script_is_told_by_the_characters_of_one_script_alone(text: str, script: str) -> None:
    assert script_of(text) == script


def test_the_common_characters_are_those_of_the_national_table() -> None:
    common = common_characters()
    gb2312 = {chr(code) for code in range(0x4E00, 0xA000) if chr(code).encode("gb2312", "ignore")}
    assert (len(common), len(gb2312 - common), len(common - gb2312)) == (8105, 125, 1467)
    assert {"一", "镕", "𬺓"} <= common
    assert not {"為", "後", "の"} & common


def test_coverage_is_the_share_of_a_table_with_a_token_of_its_own(tokenizer: PreTrainedTokenizerFast) -> None:
    single = [token for token in tokenizer.get_vocab() if token in common_characters()]
    covered = inspect_vocabulary(tokenizer)["coverage_percent"]["common_8105"]
    assert covered == round(100 * len(single) / 8105, 2) > 0


def test_a_report_of_two_tokenizers_is_text_json_and_a_picture(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("我们在北京\n\n图书馆", encoding="utf-8")
    args = TokenizerReportArguments(
        tokenizers=[str(tokenizer_folder), str(tokenizer_folder / "tokenizer.json")],
        corpus=[str(tmp_path / "corpus.txt")],
        output_dir=str(tmp_path / "report"),
    )
    folder = run_tokenizer_report(args)
    first, second = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert first["total"] == second["total"]
    assert first["total"]["characters_per_token"] == 2.0
    assert first["units_by_tokens"] == {"1": 100.0}
    assert [first["name"], second["name"]] == ["tokenizer", "tokenizer.json"]
    text = (folder / "report.txt").read_text(encoding="utf-8")
    for wanted in (
        "corpus",
        "multi-character",
        "by characters, %: 1: 25.0, 2: 50.0, 3: 25.0",
        "common_8105",
        "longest",
    ):
        assert wanted in text
    assert (folder / "report.png").read_bytes()[:4] == b"\x89PNG"


def test_tokenizers_of_one_name_are_told_apart_by_their_paths(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("图书馆", encoding="utf-8")
    again = save_tokenizer(load_any_tokenizer(tokenizer_folder), tmp_path / "other" / tokenizer_folder.name)
    names = [str(tokenizer_folder), str(again)]
    args = TokenizerReportArguments(names, [str(tmp_path / "corpus.txt")], str(tmp_path / "report"))
    rows = json.loads((run_tokenizer_report(args) / "report.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == names


@pytest.mark.parametrize(
    ("model", "unknown"),
    [
        (WordLevel({"<unk>": 0, "我": 1}, unk_token="<unk>"), 2),
        (WordPiece({"我": 0, "[UNK]": 1}, unk_token="[UNK]"), 2),
        (Unigram([("我", -1.0), ("<unk>", 0.0)], unk_id=1), 2),
        (BPE({"我": 0}, []), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_unknown_tokens_are_counted_under_whatever_name_they_have(
    model: Model, unknown: int, segmenter: WordSegmenter, tmp_path: Path
) -> None:
    backend = Tokenizer(model)
    backend.pre_tokenizer = Split("", "isolated")
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_any_tokenizer(tmp_path / "tokenizer.json")
    assert len(tokenizer) == backend.get_vocab_size()
    assert inspect_tokenizer(tokenizer, segmenter, [document("我𠮷𠮷")]).total.unknown_tokens == unknown


def test_unusable_requests_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tokenizer was given"):
        run_tokenizer_report(TokenizerReportArguments())
    with pytest.raises(FileNotFoundError, match="neither a tokenizer folder nor"):
        load_any_tokenizer(tmp_path / "none")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot be read as a tokenizer"):
        load_any_tokenizer(tmp_path / "a.json")
