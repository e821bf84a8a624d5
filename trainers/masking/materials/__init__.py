"""What presets read beside the vocabulary: tables, tag columns, lexicons of similar words, and these from files."""
