"""Fine-tuning on CLUE, or on a task of your own."""
