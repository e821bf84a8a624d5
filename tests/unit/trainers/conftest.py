"""The fixtures of the tests of `prepare`."""

from reference.small_corpus import arguments, corpus, many, texts, tokenizer_folder

__all__ = ["arguments", "corpus", "many", "texts", "tokenizer_folder"]
