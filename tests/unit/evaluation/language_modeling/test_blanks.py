"""Blanks of everyday sentences, filled by stand-ins whose answers are known."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from chinese_modernbert.cli import SHIPPED_TOKENIZER, main
from chinese_modernbert.evaluation.language_modeling import Blank, fill_blanks, fill_words, read_blanks
from chinese_modernbert.evaluation.language_modeling.blanks import BLANK
from chinese_modernbert.evaluation.language_modeling.loading import public_names
from chinese_modernbert.tokenization.loading import load_tokenizer
from reference.tiny_bert import write_tiny_bert


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(SHIPPED_TOKENIZER)


def ids_of(tokenizer: Any, word: str) -> list[int]:
    return tokenizer(word, add_special_tokens=False)["input_ids"]


class StandIn:
    """A model that knows sentences and the words to prefer in each, the first one most; all else is equal to it."""

    def __init__(self, tokenizer: Any, preferred: dict[str, list[str]], device: str = "cpu") -> None:
        self.mask, self.size, self.device = tokenizer.mask_token_id, len(tokenizer), torch.device(device)
        self.config = SimpleNamespace(max_position_embeddings=512, vocab_size=self.size)
        self.known = {}
        for text, words in preferred.items():
            ids = [ids_of(tokenizer, word) for word in words]
            row = tokenizer(text.replace(BLANK, "[MASK]" * len(ids[0])))["input_ids"]
            self.known[tuple(row)] = ids

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        assert input_ids.device == attention_mask.device == self.device
        logits = torch.zeros(*input_ids.shape, self.size)
        lengths = [] if input_ids.is_meta else attention_mask.sum(dim=1).tolist()
        for row, length in enumerate(lengths):
            ids = input_ids[row, :length]
            for place, word in enumerate(self.known.get(tuple(ids.tolist()), [])):
                for position, token in zip((ids == self.mask).nonzero().flatten(), word, strict=True):
                    logits[row, position, token] = 50.0 - place
        return SimpleNamespace(logits=logits)

    __call__ = forward


# The sentences


def test_fifty_different_sentences_are_shipped() -> None:
    assert len({blank.text for blank in read_blanks()}) == len(read_blanks()) == 50


def test_every_answer_is_a_short_word_that_the_shipped_tokenizer_gives_back(tokenizer: Any) -> None:
    for blank in read_blanks():
        for answer in blank.answers:
            assert 1 <= len(answer) <= 3 and answer.strip() == answer
            tokens = tokenizer.convert_ids_to_tokens(ids_of(tokenizer, answer))
            assert tokenizer.decode(ids_of(tokenizer, answer)) == answer
            assert not any(token.startswith("<0x") for token in tokens), f"{answer} is spelled in bytes"


def test_no_sentence_gives_its_answer_away(tokenizer: Any) -> None:
    for blank in read_blanks():
        assert not [answer for answer in blank.answers if len(answer) > 1 and answer in blank.text]


def test_most_answers_have_as_many_tokens_as_the_first(tokenizer: Any) -> None:
    # What has more or fewer cannot be found: it is listed for readers, and for other tokenizers.
    same = [
        len(ids_of(tokenizer, answer)) == len(ids_of(tokenizer, blank.answers[0]))
        for blank in read_blanks()
        for answer in blank.answers
    ]
    assert sum(same) > 0.85 * len(same)


# The scores


def test_a_perfect_model_has_all_right_and_first(tokenizer: Any) -> None:
    blanks = read_blanks()
    model: Any = StandIn(tokenizer, {blank.text: [blank.answers[0]] for blank in blanks})
    assert [one.rank for one in fill_blanks(model, tokenizer, blanks)] == [1] * len(blanks)


def test_a_model_without_a_preference_has_none_right(tokenizer: Any) -> None:
    model: Any = StandIn(tokenizer, {})
    assert [one.rank for one in fill_blanks(model, tokenizer, read_blanks())] == [None] * 50


def test_any_answer_counts_at_its_place_among_the_first_words(tokenizer: Any) -> None:
    blank = Blank(f"我想喝一杯{BLANK}。", ("水", "茶"))
    model: Any = StandIn(tokenizer, {blank.text: ["书", "山", "人", "茶", "水"]})
    (found,) = fill_blanks(model, tokenizer, [blank])
    assert found.rank == 4 and [one.text for one in found.words] == ["书", "山", "人", "茶", "水"]
    (found,) = fill_blanks(model, tokenizer, [blank], top=3)
    assert found.rank is None and len(found.words) == 3


def test_the_first_answer_decides_the_tokens_of_the_blank(tokenizer: Any) -> None:
    assert [len(ids_of(tokenizer, word)) for word in ("垃圾桶", "绿灯", "人")] == [2, 2, 1]
    blank = Blank(f"他在看{BLANK}。", ("垃圾桶", "人"))
    model: Any = StandIn(tokenizer, {blank.text: ["绿灯", "垃圾桶"]})
    (found,) = fill_blanks(model, tokenizer, [blank])
    assert found.words[0].text == "绿灯" and found.rank is not None
    (found,) = fill_blanks(model, tokenizer, [blank], top=20, tokens=(1, 2))
    assert {len(one.ids) for one in found.words} == {1, 2} and found.words[0].text == "绿灯"


def test_the_text_goes_to_the_model_s_device(tokenizer: Any) -> None:
    model: Any = StandIn(tokenizer, {}, device="meta")
    assert len(fill_words(model, tokenizer, [f"我想喝{BLANK}。"], tokens=1)[0]) == 5


# Files and the command


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no list of sentences"),
        ("{text: a}", "holds no list of sentences"),
        ('[{text: "水"}]', "entry 1 is not {text: sentence, answers"),
        ('[{text: "喝水。", answers: [水]}]', "must hold {mask} once"),
        ('[{text: "喝{mask}和{mask}。", answers: [水]}]', "must hold {mask} once"),
        ('[{text: "喝{mask}。", answers: []}]', "must be a list of words"),
        ('[{text: "有{mask}个。", answers: [8]}]', "must be a list of words; put numbers in quotes"),
        ('[{text: "喝{mask}。", answers: [水, 水]}]', "is given twice; keep one"),
        ('[{text: "喝{mask}。", answers: [水]}, {text: "喝{mask}。", answers: [茶]}]', "entry 2: the sentence"),
    ],
)
def test_a_wrong_entry_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_blanks(tmp_path / "own.yaml")
    assert message in str(error.value) and "own.yaml" in str(error.value)


def test_the_report_lists_every_sentence_for_every_model(saved_checkpoint: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "own.yaml").write_text('[{text: "北京是{mask}。", answers: [首都, 城市]}]', encoding="utf-8")
    folders, output = [str(saved_checkpoint), str(write_tiny_bert(tmp_path / "bert"))], tmp_path / "report"
    words = [
        "fill",
        "evaluate",
        *folders,
        "--data",
        str(tmp_path / "own.yaml"),
        "--output_dir",
        str(output),
        "--top",
        "3",
    ]
    assert main(words) == 0
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert report["settings"]["top"] == 3
    for one in report["models"]:
        (sentence,) = one["sentences"]
        assert sentence["text"] == "北京是{mask}。" and len(sentence["words"]) == 3
        assert one["right"] == (sentence["rank"] is not None)
    text = (output / "report.md").read_text(encoding="utf-8")
    assert text.count("北京是＿＿。 | 首都、城市") == 2 and str(tmp_path) not in text
    assert main(words) == 2
    assert "give another output_dir, or overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["bert-base-chinese", "owner/name"], ["bert-base-chinese", "owner/name"]),
        (["/a/one/models/seed1", "/a/two/models/seed1"], ["one/models/seed1", "two/models/seed1"]),
        (["models/mini", "/home/me/models/mini", "models/mini"], ["models/mini", "me/models/mini"]),
        ([], []),
    ],
)
def test_models_of_one_report_have_names_that_differ(names: list[str], expected: list[str]) -> None:
    assert list(public_names(names).values()) == expected


def test_one_folder_under_two_names_is_refused_and_this_folder_has_one(monkeypatch: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name a model twice"):
        public_names(["./mini", "mini"])
    monkeypatch.chdir(tmp_path)
    assert public_names(["."]) == {".": tmp_path.name}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no model is given"),
        (["m", "--top", "0"], "top=0 is not a number in [1, 1000]"),
        (["m", "--tokens", "3..1"], "tokens='3..1' is no number of tokens"),
        (["m", "--tokens", "few"], "tokens='few' is no number of tokens"),
        (["m", "--data", "nowhere.yaml"], "no sentences at nowhere.yaml"),
    ],
)
def test_a_wrong_option_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill", "evaluate", *words]) == 2
    assert message in capsys.readouterr().err
