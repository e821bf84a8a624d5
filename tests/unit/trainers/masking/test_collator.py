"""The collator turns text, words and ids into the same whole words, for a character vocabulary too."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, TrainerControl, TrainerState, TrainingArguments

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.tokenization import load_segmenter, load_tokenizer
from chinese_modernbert.tokenization.word_starts import word_starts_from_offsets
from chinese_modernbert.trainers.masking import ColumnUnits, Masker, MaskVocabulary, Replace, chinese_modernbert
from chinese_modernbert.trainers.masking.collator import DataCollatorForWholeWordMasking, MaskingEpochCallback

TEXTS = [
    "我们在北京大学学习自然语言处理。",
    "今天天气真好",
    "他用GPT4写了2024年的報告，很有意思！",
    "😀漢語的詞語",
    "，。！？",
]
WORDS = [["我们", "在", "北京大学", "学习"], ["今天", "天气", "真", "好"]]


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer whose Chinese entries are single characters, as BERT's."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "gp", "##t", "##4", "20", "##24"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    for character in dict.fromkeys("".join(TEXTS)):
        if ord(character) > 0x2000 and character not in "😀":
            vocabulary.setdefault(character, len(vocabulary))
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # type: ignore[call-arg]
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(names, pieces, strict=False)))


TOKENIZER = bert_tokenizer()
VOCABULARY = MaskVocabulary.from_tokenizer(TOKENIZER)


def masker(rate: float = 0.3) -> Masker:
    return Masker(ColumnUnits(), rate, Replace(VOCABULARY))


def pieces_by_word(collated: dict[str, torch.Tensor], row: int = 0) -> list[str]:
    words: dict[int, str] = {}
    for token, word in zip(collated["input_ids"][row].tolist(), collated["word_ids"][row].tolist(), strict=True):
        if word >= 0:
            words[word] = words.get(word, "") + TOKENIZER.convert_ids_to_tokens(token).replace("##", "")
    return list(words.values())


def test_characters_of_a_word_share_a_unit() -> None:
    collated = DataCollatorForWholeWordMasking(TOKENIZER, segmenter="jieba")([{"text": TEXTS[0]}])
    assert pieces_by_word(collated) == load_segmenter("jieba").cut(TEXTS[0])
    assert collated["word_ids"][0, [0, -1]].tolist() == [-1, -1]
    assert TOKENIZER.convert_ids_to_tokens(collated["input_ids"][0, [0, -1]].tolist()) == ["[CLS]", "[SEP]"]


def test_latin_words_and_numbers_are_one_unit_and_punctuation_stands_alone() -> None:
    words = pieces_by_word(DataCollatorForWholeWordMasking(TOKENIZER)([{"text": TEXTS[2]}]))
    assert {"gpt4", "2024", "，", "！"} <= set(words)


def test_given_words_are_taken_as_they_are() -> None:
    collated = DataCollatorForWholeWordMasking(TOKENIZER)([{"words": words} for words in WORDS])
    assert [pieces_by_word(collated, row) for row in range(2)] == WORDS


@pytest.mark.parametrize("text", TEXTS)
def test_four_kinds_of_rows_give_the_same_units(text: str) -> None:
    collator = DataCollatorForWholeWordMasking(TOKENIZER, segmenter="jieba")
    segmenter = load_segmenter("jieba")
    encoding = TOKENIZER(text, return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    starts = word_starts_from_offsets(text, offsets, segmenter)
    from_text = collator([{"text": text}])
    rows: list[dict[str, Any]] = [
        {"words": segmenter.cut(text)},
        {"input_ids": ids, "word_starts": starts},
        {"input_ids": ids, "text": text, "offset_mapping": offsets},
        {"input_ids": ids, "word_ids": from_text["word_ids"][0].tolist()},
    ]
    for row in rows:
        for name, column in collator([row]).items():
            torch.testing.assert_close(column, from_text[name])


def test_a_token_over_a_word_border_joins_both_words() -> None:
    class Halves:
        def cut(self, text: str) -> list[str]:
            return [text[:2], text[2:]]

    collator = DataCollatorForWholeWordMasking(TOKENIZER, segmenter=Halves())
    for text, offsets, expected in (
        ("甲乙丙丁戊", [(0, 0), (0, 1), (1, 3), (3, 4), (4, 5), (0, 0)], [-1, 0, 0, 0, 0, -1]),
        ("甲乙丙丁", [(0, 0), (0, 1), (1, 2), (2, 4), (0, 0)], [-1, 0, 0, 1, -1]),
    ):
        ids = [2, *[8] * (len(offsets) - 2), 3]
        words = collator([{"input_ids": ids, "text": text, "offset_mapping": offsets}])["word_ids"][0].numpy()
        assert np.where(words < 0, -1, words - words[1]).tolist() == expected


def test_masking_collator_returns_what_a_model_takes() -> None:
    collated = DataCollatorForWholeWordMasking(TOKENIZER, masker(), pad_to_multiple_of=8)([{"text": t} for t in TEXTS])
    assert collated.keys() == {"input_ids", "attention_mask", "labels"}
    assert collated["input_ids"].shape[1] % 8 == 0
    padding = collated["attention_mask"] == 0
    assert padding.any() and (collated["input_ids"][padding] == TOKENIZER.pad_token_id).all()
    masked = collated["labels"] != -100
    assert masked.any() and not masked[padding].any() and not masked[:, 0].any()


def test_masks_do_not_depend_on_batch_order_or_workers() -> None:
    rows = [{"text": text} for text in TEXTS * 4]
    collator = DataCollatorForWholeWordMasking(TOKENIZER, masker())
    whole = collator(rows)
    for workers in (0, 2):
        loader = DataLoader(rows, batch_size=3, num_workers=workers, collate_fn=collator)  # type: ignore[arg-type]
        parts = [row[row != 0] for batch in loader for row in batch["input_ids"]]
        for part, row in zip(parts, whole["input_ids"], strict=True):
            torch.testing.assert_close(part, row[row != 0])


@pytest.mark.parametrize("workers", [0, 1])
def test_each_epoch_has_its_own_masks_even_in_persistent_workers(workers: int) -> None:
    rows = [{"text": TEXTS[0]}] * 2
    collator = DataCollatorForWholeWordMasking(TOKENIZER, masker())
    callback = MaskingEpochCallback(collator)
    loader = DataLoader(
        rows,
        batch_size=2,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collator,  # type: ignore[arg-type]
    )
    seen = []
    arguments = TrainingArguments(output_dir="unused", report_to=[])
    for started in (0, 1.5):  # a run, and one that goes on within its second pass
        callback.on_train_begin(arguments, TrainerState(epoch=started), TrainerControl())
        for _ in range(3):
            # A Trainer that does not know how long a pass is counts its steps as parts of all.
            callback.on_epoch_begin(arguments, TrainerState(epoch=0.1), TrainerControl())
            seen.append(next(iter(loader))["labels"].numpy().tobytes())
    assert len(set(seen)) == 4 and seen[1:3] == seen[3:5]


def test_sample_id_and_epoch_columns_decide_the_mask() -> None:
    collator = DataCollatorForWholeWordMasking(TOKENIZER, masker())
    text = TEXTS[0] * 3
    rows = [{"text": text, "sample_id": s, "epoch": e} for s, e in ((1, 0), (2, 0), (1, 1), (1, 0))]
    labels = [row.numpy().tobytes() for row in collator(rows)["labels"]]
    assert len(set(labels)) == 3 and labels[0] == labels[3]


def test_packed_rows_keep_their_documents_and_tags() -> None:
    row = {
        "input_ids": [2, 9, 10, 3, 2, 11, 3],
        "word_ids": np.array([-1, 0, 0, -1, -1, 5, -1]),
        "document_ids": [0, 0, 0, 0, 1, 1, 1],
        "tag_pos": [-1, 0, 0, -1, -1, 1, -1],
        "sample_id": 7,
    }
    shorter = {name: value if name == "sample_id" else value[:4] for name, value in row.items()}  # type: ignore[index]
    collated = DataCollatorForWholeWordMasking(TOKENIZER)([row, shorter])
    assert collated["document_ids"][1].tolist() == [0, 0, 0, 0, -1, -1, -1]
    assert collated["attention_mask"][1].tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert collated["word_ids"][1].tolist() == [-1, 0, 0, -1, -1, -1, -1]
    assert collated["tag_pos"][1].tolist() == [-1, 0, 0, -1, -1, -1, -1]
    assert collated["sample_ids"].tolist() == [7, 7]


def test_long_text_is_cut_and_keeps_its_special_tokens() -> None:
    collated = DataCollatorForWholeWordMasking(TOKENIZER, max_length=6)([{"text": TEXTS[0]}])
    assert collated["input_ids"].shape == (1, 6)
    assert collated["input_ids"][0, [0, -1]].tolist() == [TOKENIZER.cls_token_id, TOKENIZER.sep_token_id]


def test_a_schedule_cannot_run_in_a_collator() -> None:
    with pytest.raises(ValueError, match="MaskingTrainer"):
        DataCollatorForWholeWordMasking(TOKENIZER, chinese_modernbert(VOCABULARY))


def test_what_a_tokenizer_gives_beside_ids_is_kept() -> None:
    tokenizer = bert_tokenizer()
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    encoding = tokenizer(TEXTS[0][:6], TEXTS[1], padding="max_length", max_length=20, return_special_tokens_mask=True)
    length = sum(encoding["attention_mask"])
    assert length < 20
    kept = encoding["special_tokens_mask"]
    kept[3] = 1  # a token of one's own that is not to be masked
    row = {**encoding, "word_ids": encoding.word_ids(), "tag_pos": [0] * 20}
    starts = {name: value for name, value in row.items() if name != "word_ids"} | {"word_starts": [True] * 20}
    for one in (row, starts):
        collated = DataCollatorForWholeWordMasking(tokenizer, pad_to_multiple_of=16)([one])
        assert collated["attention_mask"][0].tolist() == [1] * length + [0] * (32 - length)
        assert collated["token_type_ids"][0].tolist() == encoding["token_type_ids"] + [0] * 12
        never = [index for index, word in enumerate(collated["word_ids"][0].tolist()) if word < 0]
        assert never == [index for index, special in enumerate(kept) if special] + list(range(20, 32))
    masked = DataCollatorForWholeWordMasking(TOKENIZER, masker(0.9))([row])
    assert masked["attention_mask"][0].tolist() == encoding["attention_mask"]
    for name in ("attention_mask", "word_ids", "tag_pos"):
        with pytest.raises(ValueError, match=f"20 input_ids and 19 {name}"):
            DataCollatorForWholeWordMasking(TOKENIZER)([row | {name: row[name][1:]}])


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
@pytest.mark.parametrize("name", ["rjieba", "jieba"])
def test_a_collator_with_a_segmenter_works_in_processes_that_are_not_forked(
    tmp_path: Path, name: str, context: str
) -> None:
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("赛博小龙虾\n", encoding="utf-8")
    segmenter = load_segmenter(name, dictionary)
    text = "我们在北京大学学习养赛博小龙虾。"
    assert "赛博小龙虾" in segmenter.cut(text) and pickle.loads(pickle.dumps(segmenter)).cut(text) == segmenter.cut(
        text
    )
    if (name, context) in (("rjieba", "spawn"), ("jieba", "forkserver")):  # each takes seconds
        collator = DataCollatorForWholeWordMasking(TOKENIZER, masker(), segmenter=segmenter)
        loader = DataLoader(
            [{"text": text}],  # type: ignore[arg-type]
            num_workers=1,
            multiprocessing_context=context,
            collate_fn=collator,
        )
        torch.testing.assert_close(next(iter(loader))["labels"], collator([{"text": text}])["labels"])


@pytest.mark.parametrize(
    ("row", "message"), [({"text": None}, "text is NoneType"), ({"words": ["好", 1.5]}, "words hold float")]
)
def test_what_is_not_text_is_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataCollatorForWholeWordMasking(TOKENIZER)([row])


def test_unusable_rows_are_explained() -> None:
    collator = DataCollatorForWholeWordMasking(TOKENIZER)
    for row in ({}, {"label": 1}, {"input_ids": [2, 3]}):
        with pytest.raises(ValueError, match="remove_unused_columns"):
            collator([row])
    with pytest.raises(ValueError, match="different columns"):
        collator([{"text": "好"}, {"text": "好", "epoch": 1}])


def test_a_tokenizers_own_word_ids_are_refused() -> None:
    tokenizer = load_tokenizer(SHIPPED_TOKENIZER)
    collator = DataCollatorForWholeWordMasking(tokenizer)
    text = "我们昨天下午在北京大学的图书馆里认真地学习机器学习, internationalization of New York"
    own = tokenizer(text)
    with pytest.raises(ValueError, match="in which '我们昨天下午在北京大学的图书馆里认真地学习机器学习' is one word"):
        collator([{"input_ids": own["input_ids"], "word_ids": own.word_ids()}])
    for row in (
        tokenizer(load_segmenter().cut(text), is_split_into_words=True),
        tokenizer("Pneumonoultramicroscopicsilicovolcanoconiosis is a long word"),
    ):
        collated = collator([{"input_ids": row["input_ids"], "word_ids": row.word_ids()}])
        assert collated["word_ids"][0, 1:-1].tolist() == row.word_ids()[1:-1]
