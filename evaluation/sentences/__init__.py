"""Sentence sets, similarity, retrieval, their baselines and the report."""
