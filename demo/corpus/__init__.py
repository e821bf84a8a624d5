"""The demo corpus: true Chinese sentences generated from tables of facts."""

from .corpus import ClozeExample, DemoCorpus, generate_demo_corpus, write_demo_corpus

__all__ = ["ClozeExample", "DemoCorpus", "generate_demo_corpus", "write_demo_corpus"]
