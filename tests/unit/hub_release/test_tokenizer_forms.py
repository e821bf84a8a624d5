"""Every part that the library `tokenizers` writes has its form; no tokenizer of a checkpoint is refused for one."""

import inspect
import json
from types import ModuleType
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from chinese_modernbert.hub_release.json_forms import form_faults
from chinese_modernbert.hub_release.tokenizer_forms import TOKENIZER

# What the classes are made with; the first that one takes.
ARGUMENTS: tuple[tuple[Any, ...], ...] = (
    (),
    ("a",),
    (Regex("a"), "isolated"),
    ([],),
    (("[SEP]", 1), ("[CLS]", 2)),
)
NOT_MADE = {"Normalizer", "PreTokenizer", "PostProcessor", "Decoder", "DecodeStream", "Precompiled"}


def written(part: str, value: object) -> dict[str, Any]:
    backend = Tokenizer(models.BPE())
    setattr(backend, part, value)
    return json.loads(backend.to_str())


def made(kind: type) -> object:
    for arguments in ARGUMENTS:
        try:
            return kind(*arguments)
        except TypeError:
            continue
    raise AssertionError(f"{kind} takes none of the arguments")


@pytest.mark.parametrize(
    ("part", "module"),
    [
        ("normalizer", normalizers),
        ("pre_tokenizer", pre_tokenizers),
        ("decoder", decoders),
        ("post_processor", processors),
    ],
)
def test_every_part_of_the_library_has_its_form(part: str, module: ModuleType) -> None:
    kinds = [kind for name, kind in inspect.getmembers(module, inspect.isclass) if name not in NOT_MADE]
    assert len(kinds) > 4
    for kind in kinds:
        assert list(form_faults(written(part, made(kind)), TOKENIZER)) == []


@pytest.mark.parametrize(
    "model",
    [
        models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]),
        models.WordPiece({"[UNK]": 0}),
        models.Unigram([("<unk>", 0.0), ("a", -1.5)]),
        models.WordLevel({"<unk>": 0}),
    ],
)
def test_every_model_of_the_library_has_its_form(model: models.Model) -> None:
    assert list(form_faults(json.loads(Tokenizer(model).to_str()), TOKENIZER)) == []
