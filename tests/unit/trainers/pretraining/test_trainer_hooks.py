"""The private methods of the Trainer that are overridden: which ones, and that the library still has them so."""

import inspect

import transformers
from transformers import Trainer

from chinese_modernbert.trainers.pretraining.trainer import PretrainingTrainer
from chinese_modernbert.trainers.pretraining.trainer_hooks import TrainerHooks

READ_FROM = "5.23.0"
SIGNATURES = {
    "_get_grad_norm": "(self, model, grad_norm=None)",
    "_get_num_items_in_batch": "(self, batch_samples, device)",
    "_get_output_dir": "(self, trial)",
    "_load_optimizer_and_scheduler": "(self, checkpoint)",
    "_load_rng_state": "(self, checkpoint)",
    "_save_checkpoint": "(self, model, trial)",
}


def overridden(name: str) -> bool:
    ours = PretrainingTrainer.__mro__[: PretrainingTrainer.__mro__.index(Trainer)]
    return any(name in vars(base) for base in ours)


def test_all_private_methods_that_are_overridden_stand_in_one_place() -> None:
    private = [name for name, _ in inspect.getmembers(Trainer, inspect.isfunction) if name.startswith("_")]
    found = {name for name in private if not name.startswith("__") and overridden(name)}
    assert found == SIGNATURES.keys() == found & vars(TrainerHooks).keys()


def signature_of(name: str) -> str:
    """Return the installed signature without annotations."""
    if not hasattr(Trainer, name):
        return "nothing, it is gone"
    parameters = inspect.signature(getattr(Trainer, name)).parameters.values()
    return str(inspect.Signature([one.replace(annotation=inspect.Parameter.empty) for one in parameters]))


def test_the_installed_trainer_has_the_signatures_that_the_overrides_were_read_from() -> None:
    for name, expected in SIGNATURES.items():
        assert signature_of(name) == expected, (
            f"Trainer.{name} was {expected} in Transformers {READ_FROM}, from which its override was read, and is "
            f"{signature_of(name)} in {transformers.__version__}: read it again, then adapt trainer_hooks.py and this"
        )
