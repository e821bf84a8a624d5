"""Prove that a released folder works by itself: in a fresh process, in an empty folder, without this package.

The parent computes what the checkpoint gives with the local classes; the child (`isolated_check.py`) loads the folder
with plain Transformers and compares.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from ...modeling import ChineseModernBertConfig
from ...runtime.files import file_sha256
from ..builder import RELEASE_DTYPES
from ..card.model_card import CARD_FILE
from ..checkpoint import (
    CONFIG_FILE,
    NATIVE_MODEL_TYPE,
    WEIGHTS_FILE,
    architecture_of,
    check_is_checkpoint,
    check_weights,
    drop_tied_decoder,
    float_model,
    read_config,
    read_matching_tokenizer,
    read_model_config,
    read_weights,
)
from ..kinds import ENCODER_CLASSES
from ..manifest import MANIFEST_FILE, closest_version, read_release_manifest, release_files
from ..module_chains import encoder_folder
from ..native_form import NATIVE_TOLERANCES, older_spellings
from ..onnx.check import write_job
from ..onnx.files import ONNX_FOLDER, RECORD_FILE, exported_files, unrecorded_graphs
from ..poolings import LATE_INTERACTION
from ..sentence_modules import SentenceModules
from .isolated_check import digest
from .isolated_process import ProcessFailedError, run_script
from .probes import AUTO_CLASSES, PROBE_TEXTS
from .reference_embeddings import methods_of, token_counts
from .reference_outputs import ReferenceOutputs
from .security import content_faults, name_faults

PACKAGE = "chinese_modernbert"
ISOLATED_SCRIPT = Path(__file__).with_name("isolated_check.py")
ISOLATED_ONNX_SCRIPT = Path(__file__).parents[1] / "onnx" / "isolated_check.py"
# Ours: float32 sums in another order differ by about 1e-6; a wrong window, norm or position by 1e-2 or more.
TOLERANCE = 1e-4
CONFIG_FIELDS = ("vocab_size", "hidden_size", "num_hidden_layers", "layer_types", "rope_parameters", "norm_type")
PASS, FAIL, SKIP = "pass", "fail", "skip"
OWN_CODE, SECURITY, PROCESS = "modeling files are this library's", "security: ", "isolated process"
NEEDED_FILES = (
    CONFIG_FILE,
    WEIGHTS_FILE,
    CARD_FILE,
    MANIFEST_FILE,
    "LICENSE",
    "tokenizer.json",
    "tokenizer_config.json",
)


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: what was checked
        outcome: `pass`, `fail` or `skip`
        detail: what was found, or why it was skipped
    """

    name: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class VerificationReport:
    """All checks of one release.

    Attributes:
        folder: the release
        checks: results in the order in which they ran
    """

    folder: Path
    checks: tuple[Check, ...]

    @property
    def is_ok(self) -> bool:
        """Whether no check failed; a skipped one neither passes nor fails."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == FAIL)

    def summary(self) -> str:
        """Return one line per check and a last line with the counts."""
        lines = [f"{check.outcome:4}  {check.name}: {check.detail}".rstrip(": ") for check in self.checks]
        counts = {kind: sum(check.outcome == kind for check in self.checks) for kind in (PASS, FAIL, SKIP)}
        lines.append(f"{counts[PASS]} passed, {counts[FAIL]} failed, {counts[SKIP]} skipped: {self.folder}")
        return "\n".join(lines)


def verify_release(
    folder: str | Path, checkpoint: str | Path | None = None, python: str | Path = sys.executable
) -> VerificationReport:
    """Check a release in a fresh process without our package.

    No process starts, and the report says so, where the folder holds code or settings that are not this library's.

    Args:
        folder: the release, as `build_release` wrote it
        checkpoint: what it was built from; default: the release's own weights and tokenizer, run by the local classes
        python: interpreter of the child, 3.11 or newer, for a release to be tried with another Transformers

    Returns:
        The report; its `is_ok` is the verdict.

    Raises:
        FileNotFoundError: Where the folder or the checkpoint is missing.
        ValueError: For a checkpoint that is broken itself.
    """
    folder = Path(folder).resolve()
    check_is_checkpoint(folder)
    checks = [*_static_checks(folder)]
    if faults := [check.name for check in checks if check.outcome == FAIL and _is_about_trust(check.name)]:
        checks.append(Check(PROCESS, SKIP, f"not run: {', '.join(faults)} failed"))
        return VerificationReport(folder, tuple(checks))
    try:
        reference = _Reference(folder, Path(checkpoint) if checkpoint else folder)
    except (ValueError, OSError) as error:
        if checkpoint is not None:
            raise
        checks.append(Check("the release's own weights and tokenizer", FAIL, str(error)))
        return VerificationReport(folder, tuple(checks))
    if checkpoint is not None:
        checks.append(_weights_check(folder, reference.all_tensors))
    checks += _run_isolated(folder, reference, str(python))
    checks += _run_isolated_onnx(folder, reference, str(python))
    return VerificationReport(folder, tuple(checks))


class _Reference:
    """A checkpoint read once: its config and class, its tensors in the release's dtype, its tokenizer.

    What the builder's options decide (the form, length and scale of sentence embeddings) is read from the release.
    """

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        encoder = encoder_folder(checkpoint)
        self.config: ChineseModernBertConfig = read_model_config(encoder)
        self.dtype = str(read_config(folder).get("dtype", "float32"))
        if self.dtype not in RELEASE_DTYPES:
            raise ValueError(
                f"dtype={self.dtype!r} in {folder / CONFIG_FILE} is not one of {', '.join(RELEASE_DTYPES)}"
            )
        tensors = drop_tied_decoder(read_weights(encoder), self.config.tie_word_embeddings)
        self.class_name = architecture_of(read_config(encoder), tensors)
        check_weights(tensors, self.class_name, self.config, encoder)
        self.tensors = {name: tensor.to(RELEASE_DTYPES[self.dtype]) for name, tensor in tensors.items()}
        self.sentence_modules = SentenceModules.read(folder)
        if self.sentence_modules and checkpoint != folder:
            # Length and scale are options of the builder; the rest is as the checkpoint says.
            told = SentenceModules.read(checkpoint) or SentenceModules()
            kept = {"normalize": self.sentence_modules.normalize, "max_length": self.sentence_modules.max_length}
            self.sentence_modules = replace(told, **kept)
        self.is_native = read_config(folder).get("model_type") == NATIVE_MODEL_TYPE
        self.changes_norm = self.is_native and self.config.norm_type != "layernorm"
        self.tokenizer = read_matching_tokenizer(encoder, self.config)
        if self.sentence_modules:
            self.sentence_modules.check(self.config, self.tokenizer, checkpoint)
            self.sentence_modules = self.sentence_modules.to(RELEASE_DTYPES[self.dtype])

    @property
    def all_tensors(self) -> dict[str, torch.Tensor]:
        """Tensors of the model and, by their folders, of the modules behind it."""
        return {**self.tensors, **(self.sentence_modules.tensors if self.sentence_modules else {})}


def _static_checks(folder: Path) -> Iterator[Check]:
    """Yield the checks that need no process; of a folder that is not safe to read only those that say so.

    Up to the check of the code, files are read as bytes, text and JSON, and no library that may ask, fetch or run
    something sees the folder.
    """
    yield (names := _check(SECURITY + "names of a release and no others", name_faults(folder)))
    yield (contents := _check(SECURITY + "contents of a release and no others", content_faults(folder)))
    if FAIL in (names.outcome, contents.outcome):
        return
    code = {path.name: file_sha256(path) for path in sorted(folder.glob("*.py"))}
    version, expected = closest_version(code)
    yield _check(OWN_CODE, _foreign_code(code, version, expected), f"version {version}")
    yield _check("every file is there", _missing_files(folder, (*_needed_sentence_files(folder), *expected)))
    yield _check("files are as built", _changed_files(folder))
    yield _check("auto_map is complete", _auto_map_faults(folder))
    yield _check("older spellings agree", _spelling_faults(folder))
    yield _check("ONNX graphs are on record", _unrecorded_graphs(folder))


def _is_about_trust(name: str) -> bool:
    """Tell whether a failure of this check means that loading the folder may run code that nobody reviewed."""
    return name == OWN_CODE or name.startswith(SECURITY)


def _check(name: str, faults: list[str], found: str = "") -> Check:
    """Return a check that passes, with what was found, where there are no faults."""
    return Check(name, FAIL if faults else PASS, "; ".join(faults) or found)


def _needed_sentence_files(folder: Path) -> tuple[str, ...]:
    """Return what sentence-transformers needs of a model that gives sentence embeddings, by its config's class."""
    if architecture_of(read_config(folder), {}) not in ENCODER_CLASSES:
        return ()
    try:
        modules = SentenceModules.read(folder)
    except (ValueError, OSError):  # named where the modules are compared
        modules = None
    return (modules or SentenceModules()).files


def _missing_files(folder: Path, others: Iterable[str]) -> list[str]:
    """Return needed files that are absent."""
    return [f"{name} is missing" for name in (*NEEDED_FILES, *others) if not (folder / name).is_file()]


def _changed_files(folder: Path) -> list[str]:
    """Return files that differ from the manifest; files that came later are not faults."""
    if not (folder / MANIFEST_FILE).is_file():
        return [f"{MANIFEST_FILE} is missing"]
    try:
        expected = read_release_manifest(folder)
    except ValueError as error:
        return [str(error)]
    present = set(release_files(folder))
    lost = [f"{name} is missing" for name in sorted(set(expected) - present)]
    changed = [name for name in sorted(set(expected) & present) if file_sha256(folder / name) != expected[name]]
    return lost + [f"{name} was changed after the build" for name in changed]


def _foreign_code(given: Mapping[str, str], version: str, expected: Mapping[str, str]) -> list[str]:
    """Return Python files that are not those of the known version closest to the folder.

    Args:
        given: sha256 of every Python file of the folder
        version: name of the closest version
        expected: sha256 of the modeling files of that version
    """
    extra = [f"{name} is none of them" for name in given if name not in expected]
    return extra + [
        f"{name} differs from version {version}" for name in given if given[name] != expected.get(name, given[name])
    ]


def _auto_map(folder: Path) -> dict[str, Any]:
    """Return the auto_map of the release's config; empty where there is none."""
    return read_config(folder).get("auto_map", {})


def _auto_map_faults(folder: Path) -> list[str]:
    """Return classes of the auto_map that are missing, different or superfluous."""
    given = _auto_map(folder)
    expected = ChineseModernBertConfig(architectures=read_config(folder).get("architectures")).to_dict()["auto_map"]
    return [
        f"{name} is {given.get(name)!r}, not {expected.get(name)!r}"
        for name in sorted({*expected, *given})
        if given.get(name) != expected.get(name)
    ]


def _spelling_faults(folder: Path) -> list[str]:
    """Return settings that a native folder spells in two ways, of which the older, that servers read, is another."""
    given = read_config(folder)
    if given.get("model_type") != NATIVE_MODEL_TYPE:
        return []
    try:
        expected = older_spellings(read_model_config(folder))
    except ValueError as error:
        return [str(error)]
    return [
        f"{name} is {given.get(name)!r}, the newer spelling says {value!r}"
        for name, value in expected.items()
        if given.get(name) != value
    ]


def _unrecorded_graphs(folder: Path) -> list[str]:
    """Return graphs that the record of the export does not name, so that nothing else would check them."""
    try:
        names = unrecorded_graphs(folder)
    except ValueError as error:
        return [str(error)]
    return [f"{ONNX_FOLDER}/{name} is not in {ONNX_FOLDER}/{RECORD_FILE}" for name in names]


def _weights_check(folder: Path, expected: dict[str, torch.Tensor]) -> Check:
    """Compare the release's file with the checkpoint's tensors, bit for bit."""
    name = "weights file: every tensor"
    try:
        modules = SentenceModules.read(folder)
        given = {**read_weights(folder), **(modules.tensors if modules else {})}
    except (ValueError, OSError) as error:
        return Check(name, FAIL, str(error))
    names = sorted(set(given) | set(expected))
    different = [
        key for key in names if key not in given or key not in expected or digest(given[key]) != digest(expected[key])
    ]
    if different:
        return Check(name, FAIL, f"{len(different)} of {len(names)} tensors differ, the first is {different[0]}")
    return Check(name, PASS, f"{len(names)} tensors are bit-equal to the checkpoint")


def _run_isolated(folder: Path, reference: _Reference, python: str) -> list[Check]:
    """Return the results of the isolated checks with Transformers."""
    return _run_script(ISOLATED_SCRIPT, python, lambda temporary: _write_job(temporary, folder, reference))


def _run_isolated_onnx(folder: Path, reference: _Reference, python: str) -> list[Check]:
    """Return the results of the isolated checks with onnxruntime, without torch; none for a release without graphs."""
    try:
        files = exported_files(folder)
    except ValueError as error:
        return [Check("ONNX graphs", FAIL, str(error))]
    if not files:
        return []
    model = float_model(reference.config, reference.tensors, reference.class_name)
    modules = reference.sentence_modules or SentenceModules()
    return _run_script(
        ISOLATED_ONNX_SCRIPT,
        python,
        lambda temporary: {**write_job(temporary, files, model, reference.tokenizer, modules), "release": str(folder)},
    )


def _run_script(script: Path, python: str, make_job: Callable[[Path], dict[str, Any]]) -> list[Check]:
    """Return what a script found in a fresh process, or how that process failed."""
    try:
        return [Check(**row) for row in run_script(script, python, make_job)]
    except ProcessFailedError as error:
        return [Check(PROCESS, FAIL, str(error))]


def _write_job(temporary: Path, folder: Path, reference: _Reference) -> dict[str, Any]:
    """Write the expected numbers and return the job of the child."""
    config, tokenizer, modules = reference.config, reference.tokenizer, reference.sentence_modules
    outputs = ReferenceOutputs(config, reference.tensors, tokenizer, reference.class_name)
    outputs.save(temporary / "reference.safetensors", modules)
    fields = {name: getattr(config, name) for name in CONFIG_FIELDS}
    if reference.is_native:
        fields["norm_type"] = "layernorm"
    return {
        "release": str(folder),
        "reference": str(temporary / "reference.safetensors"),
        "views": str(temporary / "views"),
        "blocked_package": PACKAGE,
        "dtype": reference.dtype,
        "threads": torch.get_num_threads(),
        # The builder has measured the form of the release against this one.
        "tolerance": NATIVE_TOLERANCES[reference.dtype] if reference.changes_norm else TOLERANCE,
        "auto_class": AUTO_CLASSES[reference.class_name],
        "heads": outputs.heads(),
        "is_native": reference.is_native,
        **_sentence_job(modules, tokenizer),
        "config": fields,
        "digests": {name: digest(tensor) for name, tensor in reference.tensors.items()},
        "texts": list(PROBE_TEXTS),
        "text_ids": [tokenizer(text)["input_ids"] for text in PROBE_TEXTS],
        "masked_text": outputs.masked_text(),
        "max_seq_length": (modules and modules.max_length) or config.max_position_embeddings,
    }


def _sentence_job(modules: SentenceModules | None, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return what the child needs to know of sentence embeddings, the numbers apart."""
    if not modules:
        return {"sentence_class": None}
    pooling = modules.module("HierarchicalTokenPooling")
    options = {} if modules.pooling == LATE_INTERACTION else {"convert_to_tensor": True}
    return {
        "sentence_class": modules.library_class,
        "sentence_methods": list(methods_of(modules)),
        "sentence_options": {**options, **({"convert_to_sparse_tensor": False} if modules.is_sparse else {})},
        "token_pooling": pooling and dict(pooling.settings),
        "token_counts": token_counts(tokenizer, modules) if pooling else {},
    }
