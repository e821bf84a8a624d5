"""Transformers' own common tests, on the code of a released folder and, as the bar, on Transformers' ModernBERT.

Both families run under one tester, so that a test which is skipped for one of them alone shows: nothing may be skipped
for ours that ModernBERT runs. `make suite` fetches what is needed; see `fetch_suite.py`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import unittest
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import transformers
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.models.auto import modeling_auto

from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.modeling.configuration_chinese_modernbert import AUTO_MAP
from reference.tiny_checkpoint import write_tiny_checkpoint
from transformers_suite.fetch_suite import is_fetched, suite_folder

pytestmark = pytest.mark.network

if not is_fetched():
    pytest.skip(
        f"the tests of Transformers {transformers.__version__} are not here: make suite", allow_module_level=True
    )

sys.path.insert(0, str(suite_folder()))
common = importlib.import_module("transformers_tests.test_modeling_common")
ConfigTester = importlib.import_module("transformers_tests.test_configuration_common").ConfigTester

BASE_CLASS = "ChineseModernBertPreTrainedModel"
# Tests that ask for attention weights or gradients of them, which no fused kernel returns.
NEEDS_EAGER = ("test_attention_outputs", "test_hidden_states_output", "test_retain_grad_hidden_states_attentions")
# The tables by which the common tests know a class, and which labels it takes.
TABLES = {
    "AutoModel": ("MODEL_MAPPING_NAMES",),
    "AutoModelForMaskedLM": ("MODEL_FOR_MASKED_LM_MAPPING_NAMES",),
    "AutoModelForSequenceClassification": ("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",),
    "AutoModelForTokenClassification": ("MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",),
    "AutoModelForQuestionAnswering": ("MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",),
    "AutoModelForMultipleChoice": ("MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES",),
}
MODERNBERT_CLASSES = (
    transformers.ModernBertModel,
    transformers.ModernBertForMaskedLM,
    transformers.ModernBertForSequenceClassification,
    transformers.ModernBertForTokenClassification,
    transformers.ModernBertForQuestionAnswering,
    transformers.ModernBertForMultipleChoice,
)


class TinyModelTester:
    """The small configuration and the batch that the common tests ask for, whatever the family."""

    def __init__(self, parent: unittest.TestCase, config_class: type) -> None:
        self.parent = parent
        self.config_class = config_class
        self.is_training = True
        self.batch_size, self.seq_length = 13, 7
        self.hidden_size, self.num_hidden_layers, self.num_attention_heads = 32, 2, 4
        self.vocab_size, self.num_labels, self.num_choices = 99, 3, 4

    def get_config(self) -> Any:
        config = self.config_class(
            vocab_size=self.vocab_size,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
            cls_token_id=2,
            sep_token_id=3,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=37,
            max_position_embeddings=512,
        )
        if self.parent._testMethodName in NEEDS_EAGER:
            config._attn_implementation = "eager"
        return config

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, Any]]:
        shape = [self.batch_size, self.seq_length]
        input_ids = common.ids_tensor(shape, self.vocab_size)
        return self.get_config(), {"input_ids": input_ids, "attention_mask": common.random_attention_mask(shape)}


class CommonTests(common.ModelTesterMixin):
    """What both families run: the mixin, the configuration's tests, and every head with labels."""

    all_model_classes: tuple[type, ...] = ()
    has_attentions = True

    def setUp(self) -> None:
        config_class = self.all_model_classes[0].config_class
        self.model_tester = TinyModelTester(self, config_class)
        self.config_tester = ConfigTester(self, config_class=config_class, hidden_size=32)

    def test_config(self) -> None:
        self.config_tester.run_common_tests()

    def test_every_head_but_the_encoder_has_a_loss(self) -> None:
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes[1:]:
            prepared = self._prepare_for_class(inputs, model_class, return_labels=True)
            loss = model_class(config)(**prepared).loss
            loss.backward()
            self.assertTrue(loss.isfinite().all(), msg=model_class.__name__)


@pytest.mark.usefixtures("released_classes")
class TestChineseModernBert(CommonTests, unittest.TestCase):
    """The code of a released folder."""


class TestModernBert(CommonTests, unittest.TestCase):
    """Transformers' ModernBERT, the bar."""

    all_model_classes = MODERNBERT_CLASSES


def recorded_outputs(base: type) -> dict[str, type]:
    """Return what a model with Transformers' recording hooks declares, without which some tests skip it.

    Our encoder keeps hidden states and attentions itself (what the hooks would see is a flat row), so that its code
    declares no hooks; what the tests then ask for, it has all the same.
    """
    module = sys.modules[base.__module__.replace("modeling_", "layers_")]
    return {"hidden_states": module.ChineseModernBertLayer, "attentions": module.ChineseModernBertAttention}


@pytest.fixture(scope="module")
def released_classes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Load the classes of a released folder and enter them where the common tests look classes up."""
    folder = tmp_path_factory.mktemp("suite")
    checkpoint = write_tiny_checkpoint(folder / "checkpoint")
    release = build_release(ReleaseArguments(str(checkpoint), str(folder / "release")))
    classes = {name: get_class_from_dynamic_module(AUTO_MAP[name], str(release)) for name in TABLES}
    encoder = classes["AutoModel"]
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(TestChineseModernBert, "all_model_classes", tuple(classes.values())))
        for base in {base for loaded in classes.values() for base in loaded.__mro__ if base.__name__ == BASE_CLASS}:
            patches.enter_context(mock.patch.object(base, "_can_record_outputs", recorded_outputs(base)))
        transformers.MODEL_MAPPING.register(encoder.config_class, encoder)
        for name, tables in TABLES.items():
            for table in tables:
                getattr(modeling_auto, table)[encoder.config_class.model_type] = classes[name].__name__
        yield
        transformers.MODEL_MAPPING._extra_content.pop(encoder.config_class)
        for table in [table for tables in TABLES.values() for table in tables]:
            getattr(modeling_auto, table).pop(encoder.config_class.model_type)


KNOWN_DIFFERENCES = {
    "test_model_rope_scaling_frequencies": (
        "looks for a module that keeps a table of frequencies; ours computes it at each forward, and "
        "tests/parity/test_rotary.py compares it with that of Transformers"
    ),
}


def test_nothing_is_skipped_for_ours_that_modernbert_runs(skipped_for_ours_alone: set[str]) -> None:
    assert skipped_for_ours_alone <= set(KNOWN_DIFFERENCES)
