from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from chinese_modernbert.evaluation.clue.readers import Example
from chinese_modernbert.evaluation.clue.tasks import TASKS
from chinese_modernbert.trainers.clue.inputs import MultipleChoiceInputs
from chinese_modernbert.trainers.clue.models import (
    ChoiceScorer,
    SpanPairClassifier,
    build_model,
    layer_depths,
    length_limit,
    save_model,
)
from reference.tiny_bert import write_tiny_bert
from reference.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="module", params=["chinese_modernbert", "bert"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    write = write_tiny_bert if request.param == "bert" else write_tiny_checkpoint
    return str(write(tmp_path_factory.mktemp(request.param)))


def test_span_vectors_are_the_means_of_their_own_tokens(checkpoint: str) -> None:
    model = build_model(TASKS["cluewsc2020"], checkpoint).eval()
    assert isinstance(model, SpanPairClassifier)
    ids = torch.tensor([[2, 10, 11, 12, 3], [2, 10, 11, 3, 0]])
    mask = (ids != 0).long()
    first, second = torch.tensor([[0, 1, 1, 0, 0], [0, 1, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1, 0], [0, 0, 1, 0, 0]])
    found = model(first, second, input_ids=ids, attention_mask=mask).logits
    for row, (one, two) in enumerate((([1, 2], [3]), ([1], [2]))):
        length = int(mask[row].sum())
        hidden = model.encoder(input_ids=ids[row : row + 1, :length]).last_hidden_state[0]
        expected = model.classifier(torch.cat([hidden[0], hidden[one].mean(0), hidden[two].mean(0)]))
        assert torch.allclose(found[row], expected, atol=1e-4)


def test_a_choice_is_scored_as_it_is_alone_however_many_the_others_have(checkpoint: str) -> None:
    model, tokenizer = build_model(TASKS["c3"], checkpoint).eval(), AutoTokenizer.from_pretrained(checkpoint)
    inputs = MultipleChoiceInputs(tokenizer, TASKS["c3"], 64)
    examples = [Example(i, ("北京会议", "什么？"), choices=("读书", "散步天气很好", "公园")[: 2 + i]) for i in range(2)]
    together = model(**inputs.collate(inputs.encode(examples))).logits
    assert together.shape == (2, 3) and together[0, 2] == torch.finfo(torch.float32).min
    for row, example in enumerate(examples):
        alone = model(**inputs.collate(inputs.encode([example]))).logits
        assert torch.allclose(together[row, : len(example.choices)], alone[0], atol=1e-4)


def test_a_choice_scorer_is_saved_as_a_sequence_classifier(checkpoint: str, tmp_path: Path) -> None:
    model, tokenizer = build_model(TASKS["c3"], checkpoint).eval(), AutoTokenizer.from_pretrained(checkpoint)
    assert isinstance(model, ChoiceScorer)
    save_model(model, tokenizer, tmp_path / "saved")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    batch = tokenizer("北京", return_tensors="pt")
    assert torch.allclose(loaded(**batch).logits, model.scorer(**batch).logits, atol=1e-6)
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("北京")["input_ids"] == batch["input_ids"][0].tolist()


def test_labels_are_written_into_the_configuration(checkpoint: str) -> None:
    config = build_model(TASKS["ocnli"], checkpoint).config
    assert config.id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}  # type: ignore[union-attr]


def test_depth_counts_layers_from_the_head_down(checkpoint: str) -> None:
    names = [name for name, _ in build_model(TASKS["afqmc"], checkpoint).named_parameters()]
    depths = layer_depths(names)
    layers = {
        name: int(name.split("layer")[1].lstrip("s.").split(".")[0])
        for name in names
        if "layer." in name or "layers." in name
    }
    last = max(layers.values())
    assert all(depths[name] == last + 1 - number for name, number in layers.items())
    assert all(depths[name] == last + 2 for name in names if "embeddings" in name)
    assert all(depths[name] == 0 for name in names if name.startswith("classifier"))


def test_the_longest_input_is_the_shorter_of_models_and_tokenizers(checkpoint: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert length_limit(checkpoint, tokenizer) == 128
    tokenizer.model_max_length = 100
    assert length_limit(checkpoint, tokenizer) == 100
