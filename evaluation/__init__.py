"""Task tables, metrics and scoring."""
