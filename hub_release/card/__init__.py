"""The model card and the facts that fill it."""
