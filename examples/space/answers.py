"""What the page asks the model: words for blanks, similar texts, similar passages, tokens, masks. Nothing here draws.

The files of this folder are a Space: they import each other, Transformers, sentence-transformers and Gradio, and
nothing of the library that they are kept in. The model is loaded with its own code, as any user loads it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

# Longest inputs in characters: what two CPU cores answer in seconds with a base model. Source: our default.
MOST_CHARACTERS = {"fill": 2_000, "compare": 10_000, "document": 20_000, "tokens": 5_000}
MOST_MASKS = 12
MOST_LINES = 200
# Texts of a table of similarities; more do not fit on a phone.
TABLE_LINES = 6
BEAM_WIDTH = 8
PASSAGE_CHARACTERS = 80
# Other ways to write a blank: a white square, or a line.
BLANK = re.compile(r"\[MASK\]|▢|_{2,}|＿{2,}")
SENTENCE = re.compile(r"[^。！？!?；;\n]*(?:[。！？!?；;]+[”’」』]?|\n|$)")


class UserMistakeError(Exception):
    """Something that the user can mend; `key` names the message in texts.json, `values` fill it."""

    def __init__(self, key: str, **values: Any) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


@dataclass(frozen=True)
class Candidate:
    """A word for a blank and the probability of its tokens, each given those before it."""

    word: str
    probability: float


@dataclass(frozen=True)
class Filling:
    """A text with blanks.

    Attributes:
        pieces: the text around the blanks, one more than there are blanks
        words: the best word of each blank; the surest blank is filled first, the next ones see it
        candidates: the best words of each blank while all others are blank
    """

    pieces: list[str]
    words: list[str]
    candidates: list[list[Candidate]]


@dataclass(frozen=True)
class Scored:
    """A text, its position in the input, and its cosine similarity to the query."""

    text: str
    position: int
    score: float


@dataclass(frozen=True)
class Token:
    """A token: text (empty where an earlier token shows it), form in the vocabulary, unit, and whether it is masked."""

    text: str
    form: str
    unit: int
    is_masked: bool = False


def check_text(text: str, tab: str) -> str:
    """Return a text without outer blanks.

    Raises:
        UserMistakeError: where it is empty or too long for its tab.
    """
    text = (text or "").strip()
    if not text:
        raise UserMistakeError("empty")
    if len(text) > MOST_CHARACTERS[tab]:
        raise UserMistakeError("too_long", given=len(text), most=MOST_CHARACTERS[tab])
    return text


class Reader:
    """A released model with everything that the page asks of it.

    Args:
        model: folder of a release, or its name on the Hub. Its code runs here: name one that you trust.

    Raises:
        ValueError: If the model has no head for blanks.
    """

    def __init__(self, model: str) -> None:
        self.name = model
        heads = AutoConfig.from_pretrained(model, trust_remote_code=True).architectures or []
        if not any(head.endswith("ForMaskedLM") for head in heads):  # a head of random weights would answer
            raise ValueError(
                f"{model} is {', '.join(heads) or 'an encoder'}, which fills no blanks; give a masked language model"
            )
        self.tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=True)
        self.model = AutoModelForMaskedLM.from_pretrained(model, trust_remote_code=True).eval()

    @cached_property
    def encoder(self) -> SentenceTransformer:
        """The sentence encoder of the release; loaded when first used."""
        return SentenceTransformer(self.name, trust_remote_code=True, device="cpu")

    @cached_property
    def _unwanted(self) -> torch.Tensor:
        """Ids that are no words: special tokens, and single bytes of a character, which spell nothing alone."""
        words = self.tokenizer.batch_decode([[index] for index in range(self.model.config.vocab_size)])
        special = set(self.tokenizer.all_special_ids)
        return torch.tensor([index for index, word in enumerate(words) if index in special or "\ufffd" in word])

    def fill(self, text: str, top: int = 5) -> Filling:
        """Return words for the blanks of a text; blanks side by side are one word of so many tokens.

        Raises:
            UserMistakeError: for no or too many blanks, and for an empty or too long text.
        """
        text = BLANK.sub(self.tokenizer.mask_token, check_text(text, "fill"))
        ids = torch.tensor(self.tokenizer(text)["input_ids"])
        positions = (ids == self.tokenizer.mask_token_id).nonzero().flatten().tolist()
        if not positions:
            raise UserMistakeError("no_mask")
        if len(positions) > MOST_MASKS:
            raise UserMistakeError("too_many_masks", given=len(positions), most=MOST_MASKS)
        if len(ids) > (longest := self.model.config.max_position_embeddings):
            raise UserMistakeError("too_many_tokens", given=len(ids), most=longest)
        blanks: list[list[int]] = []
        for position in positions:
            if blanks and blanks[-1][-1] == position - 1:
                blanks[-1].append(position)
            else:
                blanks.append([position])
        candidates = [self._words(ids, blank)[:top] for blank in blanks]
        words, waiting = [""] * len(blanks), set(range(len(blanks)))
        while waiting:
            found = {number: self._beam(ids, blanks[number])[0] for number in waiting}
            surest = max(found, key=lambda number: found[number][1] / len(blanks[number]))
            ids[blanks[surest]] = torch.tensor(found[surest][0])
            words[surest] = self.tokenizer.decode(found[surest][0]).strip()
            waiting.remove(surest)
        mask = re.escape(self.tokenizer.mask_token)
        return Filling(re.split(f"(?:{mask})+", text), words, candidates)

    def _words(self, ids: torch.Tensor, blank: list[int]) -> list[Candidate]:
        """Return the words that a beam found, each once, best first."""
        found: dict[str, float] = {}
        for tokens, score in self._beam(ids, blank):
            found.setdefault(self.tokenizer.decode(tokens).strip(), float(torch.tensor(score).exp()))
        return [Candidate(word, probability) for word, probability in found.items() if word]

    @torch.no_grad()
    def _beam(self, ids: torch.Tensor, blank: list[int]) -> list[tuple[list[int], float]]:
        """Return token ids for the positions of a blank with their log probability, best first."""
        beams: list[tuple[list[int], float]] = [([], 0.0)]
        for position in blank:
            rows = ids.repeat(len(beams), 1)
            for row, (tokens, _) in zip(rows, beams, strict=True):
                row[blank[: len(tokens)]] = torch.tensor(tokens, dtype=torch.long)
            logits = self.model(input_ids=rows).logits[:, position].float()
            logits[:, self._unwanted] = -torch.inf
            values, tokens = torch.log_softmax(logits, dim=-1).topk(BEAM_WIDTH)
            grown = [
                ([*beam, int(token)], score + float(value))
                for (beam, score), row_values, row_tokens in zip(beams, values, tokens, strict=True)
                for value, token in zip(row_values, row_tokens, strict=True)
            ]
            beams = sorted(grown, key=lambda one: -one[1])[:BEAM_WIDTH]
        return beams

    def similarities(self, texts: Sequence[str], center: bool) -> list[list[float]]:
        """Return cosine similarities of all pairs, [n, n]; `center` first takes their mean vector off."""
        vectors = self._vectors(texts, texts if center else ())
        return (vectors @ vectors.T).tolist()

    def rank(self, query: str, texts: Sequence[str], center: bool) -> list[Scored]:
        """Return the texts, nearest to the query first; `center` first takes the texts' mean vector off all."""
        vectors = self._vectors([query, *texts], texts if center else ())
        scores = (vectors[1:] @ vectors[0]).tolist()
        rows = [Scored(text, position, score) for position, (text, score) in enumerate(zip(texts, scores, strict=True))]
        return sorted(rows, key=lambda row: -row.score)

    def _vectors(self, texts: Sequence[str], common: Sequence[str]) -> torch.Tensor:
        """Return vectors of length 1, [n, hidden]; the mean of three or more `common` texts is taken off first."""
        vectors = self.encoder.encode(list(texts), convert_to_tensor=True, show_progress_bar=False).float().cpu()
        if len(common) >= 3:
            vectors = vectors - vectors[-len(common) :].mean(dim=0)
        return torch.nn.functional.normalize(vectors, dim=-1)

    def search(self, query: str, document: str, center: bool) -> list[Scored]:
        """Return the passages of a document, nearest to a question first; positions are numbers of passages.

        Raises:
            UserMistakeError: for an empty question or document, or a too long one.
        """
        passages = split_passages(check_text(document, "document"))
        return self.rank(check_text(query, "fill"), passages, center)

    def tokens(self, text: str, rate: float = 0.0, seed: int = 0) -> list[Token]:
        """Return the tokens of a text in units of whole words, a share of them masked.

        Args:
            text: any text
            rate: share of tokens to mask, 0 to 1
            seed: other masks for another number

        Raises:
            UserMistakeError: for an empty or too long text.
        """
        text = check_text(text, "tokens")
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans: list[tuple[int, int]] = encoded["offset_mapping"]
        units = unit_numbers(spans, word_starts(text))
        masked = choose_units(units, rate, seed)
        rows, shown = [], 0
        for index, (start, end), unit in zip(encoded["input_ids"], spans, units, strict=True):
            # The bytes of one character have its span all of them; the first shows it.
            rows.append(Token(text[max(start, shown) : end], self._form(index), unit, unit in masked))
            shown = max(shown, end)
        return rows

    def _form(self, index: int) -> str:
        return str(self.tokenizer.convert_ids_to_tokens(index))


def word_starts(text: str) -> set[int]:
    """Return where words begin, by rjieba; without it every character is a start, so that each token is a unit."""
    try:
        import rjieba
    except ImportError:
        return set(range(len(text)))
    starts, offset = set(), 0
    for word in rjieba.cut(text):
        starts.add(offset)
        offset += len(word)
    return starts


def unit_numbers(spans: Sequence[tuple[int, int]], starts: set[int]) -> list[int]:
    """Return the unit of each token: one begins where a token and a word begin at the same character."""
    numbers, covered = [], 0
    for start, end in spans:
        begins = not numbers or (start in starts and start >= covered)
        numbers.append((numbers[-1] if numbers else -1) + begins)
        covered = max(covered, end)
    return numbers


def choose_units(units: Sequence[int], rate: float, seed: int) -> set[int]:
    """Return units to mask, so that their tokens are the share `rate` on average and no length is preferred."""
    generator = random.Random(seed)
    lengths = Counter(units)
    order = sorted(lengths)
    generator.shuffle(order)
    room, chosen = rate * len(units), set()
    for unit in order:
        length = lengths[unit]
        # The unit that does not fit is taken with the chance that keeps the rate.
        if room >= length or generator.random() < room / length:
            chosen.add(unit)
        room -= length
        if room <= 0:
            break
    return chosen


def split_lines(text: str) -> list[str]:
    """Return the lines of a text that hold something.

    Raises:
        UserMistakeError: for none, too many, or a too long text.
    """
    lines = [line.strip() for line in check_text(text, "compare").split("\n") if line.strip()]
    if len(lines) > MOST_LINES:
        raise UserMistakeError("too_many_lines", given=len(lines), most=MOST_LINES)
    return lines


def split_passages(document: str) -> list[str]:
    """Return a document in passages: whole sentences, joined up to `PASSAGE_CHARACTERS`, never across a line."""
    passages = [""]
    for sentence in SENTENCE.findall(document):
        is_new_line = passages[-1].endswith("\n")
        if passages[-1] and (is_new_line or len(passages[-1]) + len(sentence) > PASSAGE_CHARACTERS):
            passages.append("")
        passages[-1] += sentence
    return [passage.strip() for passage in passages if passage.strip()]
