from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, set_seed

from chinese_modernbert.evaluation.clue.readers import Example
from chinese_modernbert.evaluation.clue.tasks import TASKS
from chinese_modernbert.trainers.clue.arguments import ClueArguments
from chinese_modernbert.trainers.clue.inputs import SequenceClassificationInputs
from chinese_modernbert.trainers.clue.losses import TaskLoss
from chinese_modernbert.trainers.clue.models import build_model
from chinese_modernbert.trainers.clue.trainer import MASKED, ClueTrainer, MaskingCollator, run_arguments
from reference.tiny_bert import write_tiny_bert
from reference.tiny_checkpoint import write_tiny_checkpoint

EXAMPLES = [Example(i, (("北京" if i % 2 else "上海会议") + "读书散步"[: i % 4], "天气很好"), i % 2) for i in range(16)]


@pytest.fixture(scope="module", params=["chinese_modernbert", "bert"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    write = write_tiny_bert if request.param == "bert" else write_tiny_checkpoint
    return str(write(tmp_path_factory.mktemp(request.param)))


def trainer(checkpoint: str, tmp_path: Path, rate: float = 1e-3, **options: Any) -> ClueTrainer:
    given = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "disable_tqdm": True,
        "report_to": "none",
        **options,
    }
    args = ClueArguments(output_dir=str(tmp_path), model=checkpoint, use_cpu=True, **given)
    inputs = SequenceClassificationInputs(AutoTokenizer.from_pretrained(checkpoint), TASKS["afqmc"], 64)
    set_seed(1)
    model = build_model(TASKS["afqmc"], checkpoint)
    return ClueTrainer(model, run_arguments(args, inputs, rate, 1), inputs, EXAMPLES, EXAMPLES, TaskLoss())


def first_gradient(checkpoint: str, tmp_path: Path, batch: int, accumulation: int) -> torch.Tensor:
    made = trainer(checkpoint, tmp_path, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation)
    made.model.eval()  # type: ignore[union-attr]
    model: Any = made.model
    model.train = lambda mode=True: model  # no dropout, so that the two ways see the same numbers
    made.args.max_steps, made.args.max_grad_norm = 1, 0.0
    seen: list[torch.Tensor] = []
    step = made.create_optimizer().step
    made.optimizer.step = lambda *a, **k: (  # type: ignore[union-attr, method-assign]
        seen.append(torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])),
        step(*a, **k),
    )[1]
    made.train()
    return seen[0]


def test_accumulated_batches_give_the_gradient_of_one(checkpoint: str, tmp_path: Path) -> None:
    """BERT's own head is wrong here by a factor of four under Trainer; the loss of the task is not."""
    whole, parts = (first_gradient(checkpoint, tmp_path, *how) for how in ((16, 1), (4, 4)))
    assert torch.allclose(parts.norm(), whole.norm(), rtol=1e-3)
    assert torch.allclose(parts, whole, atol=1e-4 * float(whole.abs().max()) + 1e-6)


def test_lower_layers_learn_more_slowly_and_nothing_is_left_out(checkpoint: str, tmp_path: Path) -> None:
    made = trainer(checkpoint, tmp_path, layer_decay=0.5)
    groups = made.create_optimizer().param_groups
    model: Any = made.model
    of_parameter = {id(p): group for group in groups for p in group["params"]}
    assert len(of_parameter) == sum(1 for _ in model.parameters())
    rates = {name: of_parameter[id(value)]["lr"] for name, value in model.named_parameters()}
    deepest = min(rates.values())
    assert all(rate == deepest for name, rate in rates.items() if "embeddings" in name)
    assert rates["classifier.weight"] == pytest.approx(1e-3)
    assert deepest == pytest.approx(1e-3 * 0.5 ** (made.model.config.num_hidden_layers + 1))  # type: ignore[union-attr]
    decays = {name: of_parameter[id(value)]["weight_decay"] for name, value in model.named_parameters()}
    assert decays["classifier.weight"] > 0 and decays["classifier.bias"] == 0
    assert all(decay == 0 for name, decay in decays.items() if "norm" in name.lower() and "weight" in name)


def test_the_weights_of_the_best_epoch_come_back(checkpoint: str, tmp_path: Path) -> None:
    made = trainer(checkpoint, tmp_path, num_train_epochs=4, patience=0)
    made.train()
    made.restore_best()
    assert made.evaluate()["eval_accuracy"] == pytest.approx(made.best.score)
    assert max(epoch["selection"] for epoch in made.history) == made.best.score
    assert len(made.history) == 5


def test_a_run_that_has_stalled_stops(checkpoint: str, tmp_path: Path) -> None:
    made = trainer(checkpoint, tmp_path, rate=1e-12, num_train_epochs=12, patience=3)
    made.train()
    assert len(made.history) == 4


def test_patience_is_a_share_of_a_long_run_and_two_epochs_of_a_short_one(checkpoint: str, tmp_path: Path) -> None:
    assert trainer(checkpoint, tmp_path, num_train_epochs=50)._patience() == pytest.approx(15)
    assert trainer(checkpoint, tmp_path, num_train_epochs=3)._patience() == 2


def test_predictions_are_in_the_order_of_the_examples(checkpoint: str, tmp_path: Path) -> None:
    made = trainer(checkpoint, tmp_path, per_device_eval_batch_size=3)
    together = made.predict_examples(EXAMPLES)
    alone = [made.predict_examples([example]) for example in EXAMPLES]
    assert together.values == [one.values[0] for one in alone]
    wanted = [one.gold_log_probability[0] for one in alone]
    assert np.allclose(together.gold_log_probability, wanted, atol=1e-4)


def test_masked_fine_tuning_masks_training_rows_anew_and_leaves_scoring_alone(checkpoint: str) -> None:
    inputs = SequenceClassificationInputs(AutoTokenizer.from_pretrained(checkpoint), TASKS["afqmc"], 64)
    features = inputs.encode(EXAMPLES)
    plain = inputs.collate(features)["input_ids"]
    collator = MaskingCollator(inputs, seed=1)
    assert torch.equal(collator(features)["input_ids"], plain)
    marked = [{**feature, MASKED: True} for feature in features]
    first, second = (collator(marked)["input_ids"] for _ in range(2))
    mask = inputs.tokenizer.mask_token_id
    assert not torch.equal(first, second) and (first == mask).any()
    changed = first != plain
    assert (first[changed] == mask).all()
    assert not torch.isin(plain[changed], torch.tensor(inputs.tokenizer.all_special_ids)).any()
    untouched = (~changed).all(dim=1).float().mean()
    assert 0.1 < untouched < 0.95
    again = MaskingCollator(inputs, seed=1)
    assert torch.equal(again(marked)["input_ids"], MaskingCollator(inputs, seed=1)(marked)["input_ids"])


def test_a_rate_that_ruins_the_weights_ends_the_run_instead_of_choosing_the_first_class(
    checkpoint: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"afqmc: the model gives no finite numbers after epoch 1 at .*=1e\+38; lower"):
        trainer(checkpoint, tmp_path, rate=1e38, warmup_steps=0).train()
