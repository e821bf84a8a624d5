import pickle
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from chinese_modernbert.tokenization import TextDocument
from chinese_modernbert.trainers.data import near_duplicates as deduplication
from chinese_modernbert.trainers.data.filters import DocumentCounts
from chinese_modernbert.trainers.data.near_duplicates import (
    ExactDuplicates,
    NearDuplicates,
    bands_for,
    comparable_text,
    document_signatures,
    drop_near_duplicates,
)

CHARACTERS = [chr(0x4E00 + number) for number in range(500)]


def in_this_process(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    return ((item, function(item)) for item in items)


def documents(texts: Iterable[str]) -> Iterator[TextDocument]:
    return (TextDocument(text, "source", f"file:{number}") for number, text in enumerate(texts))


def kept(texts: list[str], similarity: float = 0.8) -> list[str]:
    counts = DocumentCounts()
    found = list(drop_near_duplicates(documents(texts), NearDuplicates(similarity), counts, in_this_process))
    assert counts.dropped.get("near_duplicate", 0) == len(texts) - len(found)
    return [document.text for document in found]


def exact_similarity(left: str, right: str) -> float:
    sets = [{text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in map(comparable_text, (left, right))]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def random_text(generator: random.Random, length: int) -> str:
    return "".join(generator.choices(CHARACTERS, k=length))


def changed(text: str, generator: random.Random, n_changes: int) -> str:
    """Replace single characters; each changes up to five n-grams."""
    characters = list(text)
    for position in generator.sample(range(len(text)), n_changes):
        characters[position] = "变"
    return "".join(characters)


def test_width_and_white_space_make_no_difference_and_anything_else_does() -> None:
    find = ExactDuplicates()
    given = ["共ＧＰＴ４个", "共 GPT4\n个\u3000", "共GPT5个", "共gpt4个"]
    assert [find(one) for one in documents(given)] == [None, "exact_duplicate", None, None]


def test_a_text_with_few_changes_is_dropped_and_one_with_many_is_kept() -> None:
    generator = random.Random(0)
    texts = [random_text(generator, 400) for _ in range(50)]
    near = [changed(text, generator, 2) for text in texts]  # similarity about 0.95
    far = [changed(text, generator, 60) for text in texts]  # about 0.3
    assert kept([*texts, *near, *far]) == [*texts, *far]


def test_whatever_is_dropped_is_near_to_something_earlier_that_stays() -> None:
    generator = random.Random(1)
    texts = [random_text(generator, 300) for _ in range(40)]
    texts += [changed(generator.choice(texts), generator, generator.randrange(1, 30)) for _ in range(300)]
    stays = kept(texts)
    numbers = [texts.index(text) for text in stays]
    assert numbers == sorted(numbers) and 40 < len(stays) < 340
    for number, text in enumerate(texts):
        similarities = [exact_similarity(text, texts[other]) for other in numbers if other < number]
        if text not in stays:
            assert max(similarities) > 0.8 - 3 * 0.044  # the estimate's standard error is 0.044 at most
        elif number not in numbers:
            pytest.fail("a kept text stands at two places")
        else:
            assert max(similarities, default=0) < 0.8 + 4 * 0.044


def test_a_chain_of_small_changes_does_not_drop_its_far_end() -> None:
    generator = random.Random(2)
    chain = [random_text(generator, 300)]
    for _ in range(40):
        chain.append(changed(chain[-1], generator, 3))
    stays = kept(chain)
    assert stays[0] == chain[0] and len(stays) > 3


def test_the_order_decides_which_copy_stays() -> None:
    generator = random.Random(3)
    first = random_text(generator, 200)
    second = changed(first, generator, 1)
    assert kept([first, second]) == [first]
    assert kept([second, first]) == [second]


def test_the_size_of_batches_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(4)
    texts = [random_text(generator, 100) for _ in range(30)]
    texts += [changed(text, generator, 1) for text in texts]
    whole = kept(texts)
    monkeypatch.setattr(deduplication, "BATCH_CHARACTERS", 150)
    assert kept(texts) == whole


def test_texts_shorter_than_an_ngram_are_near_only_if_they_are_equal() -> None:
    assert kept(["好", "坏", "好", "好的"]) == ["好", "坏", "好的"]


def test_signatures_travel_between_processes() -> None:
    signature = document_signatures(["老虎是一种哺乳动物"])[0]
    assert pickle.loads(pickle.dumps(signature)).digest() == signature.digest()


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_the_bands_find_a_pair_of_the_wanted_similarity_and_half_as_many_would_not(similarity: float) -> None:
    def chance(bands: int) -> float:
        return 1 - (1 - similarity ** (128 // bands)) ** bands

    bands = bands_for(similarity)
    assert 128 % bands == 0 and chance(bands) >= 0.94
    assert bands == 1 or chance(bands // 2) < 0.94


@pytest.mark.parametrize("similarity", [0.0, -1.0, 1.01])
def test_an_impossible_similarity_is_refused(similarity: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        NearDuplicates(similarity)
