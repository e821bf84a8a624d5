"""What `import chinese_modernbert` and each room offer, and what importing them costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import chinese_modernbert

ROOT = Path(__file__).parents[2]
FOLDERS = ("runtime", "modeling", "tokenization", "evaluation", "trainers", "hub_release", "demo")
FILES = [ROOT / "__init__.py", *sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("__init__.py"))]
PACKAGES = [".".join(("chinese_modernbert", *file.relative_to(ROOT).parts[:-1])) for file in FILES]
HEAVY = {"torch", "transformers", "numpy", "datasets", "sentence_transformers", "matplotlib", "yaml"}


def run(code: str) -> str:
    """Return what a fresh process prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def checked_names(file: Path) -> set[str]:
    """Return the names that a type checker sees: those of the imports and assignments outside `else`."""
    names = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        inner = node.body if isinstance(node, ast.If) else [node]
        for one in inner:
            if isinstance(one, ast.ImportFrom | ast.Import):
                names |= {alias.asname or alias.name for alias in one.names}
            elif isinstance(one, ast.Assign):
                names |= {target.id for target in one.targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_every_name_that_it_promises(package: str) -> None:
    module = import_module(package)
    for name in getattr(module, "__all__", []):
        assert getattr(module, name) is not None
    assert set(getattr(module, "__all__", [])) <= set(dir(module))
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = module.no_such_name


@pytest.mark.parametrize("package", PACKAGES)
def test_no_promised_name_is_hidden_by_a_module_of_the_package(package: str) -> None:
    file = FILES[PACKAGES.index(package)]
    modules = {path.stem for path in file.parent.glob("*.py")} | {path.name for path in file.parent.glob("*/")}
    assert not set(getattr(import_module(package), "__all__", [])) & modules


@pytest.mark.parametrize("file", FILES, ids=PACKAGES)
def test_a_type_checker_sees_every_promised_name(file: Path) -> None:
    promised = getattr(import_module(PACKAGES[FILES.index(file)]), "__all__", [])
    assert set(promised) <= checked_names(file)
    assert len(set(promised)) == len(promised)


def test_the_import_of_the_package_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import chinese_modernbert; print(*set(sys.modules) - before)"
    loaded = set(run(code).split())
    assert "chinese_modernbert" in loaded
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert not [name for name in loaded if name.startswith("chinese_modernbert.")]


def test_the_masker_needs_numpy_alone() -> None:
    code = "import sys; from chinese_modernbert import Masker, chinese_modernbert; print(*sys.modules)"
    assert HEAVY & {name.partition(".")[0] for name in run(code).split()} == {"numpy"}


def test_a_model_class_brings_the_auto_classes() -> None:
    code = """
from chinese_modernbert import ChineseModernBertModel, DataCollatorForWholeWordMasking
from transformers import AutoConfig, AutoModel
config = AutoConfig.for_model("chinese_modernbert", hidden_size=8, num_attention_heads=2, num_hidden_layers=1,
                              intermediate_size=8, vocab_size=11)
print(type(AutoModel.from_config(config)) is ChineseModernBertModel)
"""
    assert run(code).endswith("True")


def test_names_of_the_root_are_those_of_the_rooms() -> None:
    from chinese_modernbert.trainers.data.prepare import run_prepare
    from chinese_modernbert.trainers.masking.presets import chinese_modernbert as preset

    assert chinese_modernbert.prepare is run_prepare
    assert chinese_modernbert.chinese_modernbert is preset
    assert chinese_modernbert.__version__
