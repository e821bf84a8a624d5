"""Check a released folder with plain Transformers, as a script of its own without anything of our package.

`verify.py` runs this file in a fresh process: `python -P -s isolated_check.py job.json`. The job names the release, a
safetensors file with inputs and the numbers to expect, and the file for the results. The script imports nothing of its
siblings and works on Transformers 4.57 and 5.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

REMOTE_MODULES = "transformers_modules"
NATIVE_MODULE = "transformers.models.modernbert."
TIED_PARAMETER = "decoder.weight"
MASKED_LM = "AutoModelForMaskedLM"
NUMBERS_OF_TOKENS = ("AutoModel", MASKED_LM, "AutoModelForTokenClassification")
# What the reference holds of a model for spelling correction, and of no other.
EDITS = "spelling/edits"


class BlockedPackage(importlib.abc.MetaPathFinder):
    """Refuse the import of one package, wherever it is installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Raise for the package and its modules; leave every other name to the next finder."""
        if fullname.split(".")[0] == self.package:
            raise ImportError(f"{fullname} is blocked: a release must work without it")


class CheckSkippedError(Exception):
    """The check cannot run here; the message says why."""


class CheckFailedError(Exception):
    """The release does not do what it promises; the message says what was found and what was expected."""


class IsolatedChecks:
    """The checks, in the order in which they run; each public method is one."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch
        from safetensors.torch import load_file

        self.job = job
        self.num_views = 0
        self.torch = torch
        self.dtype = getattr(torch, job["dtype"])
        self.reference = load_file(job["reference"])
        torch.set_num_threads(job["threads"])

    def run(self) -> list[dict[str, str]]:
        """Run every check and return its name, outcome and detail."""
        checks: list[tuple[str, Callable[[], str]]] = [
            ("our package is not importable", self.package_is_blocked),
            ("AutoConfig", self.config_loads),
            ("AutoTokenizer without trust", self.tokenizer_loads),
            ("AutoModel: every tensor", lambda: self.tensors_are_equal("AutoModel")),
            ("AutoModel: hidden states", lambda: self.outputs_are_equal("AutoModel")),
            ("AutoModel: packed rows", self.packed_rows_are_equal),
        ]
        own = self.job["auto_class"]
        if own != "AutoModel":
            checks.append((f"{own}: every tensor", lambda: self.tensors_are_equal(own)))
            checks.append((f"{own}: logits", lambda: self.outputs_are_equal(own)))
        for name in self.job["heads"]:
            if name != own:
                checks.append((f"{name}: logits", lambda name=name: self.outputs_are_equal(name)))
            checks.append((f"{name}: saved and loaded again", lambda name=name: self.saved_head_is_equal(name)))
        if EDITS in self.reference:
            checks.append(("correct", self.text_is_corrected))
        elif own == MASKED_LM:
            checks.append(("pipeline fill-mask", self.pipeline_fills_masks))
        if "custom_pipelines" in json.loads((Path(self.job["release"]) / "config.json").read_text(encoding="utf-8")):
            checks.append(("pipeline fill-words", self.pipeline_fills_words))
        if self.job["sentence_class"]:
            checks.append((self.job["sentence_class"], self.sentence_transformer_encodes))
        checks.append(("peft: a LoRA adapter", self.adapter_is_kept))
        checks.append(("saved and loaded again", self.saved_copy_is_equal))
        checks += self.native_checks() if self.job["is_native"] else []
        return [self.outcome(name, check) for name, check in checks]

    def native_checks(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the checks of a release that Transformers' own ModernBERT loads: the same numbers without trust."""
        own = self.job["auto_class"]
        checks: list[tuple[str, Callable[[], str]]] = [("without trust: nothing is asked", self.nothing_is_asked)]
        for name in dict.fromkeys(("AutoModel", own, *self.job["heads"])):
            checks.append((f"without trust: {name}", lambda name=name: self.outputs_are_equal(name, trust=False)))
        if own == MASKED_LM:
            checks.append(("without trust: pipeline fill-mask", lambda: self.pipeline_fills_masks(trust=False)))
        if self.job["sentence_class"]:
            encode = self.sentence_transformer_encodes
            checks.append((f"without trust: {self.job['sentence_class']}", lambda: encode(trust=False)))
        return checks

    @staticmethod
    def outcome(name: str, check: Callable[[], str]) -> dict[str, str]:
        """Run one check; whatever it raises is its result, so that the checks after it still run."""
        try:
            return {"name": name, "outcome": "pass", "detail": check()}
        except CheckSkippedError as error:
            return {"name": name, "outcome": "skip", "detail": str(error)}
        except CheckFailedError as error:
            return {"name": name, "outcome": "fail", "detail": str(error)}
        except (Exception, SystemExit) as error:
            lines = str(error).strip().split("\n")
            return {"name": name, "outcome": "fail", "detail": f"{type(error).__name__}: {lines[0]}"}

    def release(self) -> str:
        """Return a new folder of links to the release.

        Transformers caches code under the name of the folder, and 4.57 copies an entry file and its direct imports
        only. Under a new name every load is a first one, and cannot live on what an earlier load left in the cache.
        """
        self.num_views += 1
        view = Path(self.job["views"]) / f"release_{self.num_views}"
        view.mkdir(parents=True)
        for path in Path(self.job["release"]).iterdir():
            (view / path.name).symlink_to(path)
        return str(view)

    def load(
        self, auto_class: str, folder: str | None = None, dtype: Any = None, trust: bool = True
    ) -> tuple[Any, dict[str, Any]]:
        """Return a model in evaluation mode, and what Transformers says about its loading.

        With trust it must be of the code in the folder, without it of Transformers' own.
        """
        import transformers

        model, info = getattr(transformers, auto_class).from_pretrained(
            folder or self.release(),
            trust_remote_code=trust,
            dtype=dtype or self.torch.float32,
            output_loading_info=True,
        )
        if not type(model).__module__.startswith(REMOTE_MODULES if trust else NATIVE_MODULE):
            expected = "the code in the folder" if trust else "Transformers' own ModernBERT"
            raise CheckFailedError(f"{auto_class} gave {type(model).__module__}, not {expected}")
        return model.eval(), info

    def compare(self, what: str, given: Any, expected: Any) -> str:
        """Return the largest difference, relative to the largest expected value.

        Raises:
            CheckFailedError: For another shape, NaN, or a difference above the job's tolerance.
        """
        if tuple(given.shape) != tuple(expected.shape):
            raise CheckFailedError(
                f"{what} has shape {tuple(given.shape)}, the checkpoint gives {tuple(expected.shape)}"
            )
        scale = max(1.0, float(expected.abs().max()))
        difference = float((given.float() - expected.float()).abs().max()) / scale
        if not difference <= self.job["tolerance"]:
            raise CheckFailedError(f"{what} is off by {difference:.2e}, allowed is {self.job['tolerance']:.0e}")
        return f"largest difference {difference:.1e}"

    def forward(self, auto_class: str, model: Any) -> Any:
        """Return the numbers of a forward over the job's padded batch, as one tensor."""
        with self.torch.no_grad():
            return probe_forward(auto_class, model, self.reference)

    def package_is_blocked(self) -> str:
        """Prove that the package cannot be imported and that nothing lies in the working directory."""
        package = self.job["blocked_package"]
        if list(Path.cwd().iterdir()):
            raise CheckFailedError(f"the working directory {Path.cwd()} is not empty")
        try:
            importlib.import_module(package)
        except ImportError as error:
            return str(error)
        raise CheckFailedError(f"import {package} worked")

    def config_loads(self) -> str:
        """Load the configuration as remote code."""
        import transformers

        config = transformers.AutoConfig.from_pretrained(self.release(), trust_remote_code=True)
        if not type(config).__module__.startswith(REMOTE_MODULES):
            raise CheckFailedError(f"AutoConfig gave {type(config).__module__}, not the code in the folder")
        for name, expected in self.job["config"].items():
            if getattr(config, name) != expected:
                raise CheckFailedError(f"{name} is {getattr(config, name)!r}, the checkpoint has {expected!r}")
        return f"Transformers {transformers.__version__}"

    def tokenizer_loads(self) -> str:
        """Load the tokenizer without trust and encode the job's texts."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.release(), trust_remote_code=False)
        for text, expected in zip(self.job["texts"], self.job["text_ids"], strict=True):
            given = tokenizer(text)["input_ids"]
            if given != expected:
                raise CheckFailedError(f"{text!r} becomes {given}, the checkpoint's tokenizer gives {expected}")
        return f"{len(self.job['texts'])} texts give the same ids"

    def tensors_are_equal(self, auto_class: str) -> str:
        """Compare every loaded tensor with the checkpoint's, bit for bit, in the release's dtype."""
        model, info = self.load(auto_class, dtype=self.dtype)
        if info["missing_keys"]:
            raise CheckFailedError(f"not in the release: {', '.join(sorted(info['missing_keys']))}")
        digests: dict[str, str] = self.job["digests"]
        prefix = "model." if auto_class == "AutoModel" and any(name.startswith("model.") for name in digests) else ""
        expected = {name: value for name, value in digests.items() if name.startswith(prefix)}
        given = {prefix + name: digest(tensor) for name, tensor in model.state_dict().items()}
        if TIED_PARAMETER in given and TIED_PARAMETER not in expected:
            expected[TIED_PARAMETER] = digests["model.embeddings.tok_embeddings.weight"]
        different = sorted(name for name in set(given) | set(expected) if given.get(name) != expected.get(name))
        if different:
            raise CheckFailedError(f"{len(different)} of {len(expected)} tensors differ, the first is {different[0]}")
        return f"{len(expected)} tensors are bit-equal"

    def outputs_are_equal(self, auto_class: str, trust: bool = True) -> str:
        """Compare a head's numbers with the local ones; what the release lacks of a head is taken from the job."""
        model = self.load_with_fresh_parameters(auto_class, trust)
        return self.compare("the output", self.forward(auto_class, model), self.reference[f"output/{auto_class}"])

    def load_with_fresh_parameters(self, auto_class: str, trust: bool = True) -> Any:
        """Return a model whose parameters that the release lacks are those of the job."""
        model, info = self.load(auto_class, trust=trust)
        prefix = f"fresh/{auto_class}/"
        fresh = {key[len(prefix) :]: tensor for key, tensor in self.reference.items() if key.startswith(prefix)}
        if set(info["missing_keys"]) != set(fresh):
            raise CheckFailedError(f"new in this head are {sorted(info['missing_keys'])}, expected {sorted(fresh)}")
        model.load_state_dict(fresh, strict=False)
        return model

    def saved_head_is_equal(self, auto_class: str) -> str:
        """Save a head as after fine-tuning, load it again, and compare numbers."""
        with tempfile.TemporaryDirectory() as folder:
            self.load_with_fresh_parameters(auto_class).save_pretrained(folder)
            again, info = self.load(auto_class, folder)
        if info["missing_keys"]:
            raise CheckFailedError(f"the saved head lost {', '.join(sorted(info['missing_keys']))}")
        return self.compare("the output", self.forward(auto_class, again), self.reference[f"output/{auto_class}"])

    def packed_rows_are_equal(self) -> str:
        """Two documents in one row must give what each gives alone."""
        model, _ = self.load("AutoModel")
        with self.torch.no_grad():
            outputs = model(
                input_ids=self.reference["packed/input_ids"], document_ids=self.reference["packed/document_ids"]
            )
        return self.compare("a packed row", outputs.last_hidden_state, self.reference["packed/output"])

    def nothing_is_asked(self) -> str:
        """Load what users load first without a word about trust; a question would find the terminal closed."""
        from transformers import AutoConfig, AutoTokenizer

        config = AutoConfig.from_pretrained(self.release())
        AutoTokenizer.from_pretrained(self.release())
        if not type(config).__module__.startswith(NATIVE_MODULE):
            raise CheckFailedError(f"AutoConfig gave {type(config).__module__}, not Transformers' own ModernBERT")
        return "config and tokenizer load"

    def pipeline_fills_masks(self, trust: bool = True) -> str:
        """Ask the pipeline that users ask first."""
        from transformers import pipeline

        fill_mask = pipeline("fill-mask", model=self.release(), trust_remote_code=trust, dtype=self.torch.float32)
        expected = self.reference["fill_mask/scores"]
        guesses = fill_mask(self.job["masked_text"], top_k=expected.numel())
        scores = self.torch.tensor([guess["score"] for guess in guesses])
        chosen = self.reference["fill_mask/probabilities"][[guess["token"] for guess in guesses]]
        self.compare("the score of a guess", scores, chosen)
        return self.compare("the order of guesses", scores, expected)

    def pipeline_fills_words(self) -> str:
        """Ask the pipeline that the release brings for words of one token, which the one before finds too."""
        from transformers import pipeline

        task: Any = "fill-words"  # no name that Transformers' types know
        fill_words: Any = pipeline(task, model=self.release(), trust_remote_code=True, dtype=self.torch.float32)
        guesses = fill_words(self.job["masked_text"], blank=fill_words.tokenizer.mask_token, tokens=1)
        scores = self.torch.tensor([guess["score"] for guess in guesses])
        chosen = self.reference["fill_mask/probabilities"][[guess["tokens"][0][0] for guess in guesses]]
        return self.compare("the score of a word", scores, chosen)

    def text_is_corrected(self) -> str:
        """Compare what a model for spelling correction would change in the job's texts, the threshold apart."""
        from transformers import AutoTokenizer

        model, _ = self.load(MASKED_LM)
        tokenizer = AutoTokenizer.from_pretrained(self.release(), trust_remote_code=False)
        expected = self.reference[EDITS]
        found = found_edits(model, tokenizer, self.job["texts"])
        if len(found) != len(expected) or not self.torch.equal(found[:, :-1], expected[:, :-1]):
            raise CheckFailedError(f"{len(found)} edits are found, the checkpoint finds {len(expected)} or others")
        compared = self.compare("the probability of an edit", found[:, -1], expected[:, -1]) if len(found) else "none"
        written = [correction.text for correction in model.correct(self.job["texts"], tokenizer)]
        if [len(text) for text in written] != [len(text) for text in self.job["texts"]]:
            raise CheckFailedError("correct changes the length of a text")
        return f"{len(found)} edits, {compared}"

    def sentence_transformer_encodes(self, trust: bool = True) -> str:
        """Encode the job's texts as sentence-transformers does it."""
        if importlib.util.find_spec("sentence_transformers") is None:
            raise CheckSkippedError("sentence-transformers is not installed")
        import sentence_transformers

        library_class = getattr(sentence_transformers, self.job["sentence_class"], None)
        if library_class is None:
            version = sentence_transformers.__version__
            raise CheckSkippedError(f"sentence-transformers {version} has no {self.job['sentence_class']}")
        encoder = library_class(
            self.release(), trust_remote_code=trust, device="cpu", model_kwargs={"dtype": self.torch.float32}
        )
        if encoder.max_seq_length != self.job["max_seq_length"]:
            raise CheckFailedError(f"max_seq_length is {encoder.max_seq_length}, not {self.job['max_seq_length']}")
        details = []
        for method, expected in self.expected_embeddings(encoder).items():
            given = getattr(encoder, method)(self.job["texts"], show_progress_bar=False, **self.job["sentence_options"])
            given = given if isinstance(given, self.torch.Tensor) else self.torch.cat(given)
            details.append(self.compare(f"what {method} gives", given, expected))
        return "; ".join(details)

    def expected_embeddings(self, encoder: Any) -> dict[str, Any]:
        """Return the numbers by method; tokens that the release pools are pooled by the library's own module."""
        expected = {name: self.reference[f"sentence/{name}"] for name in self.job["sentence_methods"]}
        if settings := self.job["token_pooling"]:
            from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

            pooling = HierarchicalTokenPooling(**settings)
            for method, task in (("encode_query", "query"), ("encode_document", "document")):
                rows = list(expected[method].split(self.job["token_counts"][method]))
                expected[method] = self.torch.cat(pooling.pool(rows, task=task))
        return expected

    def adapter_is_kept(self) -> str:
        """Put a LoRA adapter onto the model, save it alone, and load it onto the release again."""
        if importlib.util.find_spec("peft") is None:
            raise CheckSkippedError("peft is not installed")
        from peft import LoraConfig, PeftModel, get_peft_model

        # Not the usual start at zero: the adapter shall move the numbers.
        config = LoraConfig(r=4, target_modules=["Wqkv", "attn.Wo"], init_lora_weights=False)
        adapted = get_peft_model(self.load("AutoModel")[0], config).eval()
        expected = self.forward("AutoModel", adapted)
        if self.torch.equal(expected, self.reference["output/AutoModel"]):
            raise CheckFailedError("the adapter changes nothing")
        with tempfile.TemporaryDirectory() as folder:
            adapted.save_pretrained(folder)
            again = PeftModel.from_pretrained(self.load("AutoModel")[0], folder).eval()
        return self.compare("a hidden state", self.forward("AutoModel", again), expected)

    def saved_copy_is_equal(self) -> str:
        """Save what was loaded, load that again, and compare numbers, base model and tokenizer."""
        from transformers import AutoTokenizer

        own = self.job["auto_class"]
        model, _ = self.load(own)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            AutoTokenizer.from_pretrained(self.release(), trust_remote_code=False).save_pretrained(folder)
            again, info = self.load(own, folder)
            base, _ = self.load("AutoModel", folder)
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            ids = [tokenizer(text)["input_ids"] for text in self.job["texts"]]
        if info["missing_keys"] or ids != self.job["text_ids"]:
            raise CheckFailedError("the saved copy lost tensors or its tokenizer changed")
        self.compare("a hidden state", self.forward("AutoModel", base), self.reference["output/AutoModel"])
        before = self.forward(own, model)
        return self.compare("a logit", self.forward(own, again), before)


def probe_forward(auto_class: str, model: Any, inputs: dict[str, Any]) -> Any:
    """Return a model's numbers for the probe batch as one tensor; run by the parent and by the child.

    Args:
        auto_class: name of the Auto class, which decides the form of inputs and outputs
        model: a model in evaluation mode
        inputs: holds `input/input_ids` and `input/attention_mask`, both `(batch, length)`
    """
    given = {name: inputs[f"input/{name}"] for name in ("input_ids", "attention_mask")}
    if auto_class == "AutoModelForMultipleChoice":
        given = {name: tensor.unsqueeze(0) for name, tensor in given.items()}
    outputs = model(**given)
    is_token = given["attention_mask"].bool()
    if auto_class == "AutoModelForQuestionAnswering":
        # Padding holds the smallest number there is; next to it no difference would show.
        return (outputs.start_logits + 2 * outputs.end_logits)[is_token]
    numbers = outputs.last_hidden_state if auto_class == "AutoModel" else outputs.logits
    # At padding each class gives what it likes.
    return numbers[is_token] if auto_class in NUMBERS_OF_TOKENS else numbers


def found_edits(model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    """Return the edits of a model for spelling correction, `(edits, 4)`: text, offset, character, probability."""
    import torch

    rows = [
        (number, edit.offset, ord(edit.target), edit.probability)
        for number, edits in enumerate(model.find_edits(list(texts), tokenizer))
        for edit in edits
    ]
    return torch.tensor(rows, dtype=torch.float64).view(-1, 4)


def digest(tensor: Any) -> str:
    """Return the sha256 of a tensor's bytes, shape and dtype."""
    import torch

    content = tensor.detach().cpu().contiguous()
    header = f"{tuple(content.shape)} {content.dtype} ".encode()
    return hashlib.sha256(header + content.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def main(job_path: str) -> None:
    """Run the job and write its results as JSON."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, BlockedPackage(job["blocked_package"]))
    results = IsolatedChecks(job).run()
    Path(job["results"]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
