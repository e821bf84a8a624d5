"""Every phrase of any list is found where it stands between words."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.tokenization import load_segmenter, load_tokenizer
from chinese_modernbert.trainers.masking import PackedBatch, PhraseTagger
from chinese_modernbert.trainers.masking.collator import DataCollatorForWholeWordMasking
from chinese_modernbert.trainers.masking.materials.tags import token_texts

CHARACTERS = st.sampled_from(
    "的一是北京大学我爱网络認證臺灣嚟𠮷〇々㐂Tt恤CcAZ059ＡＩ５·.-+#/@_'’é(（《 　😀α\u0301\u2028\t"
)
PHRASE = st.text(CHARACTERS, min_size=1, max_size=8).filter(lambda phrase: phrase.strip())
TOKENIZER = load_tokenizer(SHIPPED_TOKENIZER)
TOKENS = token_texts(TOKENIZER)


@pytest.fixture(scope="module")
def collator() -> DataCollatorForWholeWordMasking:
    return DataCollatorForWholeWordMasking(TOKENIZER, segmenter=load_segmenter("rjieba"))


@settings(derandomize=True, deadline=None, database=None, max_examples=100)
@example(phrases=["##"])  # a mark of WordPiece, and a token of a BPE
@given(phrases=st.lists(PHRASE, min_size=1, max_size=6))
def test_every_phrase_is_found_whole(collator: DataCollatorForWholeWordMasking, phrases: list[str]) -> None:
    columns = {name: one.numpy() for name, one in collator([{"text": f"好\n{phrase}\n"} for phrase in phrases]).items()}
    batch = PackedBatch(input_ids=columns["input_ids"], word_ids=columns["word_ids"])
    tagger = PhraseTagger(TOKENS, phrases)
    column = tagger(batch)
    assert tagger.unmatched == []
    for row, phrase in enumerate(phrases):
        tagged = column[row] >= 0
        assert len(set(column[row][tagged].tolist())) == 1, phrase
        found = TOKENIZER.decode(columns["input_ids"][row][tagged])
        expected = TOKENIZER.decode(TOKENIZER(phrase.strip(), add_special_tokens=False)["input_ids"])
        assert found.strip() == expected.strip() and np.flatnonzero(tagged).size
