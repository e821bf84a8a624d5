"""Tokenizer training, width folding, word segmentation and word starts."""
