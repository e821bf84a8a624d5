"""The numbers that a release must give, computed by the local classes from the checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ... import modeling
from ...modeling import ChineseModernBertConfig
from ...modeling.configuration_chinese_modernbert import SPELLING
from ..checkpoint import ENCODER_PREFIX, MASKED_LM
from ..sentence_modules import SentenceModules
from .isolated_check import EDITS, found_edits, probe_forward
from .probes import AUTO_CLASSES, PROBE_SEED, PROBE_TEXTS, probe_inputs
from .reference_embeddings import reference_embeddings

ENCODER = "ChineseModernBertModel"
NUM_GUESSES = 5


class ReferenceOutputs:
    """Runs the local classes on a checkpoint's tensors in float32.

    Args:
        config: configuration of the checkpoint
        tensors: the checkpoint's tensors in the dtype of the release
        tokenizer: the checkpoint's tokenizer
        class_name: our class that the tensors belong to
    """

    def __init__(
        self,
        config: ChineseModernBertConfig,
        tensors: dict[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerFast,
        class_name: str,
    ) -> None:
        self.config = config
        self.tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self.tokenizer = tokenizer
        self.class_name = class_name

    def heads(self) -> list[str]:
        """Return the Auto classes of heads to check: all for a masked language model, else the model's own."""
        if self.class_name == ENCODER:
            return []
        own = AUTO_CLASSES[self.class_name]
        others = [name for name in AUTO_CLASSES.values() if name not in ("AutoModel", own)]
        return others if self.class_name == MASKED_LM else [own]

    def masked_text(self) -> str:
        """Return the sentence with one mask that the fill-mask pipeline is asked."""
        return f"今天天气很{self.tokenizer.mask_token}。"

    def save(self, path: Path, sentence_modules: SentenceModules | None) -> None:
        """Write inputs and expected outputs as safetensors.

        Args:
            path: file to write
            sentence_modules: how the release makes sentence embeddings; None where it does not
        """
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(PROBE_SEED)
            result = probe_inputs(self.config)
            base = self._load(ENCODER)[0]
            result["output/AutoModel"] = probe_forward("AutoModel", base, result)
            result["packed/output"] = self._packed_output(base, result)
            if sentence_modules:
                model = self._load(MASKED_LM)[0] if sentence_modules.is_sparse else base
                found = reference_embeddings(model, self.tokenizer, sentence_modules)
                result.update({f"sentence/{method}": numbers for method, numbers in found.items()})
            if self.class_name == MASKED_LM:
                masked_lm = self._load(MASKED_LM)[0]
                result["output/AutoModelForMaskedLM"] = probe_forward("AutoModelForMaskedLM", masked_lm, result)
                probabilities = self._mask_probabilities(masked_lm)
                result["fill_mask/probabilities"] = probabilities
                result["fill_mask/scores"] = probabilities.topk(min(NUM_GUESSES, probabilities.numel())).values
            for auto_class in self.heads():
                self._add_head(auto_class, result)
        save_file({name: tensor.contiguous() for name, tensor in result.items()}, str(path))

    def _load(self, class_name: str) -> tuple[PreTrainedModel, dict[str, torch.Tensor]]:
        """Return a local model with the checkpoint's tensors, and the parameters that the checkpoint lacks."""
        # A copy, since Transformers writes dtype and attention kind into the config that it is given.
        model: PreTrainedModel = getattr(modeling, class_name)(copy.deepcopy(self.config)).float()
        tensors = self.tensors
        if class_name == ENCODER and self.class_name != ENCODER:
            tensors = {name.removeprefix(ENCODER_PREFIX): tensor for name, tensor in tensors.items()}
        missing = model.load_state_dict(tensors, strict=False).missing_keys
        state = model.state_dict()
        is_tied = self.config.tie_word_embeddings
        fresh = {name: state[name].clone() for name in missing if not (is_tied and name == "decoder.weight")}
        return model.eval(), fresh

    def _add_head(self, auto_class: str, result: dict[str, torch.Tensor]) -> None:
        """Add a head's fresh parameters and its output."""
        own = AUTO_CLASSES[self.class_name] == auto_class
        name = self.class_name if own else self.config.auto_map[auto_class].rsplit(".", maxsplit=1)[-1]
        model, fresh = self._load(name)
        result.update({f"fresh/{auto_class}/{key}": tensor for key, tensor in fresh.items()})
        result[f"output/{auto_class}"] = probe_forward(auto_class, model, result)
        if self.class_name == SPELLING:
            result[EDITS] = found_edits(model, self.tokenizer, PROBE_TEXTS)

    @staticmethod
    def _packed_output(base: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return hidden states of the packed row's documents, each computed alone."""
        ids, documents = inputs["packed/input_ids"][0], inputs["packed/document_ids"][0]
        parts = [base(input_ids=ids[documents == which].unsqueeze(0)).last_hidden_state for which in (0, 1)]
        return torch.cat(parts, dim=1)

    def _mask_probabilities(self, masked_lm: PreTrainedModel) -> torch.Tensor:
        """Return the probability of every token at the mask, shape `(vocab_size,)`."""
        ids = torch.tensor([self.tokenizer(self.masked_text())["input_ids"]])
        position = self.tokenizer(self.masked_text())["input_ids"].index(self.tokenizer.mask_token_id)
        return masked_lm(input_ids=ids).logits[0, position].softmax(dim=-1)
