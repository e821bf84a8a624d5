"""A tiny masked-language-model checkpoint with random weights and a tokenizer trained on the spot."""

import random
from pathlib import Path
from typing import Any

import torch

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.tokenization.loading import save_tokenizer
from chinese_modernbert.tokenization.train_bpe import TokenizerArguments, train_tokenizer

CHARACTERS = "北京是中国的首都今天气很好我们去公园散步他喜欢读书写字第三届会议在上海举行"
VOCABULARY = 384


def write_tiny_checkpoint(folder: Path, **overrides: Any) -> Path:
    """Write the checkpoint; `overrides` are fields of the config."""
    rng = random.Random(0)
    texts = ["".join(rng.choices(CHARACTERS, k=20)) + "。" for _ in range(50)]
    tokenizer = train_tokenizer(texts, TokenizerArguments(vocab_size=VOCABULARY, segmenter="none"))
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "max_position_embeddings": 128,
        "local_attention": 16,
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset("tiny", **{**sizes, **overrides}))
        for parameter in model.parameters():  # a wrong window or norm shall move the numbers
            parameter.add_(0.1 * torch.randn_like(parameter))
        if model.config.zero_mean_residual:
            model.center_residual()
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder
