"""Extras: what pyproject.toml promises, what a missing package says, and what works without any of them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from chinese_modernbert import cli
from chinese_modernbert.commands import COMMANDS
from chinese_modernbert.hub_release.builder import ReleaseArguments
from chinese_modernbert.runtime.lazy import EXTRAS, optional_import, require_packages
from chinese_modernbert.runtime.minhash import load_rensa
from chinese_modernbert.tokenization import load_segmenter
from chinese_modernbert.trainers.masking.materials.tags import jieba_tagger

ROOT = Path(__file__).parents[3]
# Names of distributions whose packages are called otherwise, where they may not be installed here.
OTHERWISE = {"pyseismic-lsr": "seismic", "qdrant-client": "qdrant_client"}
OPTIONAL = sorted({package for packages in EXTRAS.values() for package in packages})


def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)


def absent(*packages: str) -> str:
    """Return code of a process in which packages are not installed, as far as imports can tell."""
    return f"import sys; sys.modules.update(dict.fromkeys({packages}))\n"


def test_the_table_is_what_pyproject_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    imported: dict[str, set[str]] = {}
    for package, distributions in packages_distributions().items():
        for name in distributions:
            imported.setdefault(name.lower(), set()).add(package)
    for extra, packages in EXTRAS.items():
        names = [re.split(r"[>\[]", line)[0] for line in project["optional-dependencies"][extra]]
        found = [{OTHERWISE.get(name, ""), *imported.get(name, ())} for name in names if name != project["name"]]
        assert len(found) == len(packages)
        for package in packages:
            assert any(package in one for one in found), f"{package} is not installed by [{extra}]"


def test_every_package_that_the_library_imports_is_installed_by_something() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = {re.split(r"[>]", line)[0].replace("-", "_") for line in project["dependencies"]}
    core = {"yaml" if name == "pyyaml" else name for name in core}
    with_core = {"huggingface_hub", "jinja2", "fsspec"}  # torch or transformers cannot be without them
    beside = {"convert_hf_to_gguf"}  # a file of llama.cpp, which the user names
    rooms = [ROOT / room for room in ("runtime", "modeling", "tokenization", "evaluation", "trainers", "hub_release")]
    files = [ROOT / "cli.py", *(file for room in [*rooms, ROOT / "demo"] for file in room.rglob("*.py"))]
    pattern = re.compile(r"^ *(?:import|from) ([a-z]\w+)[\w.]*(?: as \w+)?(?: import .*)?$", flags=re.MULTILINE)
    found = {name for file in files for name in pattern.findall(code_of(file)) if "models" not in file.parts}
    assert {"torch", "scipy", "mteb"} <= found
    assert found - set(sys.stdlib_module_names) - core - with_core - beside <= set(OPTIONAL)


def code_of(file: Path) -> str:
    """Return a file without its texts in three quotation marks."""
    return re.sub(r'"""[\s\S]*?"""', "", file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", OPTIONAL)
def test_each_missing_package_is_named_with_an_extra_in_one_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # pyright: ignore[reportArgumentType]
    extra = next(extra for extra, packages in EXTRAS.items() if package in packages)
    expected = rf"^{package} is missing for it: pip install 'chinese-modernbert\[{extra}\]'$"
    with pytest.raises(ImportError, match=expected), optional_import("it"):
        __import__(f"{package}.part")
    with pytest.raises(ImportError, match=expected):
        require_packages("it", [package])


def test_an_extra_that_installs_all_is_named_whatever_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ImportError, match=r"^datasets is missing for it: .*\[eval\]'$"):
        require_packages("it", ["datasets", "sklearn"])
    monkeypatch.setitem(sys.modules, "sklearn", None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ImportError, match=r"^datasets, sklearn are missing for it: .*\[eval\]'$"):
        require_packages("it", ["datasets", "scipy", "sklearn"])


def test_other_errors_of_imports_pass_as_they_are() -> None:
    broken = ImportError("libgomp.so.1: cannot open shared object file", name="sklearn")
    with pytest.raises(ImportError) as raised, optional_import("it"):
        raise broken
    assert raised.value is broken
    with pytest.raises(ModuleNotFoundError, match="^No module named 'no_such'$"), optional_import("it"):
        __import__("no_such")


USES: dict[str, tuple[str, Callable[[], Any]]] = {
    "segment": ("rjieba", load_segmenter),
    "segment, parts of speech": ("jieba", jieba_tagger),
    "train": ("rensa", load_rensa),
    "onnx": ("onnxscript", lambda: ReleaseArguments("a", "b", onnx=["fp32"])),
}


@pytest.mark.parametrize("use", USES)
def test_what_needs_a_package_says_its_extra(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, call = USES[use]
    monkeypatch.setitem(sys.modules, package, None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ImportError, match=rf"^{package} is missing for .*\[{use.partition(',')[0]}\]'$"):
        call()


NEEDY = [name for name, command in COMMANDS.items() if command.needs]


@pytest.mark.parametrize("name", NEEDY)
def test_a_command_without_its_extra_says_so_in_one_line_before_any_work(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    needs = COMMANDS[name].needs
    for package in OPTIONAL:
        monkeypatch.setitem(sys.modules, package, None)  # pyright: ignore[reportArgumentType]
    assert cli.main([*name.split(), "--output_dir", "out"]) == 2
    extras = "|".join(extra for extra, packages in EXTRAS.items() if {*needs} <= {*packages})
    expected = (
        rf"chinese-modernbert: error: [\w, ]+ missing for {name}: pip install 'chinese-modernbert\[({extras})\]'\n"
    )
    assert re.fullmatch(expected, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_imports_at_once_is_what_it_needs(name: str) -> None:
    """So that no command ends in the error of a library, after it has begun."""
    command = COMMANDS[name]
    found: set[str] = set()
    for target in (command.arguments, command.run):
        collect_packages(target.partition(":")[0], found, set())
    assert found & {*OPTIONAL} <= {*command.needs}


def test_a_command_that_takes_arguments_of_training_needs_accelerate() -> None:
    """Transformers imports it when they are constructed, and gives advice of its own where it is missing."""
    trains = [
        name for name, command in COMMANDS.items() if issubclass(cli.imported(command.arguments), TrainingArguments)
    ]
    assert "pretrain" in trains and [name for name in trains if "accelerate" not in COMMANDS[name].needs] == []


def collect_packages(module: str, found: set[str], seen: set[str]) -> None:
    """Add the packages that are imported with a module of ours: its own, and those of all that it imports."""
    file = ROOT / f"{module.replace('.', '/')}.py"
    file = file if file.is_file() else file.with_suffix("") / "__init__.py"
    if module in seen or not file.is_file():
        return
    seen.add(module)
    package = module.split(".") if file.stem == "__init__" else module.split(".")[:-1]
    for node in imports_at_once(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif not node.level:
            found.add(str(node.module).partition(".")[0])
        else:
            parts = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            base = ".".join(part for part in parts if part)
            for target in (base, *(f"{base}.{alias.name}" for alias in node.names)):
                collect_packages(target, found, seen)


def imports_at_once(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run when a module is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef) and not (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            yield from imports_at_once(node)


def test_a_name_of_the_library_without_its_extra_says_so() -> None:
    code = absent(*OPTIONAL) + "from chinese_modernbert import ClueTrainer"
    last = run(code).stderr.rstrip("\n").split("\n")[-1]
    assert re.fullmatch(
        r"ImportError: \w+ is missing for chinese_modernbert[\w.]*\.ClueTrainer: pip install .*\[eval\]'", last
    )


CORE = """
import torch
from chinese_modernbert import ChineseModernBertConfig, ChineseModernBertForMaskedLM, load_tokenizer, build_release
from chinese_modernbert import DataCollatorForWholeWordMasking, MASKING_PRESETS
from chinese_modernbert.cli import SHIPPED_TOKENIZER
tokenizer = load_tokenizer(SHIPPED_TOKENIZER)
sizes = dict(vocab_size=len(tokenizer), hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8)
model = ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset("tiny", **sizes))
"""


def test_the_core_works_without_any_optional_package() -> None:
    code = CORE + "print(model(**tokenizer('北京', return_tensors='pt')).logits.shape[-1])"
    done = run(absent(*OPTIONAL) + code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 30_000


def test_the_import_of_the_core_brings_no_optional_package() -> None:
    """Transformers imports some where they are installed, for its own use; ours adds none to those."""
    loaded = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    theirs = run(f"from transformers import ModernBertForMaskedLM, PreTrainedTokenizerFast\n{loaded}").stdout.split()
    names = "ChineseModernBertConfig, ChineseModernBertForMaskedLM, encode_documents, load_segmenter, load_tokenizer"
    ours = run(f"from chinese_modernbert import {names}\n{loaded}").stdout.split()
    assert "torch" in ours and "torch" in theirs
    assert set(ours) & set(OPTIONAL) <= set(theirs)
