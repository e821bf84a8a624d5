"""A small tokenizer trained once for all tests of this folder, on sentences written for it."""

from pathlib import Path

import pytest
from hypothesis import settings
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.tokenization import TokenizerArguments, WordSegmenter, load_segmenter, train_tokenizer
from chinese_modernbert.tokenization.loading import save_tokenizer

# The first example of a test loads dictionaries, and shared machines are slow at times.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

PLACES = ("北京", "上海", "杭州", "成都", "西安", "广州")
THINGS = ("图书馆", "博物馆", "火车站", "大学", "公园", "医院")
DEEDS = ("参观", "研究", "学习", "工作", "介绍", "经过")


def make_sentences() -> list[str]:
    sentences = [
        f"我们在{place}的{thing}{deed}了{number}天,然后去{place}大学。 The {deed} model, version {number}.5"
        for number, place in enumerate(PLACES, start=10)
        for thing in THINGS
        for deed in DEEDS
    ]
    return sentences * 2


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    return make_sentences()


@pytest.fixture(scope="session")
def tokenizer(sentences: list[str]) -> PreTrainedTokenizerFast:
    return train_tokenizer(sentences, TokenizerArguments(vocab_size=376, limit_alphabet=75))


@pytest.fixture(scope="session")
def segmenter() -> WordSegmenter:
    return load_segmenter("rjieba")


@pytest.fixture
def tokenizer_folder(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    return save_tokenizer(tokenizer, tmp_path / "tokenizer")
