"""Chinese ModernBERT: a Transformers model, its tokenizer, its training and its Hub release.

This file imports nothing: `chinese_modernbert.modeling` holds the model classes and, when it is imported,
registers them with Transformers' Auto classes.
"""

__version__ = "0.1.0"
