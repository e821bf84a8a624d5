"""How text is cut before BPE, and the stock components that every tokenizer of ours is built from.

Merges never cross a pre-token, so this pattern decides what a token can be: a run of Han characters is one
pre-token (compounds and affixes can become tokens), digits go in groups of at most three, a Latin word takes its
leading space, and spaces and other scripts are separate. Every punctuation mark or symbol stands alone, so that no
token holds the border of a title, a quotation or a name; one mark repeated, as in an ellipsis, is a run, but brackets
and quotation marks are not.
"""

from collections.abc import Mapping, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from .normalization import width_normalizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Special tokens in the order of their ids, 0 to 4. Source: our default; readers take the ids from the file."""

BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
"""Tokens that spell a character outside the alphabet by its UTF-8 bytes (the SentencePiece spelling)."""

DIGITS_PER_TOKEN = 3

HAN = "\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""Han characters as a range list for Python's `re`. Source: Unicode Scripts.txt, Han (unassigned holes included)."""

LATIN = "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02b8\u1e00-\u1eff"
"""Latin letters as a range list for Python's `re`. Source: Unicode Scripts.txt, Latin, its blocks up to U+1EFF."""

PAIRED_MARKS = r"[\p{Ps}\p{Pe}\p{Pi}\p{Pf}\x22'＂＇]"
"""Brackets, title and quotation marks in Oniguruma syntax. Source: Unicode, Ps Pe Pi Pf, and the straight quotes."""

_OTHER_LETTERS = r"[[\p{L}\p{M}]&&[^\p{Han}\p{Latin}\p{Hiragana}\p{Katakana}\p{Hangul}]]"


def split_pattern(digits_per_token: int = DIGITS_PER_TOKEN) -> str:
    """Return the pre-token pattern in Oniguruma syntax, at most `digits_per_token` digits together."""
    return "|".join(
        (
            r"\p{Han}+",
            rf"\p{{N}}{{1,{digits_per_token}}}",
            r" ?\p{Latin}[\p{Latin}\p{M}]*",
            r"[\p{Hiragana}ー]+",
            r"[\p{Katakana}ー]+",
            r"\p{Hangul}+",
            rf" ?{_OTHER_LETTERS}+",
            rf"\s+(?= (?:\p{{Latin}}|{_OTHER_LETTERS}))",
            r"\s+",
            PAIRED_MARKS,
            r"([^\s\p{L}\p{M}\p{N}])\1*",
        )
    )


def build_pre_tokenizer(digits_per_token: int = DIGITS_PER_TOKEN) -> pre_tokenizers.PreTokenizer:
    """Return the pre-tokenizer; text that no alternative matches is kept as a piece of its own."""
    return pre_tokenizers.Split(Regex(split_pattern(digits_per_token)), "isolated")


def build_backend(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], digits_per_token: int = DIGITS_PER_TOKEN
) -> Tokenizer:
    """Return a complete `tokenizers.Tokenizer` around a vocabulary and its merges.

    Args:
        vocabulary: token to id; must hold `SPECIAL_TOKENS` and `BYTE_TOKENS`
        merges: pairs in the order of their rank
        digits_per_token: longest group of digits, default 3

    Raises:
        ValueError: If a special token or a byte token is missing.
    """
    missing = [token for token in (*SPECIAL_TOKENS, *BYTE_TOKENS) if token not in vocabulary]
    if missing:
        raise ValueError(f"the vocabulary lacks {len(missing)} required tokens, the first is {missing[0]!r}")
    model = models.BPE(dict(vocabulary), list(merges), unk_token="[UNK]", byte_fallback=True, fuse_unk=False)
    backend = Tokenizer(model)
    backend.normalizer = width_normalizer()
    backend.pre_tokenizer = build_pre_tokenizer(digits_per_token)
    # Plain concatenation: spaces are ordinary characters of tokens, so nothing is ever stripped or inserted.
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    template = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    # The offsets of a token leave its blanks out, so that no answer or entity begins with the blank of its first token.
    blanks = processors.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)
    backend.post_processor = processors.Sequence([blanks, template])
    # Only these five: if byte tokens were special tokens, the plain text "<0x41>" would produce one.
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return backend
