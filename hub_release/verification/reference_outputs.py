"""The numbers that a release must give, computed by the local classes from the checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ... import modeling
from ...modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM, ChineseModernBertModel
from .isolated_check import probe_forward

HEADS = (
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForMultipleChoice",
)
PROBE_TEXTS = (
    "今天天气很好，我们去公园散步。",
    "第３届会议于 2024 年 5 月 17 日在北京举行，共 1,280 人参加。",
    "ModernBERT 支持 8192 个词元的长文本！",
    "臺灣與香港使用繁體字。😀",
)
NUM_GUESSES = 5
PROBE_SEED = 20_251_014


class ReferenceOutputs:
    """Runs the local classes on a checkpoint's tensors in float32.

    Args:
        config: configuration of the checkpoint
        tensors: the checkpoint's tensors in the dtype of the release
        tokenizer: the checkpoint's tokenizer
    """

    def __init__(
        self,
        config: ChineseModernBertConfig,
        tensors: dict[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerFast,
    ) -> None:
        self.config = config
        self.tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self.tokenizer = tokenizer

    def masked_text(self) -> str:
        """Return the sentence with one mask that the fill-mask pipeline is asked."""
        return f"今天天气很{self.tokenizer.mask_token}。"

    def save(self, path: Path, normalize_embeddings: bool) -> None:
        """Write inputs and expected outputs as safetensors.

        Args:
            path: file to write
            normalize_embeddings: the release scales sentence embeddings to length 1
        """
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(PROBE_SEED)
            result = self._inputs()
            base = self._load(ChineseModernBertModel)[0]
            result["output/AutoModel"] = probe_forward("AutoModel", base, result)
            result["packed/output"] = self._packed_output(base, result)
            result["sentence_embeddings"] = self._sentence_embeddings(base, normalize_embeddings)
            masked_lm = self._load(ChineseModernBertForMaskedLM)[0]
            result["output/AutoModelForMaskedLM"] = probe_forward("AutoModelForMaskedLM", masked_lm, result)
            probabilities = self._mask_probabilities(masked_lm)
            result["fill_mask/probabilities"] = probabilities
            result["fill_mask/scores"] = probabilities.topk(min(NUM_GUESSES, probabilities.numel())).values
            for auto_class in HEADS:
                self._add_head(auto_class, result)
        save_file({name: tensor.contiguous() for name, tensor in result.items()}, str(path))

    def _inputs(self) -> dict[str, torch.Tensor]:
        """Return a padded batch that is longer than the local window, and one packed row of two documents."""
        length = min(self.config.max_position_embeddings, 2 * self.config.local_attention + 20)
        input_ids = torch.randint(0, self.config.vocab_size, (2, length))
        attention_mask = torch.ones_like(input_ids)
        attention_mask[1, length // 2 :] = 0
        input_ids[1, length // 2 :] = self.config.pad_token_id or 0
        document_ids = (torch.arange(length) >= length // 3).to(torch.int64).unsqueeze(0)
        return {
            "input/input_ids": input_ids,
            "input/attention_mask": attention_mask,
            "packed/input_ids": input_ids[:1].clone(),
            "packed/document_ids": document_ids,
        }

    def _load(self, model_class: type[PreTrainedModel]) -> tuple[PreTrainedModel, dict[str, torch.Tensor]]:
        """Return a local model with the checkpoint's tensors, and the parameters that the checkpoint lacks."""
        # A copy, since Transformers writes dtype and attention kind into the config that it is given.
        model = model_class(copy.deepcopy(self.config)).float()
        has_prefix = model_class is not ChineseModernBertModel
        tensors = self.tensors if has_prefix else {name.removeprefix("model."): t for name, t in self.tensors.items()}
        missing = model.load_state_dict(tensors, strict=False).missing_keys
        state = model.state_dict()
        is_tied = self.config.tie_word_embeddings
        fresh = {name: state[name].clone() for name in missing if not (is_tied and name == "decoder.weight")}
        return model.eval(), fresh

    def _add_head(self, auto_class: str, result: dict[str, torch.Tensor]) -> None:
        """Add a head's fresh parameters and its output."""
        name = self.config.auto_map[auto_class].rsplit(".", maxsplit=1)[-1]
        model, fresh = self._load(getattr(modeling, name))
        result.update({f"fresh/{auto_class}/{key}": tensor for key, tensor in fresh.items()})
        result[f"output/{auto_class}"] = probe_forward(auto_class, model, result)

    @staticmethod
    def _packed_output(base: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return hidden states of the packed row's documents, each computed alone."""
        ids, documents = inputs["packed/input_ids"][0], inputs["packed/document_ids"][0]
        parts = [base(input_ids=ids[documents == which].unsqueeze(0)).last_hidden_state for which in (0, 1)]
        return torch.cat(parts, dim=1)

    def _sentence_embeddings(self, base: PreTrainedModel, normalize: bool) -> torch.Tensor:
        """Return the mean over the tokens of each probe text, each text computed alone."""
        rows = []
        for text in PROBE_TEXTS:
            ids = torch.tensor([self.tokenizer(text)["input_ids"]])
            rows.append(base(input_ids=ids).last_hidden_state[0].mean(dim=0))
        embeddings = torch.stack(rows)
        return torch.nn.functional.normalize(embeddings, dim=-1) if normalize else embeddings

    def _mask_probabilities(self, masked_lm: PreTrainedModel) -> torch.Tensor:
        """Return the probability of every token at the mask, shape `(vocab_size,)`."""
        ids = torch.tensor([self.tokenizer(self.masked_text())["input_ids"]])
        position = self.tokenizer(self.masked_text())["input_ids"].index(self.tokenizer.mask_token_id)
        return masked_lm(input_ids=ids).logits[0, position].softmax(dim=-1)
