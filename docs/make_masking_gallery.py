"""Draw one small picture for each masking preset into docs/masking/, and list them in docs/masking.md.

    python docs/make_masking_gallery.py

The text is generated: words of one to four tokens, three parts of speech, frequencies by Zipf's law.
"""

from pathlib import Path
from typing import Any

import numpy as np

from chinese_modernbert.trainers.masking import (
    MASKING_PRESETS,
    AccuracyRule,
    FeedbackTable,
    MaskVocabulary,
    PackedBatch,
    SimilarWords,
    TagLossRule,
)
from chinese_modernbert.trainers.masking.materials.tables import frequency_table, idf_table, rank_table
from chinese_modernbert.trainers.masking.preview import (
    chance_by,
    draw_curves,
    unit_frequency_classes,
    unit_lengths,
    unit_tags,
)

FOLDER = Path(__file__).parent / "masking"
PAGE = Path(__file__).parent / "masking.md"
SIZE, ROWS, LENGTH, PROGRESS = 1000, 64, 256, 0.05
VOCABULARY = MaskVocabulary(SIZE, 4, (0, 1, 2, 3, 4))


def generated_batch() -> PackedBatch:
    generator = np.random.default_rng(0)
    ids = 5 + np.minimum(generator.zipf(1.3, (ROWS, LENGTH)), SIZE - 5) - 1
    words = np.array(
        [
            np.repeat(np.arange(LENGTH), generator.choice(4, LENGTH, p=[0.7, 0.2, 0.07, 0.03]) + 1)[:LENGTH]
            for _ in range(ROWS)
        ]
    )
    pos = (words * 7919 % 3).astype(np.int16)
    entity = np.where(words % 10 < 2, words // 10, -1)
    columns = {"pos": pos, "stratum": pos - 1, "entity": entity, "domain_term": entity}
    columns |= {"emotion": np.where(words % 5 == 0, 0, -1), "metadata": np.where(words < 8, 0, -1)}
    return PackedBatch(input_ids=ids, word_ids=words, sample_ids=np.arange(ROWS), tags=columns)


def what_presets_need(batch: PackedBatch) -> dict[str, dict[str, Any]]:
    documents, generator = list(batch["input_ids"]), np.random.default_rng(1)
    tags, tokens = FeedbackTable(3, TagLossRule(), every=1), FeedbackTable(SIZE, AccuracyRule(), every=1)
    tags.observe(np.arange(3), np.array([1.0, 2.0, 3.0]), np.zeros(3))
    tokens.observe(np.arange(SIZE), np.ones(SIZE), generator.random(SIZE) < 0.5)
    tags.commit(1)
    tokens.commit(1)
    lexicon = SimilarWords.build({(token,): [(token + 1,)] for token in range(5, SIZE - 1)})
    return {
        "macbert": {"lexicon": lexicon},
        "pos_weighting": {"feedback": tags},
        "informask": {"rates": np.clip(idf_table(documents, SIZE) / 12, 0.03, 0.48)},
        "weighted_sampling": {"table": frequency_table(documents, SIZE)},
        "difference_masking": {"table": generator.random(SIZE)},
        "retrieval_oriented": {"table": idf_table(documents, SIZE)},
        "mslm": {"term_weight": 2.5, "other_weight": 0.6},
        "linguistic_entity": {"eligible": [True, False, True]},
        "amlm": {"feedback": tokens},
        "frequency_informed": {"ranks": rank_table(documents, SIZE), "exponent": 1.0},
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    batch = generated_batch()
    counts, needs = np.bincount(batch["input_ids"].ravel(), minlength=SIZE), what_presets_need(batch)
    lines = ["## Gallery\n"]
    for name, preset in MASKING_PRESETS.items():
        masker = preset.build(VOCABULARY, **needs.get(name, {}))
        classes = {
            "tokens in the unit": unit_lengths,
            "part of speech": unit_tags(batch, "pos"),
            "digits of the corpus count": unit_frequency_classes(batch, counts),
        }
        chances = {label: chance_by(masker, batch, PROGRESS, class_of, epochs=5) for label, class_of in classes.items()}
        draw_curves(masker, chances, FOLDER / f"{name}.png", f"{name}: {preset.title}", PROGRESS)
        lines.append(f"![{name}: {preset.title}](masking/{name}.png)\n")
    page = PAGE.read_text(encoding="utf-8").split("## Gallery")[0].rstrip("\n")
    PAGE.write_text(page + "\n\n" + "\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
