"""The command `gguf`: what it refuses, what the converter reads, and the file itself where llama.cpp is at hand."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import ModernBertConfig, ModernBertForMaskedLM, ModernBertModel

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.hub_release.arguments import GgufArguments
from chinese_modernbert.hub_release.checkpoint import read_config, write_json
from chinese_modernbert.hub_release.gguf.check import TEXTS, Binaries, check_gguf, embedding_of
from chinese_modernbert.hub_release.gguf.export import check_checkout, export_gguf, write_converter_input

CHECKOUT = os.environ.get("CHINESE_MODERNBERT_LLAMA_CPP", "")


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked-language model of Transformers' own class with random weights, and our tokenizer."""
    folder = tmp_path_factory.mktemp("native") / "release"
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=32_768,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=2,
        initializer_range=0.1,
        pad_token_id=0,
        bos_token_id=2,
        cls_token_id=2,
        eos_token_id=3,
        sep_token_id=3,
    )
    ModernBertForMaskedLM(config).save_pretrained(folder)
    for file in SHIPPED_TOKENIZER.glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout; its converter writes what it was given."""
    folder = tmp_path / "llama.cpp"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "llama-vocab.cpp").write_text('tokenizer_pre == "gemma4"', encoding="utf-8")
    (folder / "convert_hf_to_gguf.py").write_text(STAND_IN, encoding="utf-8")
    return folder


STAND_IN = """
import json, sys, types
from pathlib import Path
class TokenType: BYTE = 6
gguf = types.SimpleNamespace(TokenType=TokenType)
class ModelBase: pass
class TextModel(ModelBase):
    def get_vocab_base_pre(self, tokenizer): raise NotImplementedError
    def get_vocab_base(self): return ["<0x41>", "<0xZZ>", "A"], [1, 1, 1], self.get_vocab_base_pre(None)
def main():
    folder, _, file, _, outtype = sys.argv[1:]
    if outtype == "q8_0": raise ValueError("no such type here")
    seen = {"vocab": TextModel().get_vocab_base(), "files": sorted(p.name for p in Path(folder).iterdir())}
    Path(file).write_text(json.dumps(seen))
"""


def edited(release: Path, folder: Path, **changes: object) -> Path:
    """Return a folder with the release's config alone, changed."""
    folder.mkdir()
    write_json(folder / "config.json", {**read_config(release), **changes})
    return folder


def arguments(release: Path, checkout: Path, target: Path, outtype: str = "f32") -> GgufArguments:
    return GgufArguments(str(release), str(checkout), str(target), outtype)


def test_the_converter_gets_the_pre_tokenizer_and_the_types_of_bytes(
    native: Path, checkout: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "model.gguf"
    report = export_gguf(arguments(native, checkout, target))
    seen = json.loads(target.read_text(encoding="utf-8"))
    assert seen["vocab"] == [["<0x41>", "<0xZZ>", "A"], [6, 1, 1], "gemma4"]
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(seen["files"])
    assert report.endswith(f"not checked: {checkout} has no built llama-tokenize and llama-embedding")
    assert [file.name for file in target.parent.iterdir()] == ["model.gguf"]
    with pytest.raises(FileExistsError, match="give another output_file or set overwrite to replace it$"):
        export_gguf(arguments(native, checkout, target))


def test_what_release_writes_is_read_and_its_masked_language_model_head_left_behind(
    release: Path, checkout: Path, tmp_path: Path
) -> None:
    export_gguf(arguments(release, checkout, tmp_path / "model.gguf"))
    folder = tmp_path / "encoder"
    write_converter_input(release, read_config(release), folder)
    ids = torch.arange(5, 50)[None]
    with torch.no_grad():
        wanted = ModernBertForMaskedLM.from_pretrained(release).model(ids).last_hidden_state
        got = ModernBertModel.from_pretrained(folder)(ids).last_hidden_state
    torch.testing.assert_close(got, wanted)
    assert sorted(file.name for file in folder.iterdir() if file.suffix == ".py") == []


def test_a_failing_converter_leaves_its_reason_and_no_file(native: Path, checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"llama\.cpp's converter ended with 1: ValueError: no such type here$"):
        export_gguf(arguments(native, checkout, tmp_path / "model.gguf", "q8_0"))
    assert not list(tmp_path.glob("*gguf*"))


def test_the_converter_reads_the_encoder_alone_and_transformers_gives_the_same_from_it(
    native: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "encoder"
    write_converter_input(native, read_config(native), folder)
    assert all(name.startswith("model.") for name in load_file(folder / "model.safetensors"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["ModernBertModel"]
    assert config["layer_norm_eps"] == config["norm_eps"]
    ids = torch.arange(5, 200)[None]
    with torch.no_grad():
        wanted = ModernBertForMaskedLM.from_pretrained(native).model(ids).last_hidden_state
        got = ModernBertModel.from_pretrained(folder)(ids).last_hidden_state
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "chinese_modernbert"}, "llama.cpp reads only 'modernbert'; build it again with"),
        ({"model_type": "bert"}, "llama.cpp reads only 'modernbert'; give a native release"),
        ({"architectures": ["ModernBertForTokenClassification"]}, "holds a ModernBertForTokenClassification; only"),
        ({"norm_bias": True}, "norm_bias=True, which llama.cpp's ModernBERT cannot compute"),
        ({"norm_type": "rmsnorm"}, "norm_type='rmsnorm', which"),
        ({"local_attention": 127}, "local_attention=127, which"),
        ({"hidden_activation": "relu"}, "hidden_activation='relu', which"),
        ({"layer_types": ["sliding_attention"] * 4}, "layer_types="),
    ],
)
def test_what_llama_cpp_cannot_compute_is_refused(
    native: Path, checkout: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    release = edited(native, tmp_path / "edited", **changes)
    with pytest.raises(ValueError) as refused:
        export_gguf(arguments(release, checkout, tmp_path / "model.gguf"))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_checkout_must_be_one_that_knows_the_pre_tokenizer(checkout: Path) -> None:
    check_checkout(checkout)
    (checkout / "src" / "llama-vocab.cpp").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"lacks the pre-tokenizer gemma4; take a newer llama\.cpp$"):
        check_checkout(checkout)
    with pytest.raises(FileNotFoundError, match="give a source checkout$"):
        check_checkout(checkout / "src")
    with pytest.raises(ValueError, match=r"outtype='q4' is not offered; use one of f32, f16, q8_0$"):
        GgufArguments("a", "b", "c", "q4")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a first line for Unix")
def test_an_output_that_lost_numbers_is_asked_for_again(tmp_path: Path) -> None:
    program = tmp_path / "llama-embedding"
    counter = tmp_path / "count"
    program.write_text(
        f"#!{sys.executable}\nfrom pathlib import Path\nfile = Path({str(counter)!r})\n"
        "asked = len(file.read_text()) if file.exists() else 0\nfile.write_text('x' * (asked + 1))\n"
        "print('[[0.5000000,-1.2500000' + ',2.0000000]]' * (asked > 1))\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    got = embedding_of(Binaries(program, program), tmp_path / "m.gguf", "字", 1, 3)
    assert got.tolist() == [[0.5, -1.25, 2.0]]
    assert counter.read_text(encoding="utf-8") == "xxx"


@pytest.mark.skipif(not CHECKOUT, reason="CHINESE_MODERNBERT_LLAMA_CPP names no built checkout of llama.cpp")
@pytest.mark.parametrize("outtype", ["f32", "f16", "q8_0"])
def test_llama_cpp_gives_the_tokens_and_hidden_states_of_the_release(
    native: Path, tmp_path: Path, outtype: str
) -> None:
    report = export_gguf(arguments(native, Path(CHECKOUT), tmp_path / "model.gguf", outtype))
    assert f"tokens: {len(TEXTS)} of {len(TEXTS)} texts as in the release" in report
    assert "embeddings: lowest cosine against torch 0.99" in report or " 1.0000000, up to" in report


@pytest.mark.skipif(not CHECKOUT, reason="CHINESE_MODERNBERT_LLAMA_CPP names no built checkout of llama.cpp")
def test_a_file_of_other_weights_is_found(native: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    export_gguf(arguments(native, Path(CHECKOUT), tmp_path / "model.gguf"))
    torch.manual_seed(1)
    ModernBertModel(ModernBertConfig.from_pretrained(native)).save_pretrained(other)
    binaries = Binaries(*(Path(CHECKOUT) / "build" / "bin" / f"llama-{name}" for name in Binaries._fields))
    faults, _ = check_gguf(tmp_path / "model.gguf", native, other, binaries, "f32")
    assert len(faults) == 1
    assert faults[0].startswith("embeddings differ: cosine")
