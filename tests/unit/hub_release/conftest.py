"""A tiny checkpoint with random weights and a trained tokenizer, the same for every test of the folder."""

import random
import shutil
from pathlib import Path

import pytest
import torch

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.tokenization.loading import save_tokenizer
from chinese_modernbert.tokenization.train_bpe import TokenizerArguments, train_tokenizer

CHARACTERS = "北京是中国的首都今天气很好我们去公园散步他喜欢读书写字第三届会议在上海举行"


@pytest.fixture(scope="session")
def saved_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "checkpoint"
    rng = random.Random(0)
    texts = ["".join(rng.choices(CHARACTERS, k=20)) + "。" for _ in range(50)]
    tokenizer = train_tokenizer(
        texts, TokenizerArguments(corpus=["none"], output_dir="none", vocab_size=384, segmenter="none")
    )
    torch.manual_seed(0)
    config = ChineseModernBertConfig.preset(
        "tiny",
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        max_position_embeddings=128,
        local_attention=16,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = ChineseModernBertForMaskedLM(config)
    with torch.no_grad():  # larger than the usual start, so that a wrong window or norm moves the numbers
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture
def checkpoint(saved_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(saved_checkpoint, tmp_path / "checkpoint"))
