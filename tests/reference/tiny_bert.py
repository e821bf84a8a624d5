"""A tiny BERT checkpoint with random weights and a WordPiece tokenizer of single characters."""

from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

CHARACTERS = "北京公园上海会议首都天气散步读书第届：。，？男女他喜欢什么在举行了说们很好写字0123456789"


def write_tiny_bert(folder: Path, positions: int = 128, characters: str = CHARACTERS) -> Path:
    """Write model and tokenizer into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(characters))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=positions)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=positions, **sizes)
        BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
