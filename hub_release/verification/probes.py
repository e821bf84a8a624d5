"""The texts and batches that releases are compared on, and which Auto class loads which of our classes."""

from __future__ import annotations

import torch

from ...modeling import ChineseModernBertConfig
from ...modeling.configuration_chinese_modernbert import AUTO_MAP, SPELLING_MAP

# The Auto class of each of our classes; a release is of one of them.
AUTO_CLASSES = {
    reference.rpartition(".")[2]: auto_class
    for auto_class, reference in (*AUTO_MAP.items(), *SPELLING_MAP.items())
    if auto_class != "AutoConfig"
}
PROBE_TEXTS = (
    "今天天气很好，我们去公园散步。",
    "第３届会议于 2024 年 5 月 17 日在北京举行，共 1,280 人参加。",
    "ModernBERT 支持 8192 个词元的长文本！",
    "臺灣與香港使用繁體字。😀",
)
PROBE_SEED = 20_251_014


def probe_inputs(config: ChineseModernBertConfig) -> dict[str, torch.Tensor]:
    """Return a padded batch that is longer than the local window, and one packed row of two documents."""
    generator = torch.Generator().manual_seed(PROBE_SEED)
    length = min(config.max_position_embeddings, 2 * config.local_attention + 20)
    input_ids = torch.randint(0, config.vocab_size, (2, length), generator=generator)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, length // 2 :] = 0
    input_ids[1, length // 2 :] = config.pad_token_id or 0
    document_ids = (torch.arange(length) >= length // 3).to(torch.int64).unsqueeze(0)
    return {
        "input/input_ids": input_ids,
        "input/attention_mask": attention_mask,
        "packed/input_ids": input_ids[:1].clone(),
        "packed/document_ids": document_ids,
    }
