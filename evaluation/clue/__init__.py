"""CLUE: tasks, their files, scores, significance, submissions and the report."""
