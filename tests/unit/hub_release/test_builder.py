import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from chinese_modernbert import modeling
from chinese_modernbert.hub_release import ReleaseArguments, build_release, provenance
from chinese_modernbert.hub_release.checkpoint import without_idle_labels
from chinese_modernbert.hub_release.manifest import MANIFEST_FILE
from chinese_modernbert.hub_release.provenance import PROVENANCE_FILE, without_local_folders, yaml_without_local_folders
from chinese_modernbert.modeling import (
    ChineseModernBertForMaskedLM,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertModel,
)
from chinese_modernbert.runtime.files import file_sha256
from chinese_modernbert.tokenization.diagnostics import TokenizerReportArguments, run_tokenizer_report
from chinese_modernbert.tokenization.loading import load_tokenizer, save_tokenizer


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def edit_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors, or drop those given as None."""
    tensors = {**load_file(folder / "model.safetensors"), **changes}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, folder / "model.safetensors")


def release_of(checkpoint: Path, tmp_path: Path, **options: object) -> Path:
    return build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "built"), **options))  # type: ignore[arg-type]


def encoder_of(checkpoint: Path, tmp_path: Path) -> Path:
    """Save the encoder of a checkpoint without its head."""
    ChineseModernBertModel.from_pretrained(checkpoint).save_pretrained(tmp_path / "encoder")
    save_tokenizer(load_tokenizer(checkpoint), tmp_path / "encoder")
    return tmp_path / "encoder"


def message(checkpoint: Path, tmp_path: Path, error: type[Exception] = ValueError, **options: object) -> str:
    """Build, expect an error, and return its one line; nothing may be left behind."""
    tmp_path.mkdir(exist_ok=True)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error) as caught:
        release_of(checkpoint, tmp_path, **options)
    assert sorted(tmp_path.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def record_a_run(folder: Path) -> None:
    """Write what a run leaves beside its weights, with folders of its machine where they could be."""
    (folder / "recipe.yaml").write_text("seed: 7\ndata: /home/me/shards\n")
    identity = {"seed": 7, "data_seed": None, "masking": "whole_word", "masking_options": {"lexicon": "/home/me/w.txt"}}
    (folder / "pretraining.json").write_text(json.dumps({**identity, "shards": ["ab" * 32]}))
    data = {"manifest_sha256": "cd" * 32, "sources": {"/home/me/news": 3}, "shards": [{"sha256": {"ids": "ab" * 32}}]}
    (folder / "run_record.json").write_text(json.dumps({"packages": {"torch": "2.13.0"}, "data": data}))


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    record_a_run(checkpoint)
    first = build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "one" / "name")))
    second = build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "two" / "name")))
    assert contents(first) == contents(second)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_every_file_is_as_readable_as_the_users_others(checkpoint: Path, tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        folder = release_of(checkpoint, tmp_path)
    finally:
        os.umask(mask)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()}
    assert set(modes.values()) == {"0o640"}, modes


def test_the_provenance_is_what_the_run_recorded_without_its_folders(checkpoint: Path, tmp_path: Path) -> None:
    record_a_run(checkpoint)
    folder = release_of(checkpoint, tmp_path)
    text = (folder / PROVENANCE_FILE).read_text()
    told = json.loads(text)
    options = {"lexicon": "w.txt"}
    assert told["run"] == {"seed": 7, "data_seed": None, "masking": "whole_word", "masking_options": options}
    assert told["recipe"] == {"file": "recipe.yaml", "sha256": file_sha256(folder / "recipe.yaml")}
    assert told["packages"] == {"torch": "2.13.0"}
    assert told["data"]["sources"] == {"news": 3} and told["data"]["manifest_sha256"] == "cd" * 32
    assert "/home" not in text and str(tmp_path) not in text
    card = (folder / "README.md").read_text()
    assert f"[`{PROVENANCE_FILE}`]({PROVENANCE_FILE})" in card
    assert "Not recorded: training log, tokenizer metrics, CLUE metrics, sentence" in card
    again = build_release(ReleaseArguments(str(folder), str(tmp_path / "again")))
    assert (again / PROVENANCE_FILE).read_text() == text


def test_no_file_of_a_release_knows_whose_machine_it_was_built_on(checkpoint: Path, tmp_path: Path) -> None:
    run = tmp_path / "home" / "liming" / "runs" / "one"
    run.mkdir(parents=True)
    folder = checkpoint.rename(run / "checkpoint-20")
    home = str(run.parents[1])
    record_a_run(run)
    (run / "recipe.yaml").write_text(f"seed: 7\ndata: {home}/shards\nmasking_options: {{lexicon: {home}/words.txt}}\n")
    (run / "masking.yaml").write_text(f"# of {home}/notes.md\nlexicon: '{home}/my words.txt'\n")
    start = {"model": "base 0123", "before": {"run": {"lexicon": f"{home}/old.txt"}}}
    (run / "run_record.json").write_text(json.dumps({"data": {"sources": {f"{home}/news": 3}}, "start": start}))
    log = {"log_history": [{"step": 20, "loss": 1.0, "note": home}], "global_step": 20}
    (folder / "trainer_state.json").write_text(json.dumps(log))
    for name, content in contents(release_of(folder, tmp_path / "built")).items():
        assert b"liming" not in content and str(tmp_path).encode() not in content, name


def test_a_checkpoint_without_records_has_no_provenance(saved_release: Path) -> None:
    assert not (saved_release / PROVENANCE_FILE).exists()


def test_the_records_are_those_of_the_trainer() -> None:
    pretraining = pytest.importorskip("chinese_modernbert.trainers.pretraining.run")
    assert (provenance.IDENTITY, provenance.RECIPE) == (pretraining.IDENTITY, pretraining.RECIPE)


def test_a_release_of_a_release_holds_the_same_weights_and_code(saved_release: Path, tmp_path: Path) -> None:
    again, first = contents(release_of(saved_release, tmp_path, model_name="release")), contents(saved_release)
    # The first was measured against RMSNorm, the second against the layer norms that it has now: both say so.
    for name in ("README.md", MANIFEST_FILE):
        assert again.pop(name) != first.pop(name)
    assert again == first


def test_weights_are_the_checkpoints_with_the_head_and_without_the_tied_matrix(
    checkpoint: Path, tmp_path: Path
) -> None:
    given, expected = (
        load_file(release_of(checkpoint, tmp_path) / "model.safetensors"),
        load_file(checkpoint / "model.safetensors"),
    )
    assert sorted(given) == sorted(expected)
    assert {"head.dense.weight", "head.norm.weight", "decoder.bias"} <= set(given)
    assert "decoder.weight" not in given
    assert all(torch.equal(given[name], expected[name]) for name in expected)


def test_bfloat16_rounds_every_tensor_and_says_so_in_the_config(checkpoint: Path, tmp_path: Path) -> None:
    folder = release_of(checkpoint, tmp_path, dtype="bfloat16")
    expected = load_file(checkpoint / "model.safetensors")
    given = load_file(folder / "model.safetensors")
    assert all(torch.equal(given[name], expected[name].to(torch.bfloat16)) for name in expected)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_modeling_files_are_copied_byte_for_byte(saved_release: Path) -> None:
    sources = sorted(Path(modeling.__file__).parent.glob("*.py"))
    shipped = {path.name: path.read_bytes() for path in saved_release.glob("*.py")}
    stays = {"__init__.py", "loading.py"}
    assert shipped == {path.name: path.read_bytes() for path in sources if path.name not in stays}


def test_auto_map_is_complete_even_where_the_checkpoint_has_another(checkpoint: Path, tmp_path: Path) -> None:
    edit_json(checkpoint / "config.json", auto_map={"AutoModel": "owner/name--modeling.Model"})
    auto_map = json.loads((release_of(checkpoint, tmp_path) / "config.json").read_text())["auto_map"]
    assert len(auto_map) == 7
    for reference in auto_map.values():
        module, name = reference.split(".")
        assert (tmp_path / "built" / f"{module}.py").is_file()
        assert hasattr(modeling, name)


def test_tokenizer_names_the_stock_class_and_gives_the_same_ids(checkpoint: Path, tmp_path: Path) -> None:
    before = AutoTokenizer.from_pretrained(checkpoint)
    before.save_pretrained(checkpoint)  # Transformers 5 writes a class name that 4.57 does not know
    before("今天", truncation=True, max_length=4, padding="max_length")
    before.backend_tokenizer.save(str(checkpoint / "tokenizer.json"))  # with truncation to four tokens
    folder = release_of(checkpoint, tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert (config["tokenizer_class"], config["model_max_length"]) == ("PreTrainedTokenizerFast", 128)
    rules = json.loads((folder / "tokenizer.json").read_text())
    assert (rules["truncation"], rules["padding"]) == (None, None)
    after = AutoTokenizer.from_pretrained(folder)
    text = "今天天气很好，我们去公园散步。"
    assert after(text)["input_ids"] == AutoTokenizer.from_pretrained(checkpoint)(text)["input_ids"]
    assert set(after(text)) == {"input_ids", "attention_mask"}


def test_sentence_modules_are_in_the_old_form(checkpoint: Path, tmp_path: Path) -> None:
    folder = release_of(checkpoint, tmp_path, normalize=True, max_length=64)
    modules = json.loads((folder / "modules.json").read_text())
    assert [row["type"].rsplit(".", 1)[-1] for row in modules] == ["Transformer", "Pooling", "Normalize"]
    assert all(row["type"].startswith("sentence_transformers.models.") for row in modules)
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    assert pooling["word_embedding_dimension"] == 32
    assert [key for key, value in pooling.items() if value is True] == ["pooling_mode_mean_tokens"]
    assert json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"] == 64


def test_a_model_without_labels_stores_none_and_is_fine_tuned_without_a_warning(
    saved_release: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    for trust in (False, True):
        AutoModelForSequenceClassification.from_pretrained(saved_release, num_labels=5, trust_remote_code=trust)
    assert "num_labels" not in caplog.text
    assert "id2label" not in json.loads((saved_release / "config.json").read_text(encoding="utf-8"))
    values = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    assert without_idle_labels(values, "ChineseModernBertForSequenceClassification") == values
    assert without_idle_labels(values, "ChineseModernBertForQuestionAnswering") == {}


def test_options_that_would_act_on_nothing_are_refused_before_any_work(tmp_path: Path) -> None:
    for options, words in (
        ({"onnx_graphs": ["embedding"]}, "onnx_graphs acts where ONNX graphs are written; give onnx too"),
        ({"onnx_shape": "8x128"}, "onnx_shape acts where"),
        ({"notes": str(tmp_path / "notes.md")}, "notes .*notes.md is not there"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            ReleaseArguments("model", "release", **options)


def test_a_sparse_encoder_is_what_its_pooling_says(checkpoint: Path, tmp_path: Path) -> None:
    assert "normalize is for dense embeddings" in message(checkpoint, tmp_path, pooling="splade", normalize=True)
    assert "has no logits of a masked token" in message(encoder_of(checkpoint, tmp_path), tmp_path, pooling="splade")
    with pytest.raises(ValueError, match="pooling='max' is not offered; use one of mean, cls, splade"):
        ReleaseArguments("a", "b", pooling="max")
    folder = release_of(checkpoint, tmp_path, pooling="splade")
    settings = json.loads((folder / "1_SpladePooling" / "config.json").read_text())
    expected = {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": 384}
    assert settings == expected
    edit_json(folder / "1_SpladePooling" / "config.json", pooling_strategy="mean")
    assert "pooling_strategy is 'mean', wanted is one of 'max', 'sum'" in message(folder, tmp_path / "other")


def test_recipe_and_masking_are_taken_from_the_run_folder_without_its_paths(checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = checkpoint.rename(tmp_path / "checkpoint-20")
    (tmp_path / "recipe.yaml").write_text("data: [/home/me/corpus/a.txt, b.txt]  # from https://example.org/x\n")
    (checkpoint / "masking.yaml").write_text("rate: 0.3\n")
    folder = release_of(checkpoint, tmp_path)
    assert (folder / "recipe.yaml").read_text() == "data: [a.txt, b.txt]  # from https://example.org/x\n"
    assert (folder / "masking.yaml").read_text() == "rate: 0.3\n"
    assert "[`recipe.yaml`](recipe.yaml), [`masking.yaml`](masking.yaml)" in (folder / "README.md").read_text()


def test_the_run_folder_is_not_read_for_other_names(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("rate: 0.3\n")
    assert not (release_of(checkpoint, tmp_path) / "recipe.yaml").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/b/c.txt", "c.txt"),
        ("x: ~/data/z.txt", "x: z.txt"),
        ("https://a.b/c/d", "https://a.b/c/d"),
        ("runs/one/two", "runs/one/two"),
        ("./runs/x", "./runs/x"),
        ("rate: 1/2", "rate: 1/2"),
        ("['/a/b', \"/c/d\"]", "['b', \"d\"]"),
        ("/Users/John Smith/My Data/x.jsonl", "x.jsonl"),
        ("file:///home/john/c.txt", "c.txt"),
        (r"C:\Users\john\c.txt", "c.txt"),
        ("C:/Users/John Smith/c.txt", "c.txt"),
        (r"\\server\share\my texts\c.txt", "c.txt"),
        ("~john/my texts/c.txt", "c.txt"),
        ("from file:///home/john/c.txt", "from c.txt"),
        (r"from C:\Users\john\c.txt", "from c.txt"),
        (r"a regular expression: \d+\w", r"a regular expression: \d+\w"),
    ],
)
def test_only_absolute_paths_are_cut(text: str, expected: str) -> None:
    assert without_local_folders(text) == expected


def test_a_recipe_keeps_its_values_and_comments_and_no_folder() -> None:
    paths = [
        "/Users/John Smith/My Data/" + "x" * 60 + ".jsonl",
        r"C:\Users\john\c: d.txt",
        *("/john/0123", "/john/yes", "/john/[a", "/john/b"),
    ]
    recipe = yaml.safe_dump({"seed": 7, "corpus": paths, "/home/john/news": 1.5, "eval": "runs/one"})
    written = yaml_without_local_folders("# of /home/john/notes.md\n" + recipe)
    assert "john" not in written.lower() and written.startswith("# of notes.md\n")
    last = ["x" * 60 + ".jsonl", "c: d.txt", "0123", "yes", "[a", "b"]
    assert yaml.safe_load(written) == {"seed": 7, "corpus": last, "news": 1.5, "eval": "runs/one"}


def test_a_path_in_a_block_of_text_is_cut_and_what_follows_stays() -> None:
    written = yaml_without_local_folders("run:\n  name: |\n    /home/my texts/a b\n  seed: 7\n")
    assert yaml.safe_load(written) == {"run": {"name": "a b\n", "seed": 7}}


def test_a_recipe_that_is_no_yaml_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "recipe.yaml").write_text("a: 'open")
    assert "recipe.yaml is not valid YAML" in message(checkpoint, tmp_path)


def test_what_its_verification_would_refuse_is_not_built(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "recipe.yaml").write_text("trust_remote_code: true\n")
    assert "recipe.yaml: 'trust_remote_code' is no option of pretrain" in message(checkpoint, tmp_path)


def test_settings_of_a_checkpoint_that_no_release_has_stay_behind(checkpoint: Path, tmp_path: Path) -> None:
    edit_json(checkpoint / "config.json", zero_mean_residual=False, norm_type="rmsnorm", sentence_transformers={"v": 1})
    values = json.loads((release_of(checkpoint, tmp_path) / "config.json").read_text())
    assert values["model_type"] == "chinese_modernbert" and "sentence_transformers" not in values


def test_own_licence_of_the_checkpoint_goes_first(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "LICENSE").write_text("mine")
    assert (release_of(checkpoint, tmp_path) / "LICENSE").read_text() == "mine"


def test_library_licence_where_the_checkpoint_has_none(saved_release: Path) -> None:
    assert "Apache License" in (saved_release / "LICENSE").read_text()


def test_checkpoint_without_tokenizer(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    assert "no tokenizer.json" in message(checkpoint, tmp_path, FileNotFoundError)


def test_other_vocabulary_size(checkpoint: Path, tmp_path: Path) -> None:
    edit_json(checkpoint / "config.json", vocab_size=1024)
    text = message(checkpoint, tmp_path)
    assert "1024" in text and "384" in text


def test_other_special_token_ids(checkpoint: Path, tmp_path: Path) -> None:
    edit_json(checkpoint / "config.json", mask_token_id=5)
    assert "mask_token_id is 5" in message(checkpoint, tmp_path)


def test_other_model_type(checkpoint: Path, tmp_path: Path) -> None:
    values = json.loads((checkpoint / "config.json").read_text())
    del values["mask_token_id"]
    (checkpoint / "config.json").write_text(json.dumps({**values, "model_type": "modernbert"}))
    assert "'modernbert', 'chinese_modernbert' is needed; convert it first" in message(checkpoint, tmp_path)


def test_half_written_weights(checkpoint: Path, tmp_path: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a whole safetensors file" in message(checkpoint, tmp_path)


def test_no_weights(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    assert "only safetensors" in message(checkpoint, tmp_path, FileNotFoundError)


def test_head_missing(checkpoint: Path, tmp_path: Path) -> None:
    edit_weights(checkpoint, **{"head.dense.weight": None})
    assert "lacks the masked-language-model head (head.dense.weight)" in message(checkpoint, tmp_path)


def test_a_classifier_that_calls_itself_a_language_model(checkpoint: Path, tmp_path: Path) -> None:
    ChineseModernBertForSequenceClassification.from_pretrained(checkpoint).save_pretrained(checkpoint)
    edit_json(checkpoint / "config.json", architectures=["ChineseModernBertForMaskedLM"])
    assert "lacks the masked-language-model head (decoder.bias)" in message(checkpoint, tmp_path)


def test_layer_missing(checkpoint: Path, tmp_path: Path) -> None:
    edit_weights(checkpoint, **{"model.layers.1.mlp.Wo.weight": None})
    assert "is incomplete, model.layers.1.mlp.Wo.weight missing" in message(checkpoint, tmp_path)


def test_layer_too_many(checkpoint: Path, tmp_path: Path) -> None:
    edit_weights(checkpoint, **{"model.layers.9.mlp.Wo.weight": torch.zeros(1)})
    assert "no place for" in message(checkpoint, tmp_path)


def test_other_shape(checkpoint: Path, tmp_path: Path) -> None:
    edit_weights(checkpoint, **{"head.norm.weight": torch.zeros(31)})
    assert "has shape (31,), its config.json wants (32,)" in message(checkpoint, tmp_path)


def test_not_a_number(checkpoint: Path, tmp_path: Path) -> None:
    edit_weights(checkpoint, **{"head.norm.weight": torch.full((32,), float("nan"))})
    assert "holds NaN or infinity" in message(checkpoint, tmp_path)


def test_tied_decoder_that_differs(checkpoint: Path, tmp_path: Path) -> None:
    edit_weights(checkpoint, **{"decoder.weight": torch.zeros(384, 32)})
    assert "tie_word_embeddings is true but decoder.weight differs" in message(checkpoint, tmp_path)


def test_tied_decoder_that_only_repeats_is_dropped(checkpoint: Path, tmp_path: Path) -> None:
    embedding = load_file(checkpoint / "model.safetensors")["model.embeddings.tok_embeddings.weight"]
    edit_weights(checkpoint, **{"decoder.weight": embedding.clone()})
    assert "decoder.weight" not in load_file(release_of(checkpoint, tmp_path) / "model.safetensors")


def test_untied_decoder_is_kept(checkpoint: Path, tmp_path: Path) -> None:
    edit_json(checkpoint / "config.json", tie_word_embeddings=False)
    edit_weights(checkpoint, **{"decoder.weight": torch.ones(384, 32)})
    folder = release_of(checkpoint, tmp_path)
    assert torch.equal(load_file(folder / "model.safetensors")["decoder.weight"], torch.ones(384, 32))
    assert torch.equal(ChineseModernBertForMaskedLM.from_pretrained(folder).decoder.weight, torch.ones(384, 32))


def test_sharded_checkpoint_gives_the_same_weights(checkpoint: Path, saved_release: Path, tmp_path: Path) -> None:
    model = ChineseModernBertForMaskedLM.from_pretrained(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="60KB")
    shards = sorted(checkpoint.glob("model-*.safetensors"))
    assert len(shards) > 1
    folder = release_of(checkpoint, tmp_path)
    assert (folder / "model.safetensors").read_bytes() == (saved_release / "model.safetensors").read_bytes()
    shards[0].unlink()
    assert f"lacks the shard {shards[0].name}" in message(checkpoint, tmp_path / "built", FileNotFoundError)


def test_output_that_holds_something_else_is_left_alone(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        message(checkpoint, tmp_path, FileExistsError, overwrite=overwrite)
    assert (tmp_path / "built" / "thesis.txt").read_text() == "years of work"


def test_an_earlier_release_is_replaced_only_when_asked(checkpoint: Path, tmp_path: Path) -> None:
    folder = release_of(checkpoint, tmp_path)
    message(checkpoint, tmp_path, FileExistsError)
    release_of(checkpoint, tmp_path, overwrite=True, dtype="bfloat16")
    assert json.loads((folder / MANIFEST_FILE).read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dtype": "float16"}, "float32, bfloat16"),
        ({"max_length": -1}, "negative"),
        ({"max_length": 129}, "128"),
    ],
)
def test_wrong_options(checkpoint: Path, tmp_path: Path, options: dict[str, object], expected: str) -> None:
    assert expected in message(checkpoint, tmp_path, **options)


def test_output_is_not_the_checkpoint(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="runs/final model"):
        ReleaseArguments(str(checkpoint), str(checkpoint.parent / "new"), base_model="runs/final model")
    with pytest.raises(ValueError, match="is the checkpoint itself"):
        ReleaseArguments(str(checkpoint), str(checkpoint))


@pytest.mark.parametrize("content", ["{", "[]"])
def test_broken_config(checkpoint: Path, tmp_path: Path, content: str) -> None:
    (checkpoint / "config.json").write_text(content)
    assert "config.json" in message(checkpoint, tmp_path)


def test_missing_folder_and_config(checkpoint: Path, tmp_path: Path) -> None:
    assert "is not a folder" in message(tmp_path / "nowhere", tmp_path, FileNotFoundError)
    (checkpoint / "config.json").unlink()
    assert "has no config.json" in message(checkpoint, tmp_path, FileNotFoundError)


def test_a_full_disk_is_one_line_and_leaves_nothing(checkpoint: Path, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
    with pytest.raises(OSError, match=r"model.safetensors could not be written .*No space left.*make room") as caught:
        build_release(ReleaseArguments(str(checkpoint), str(small_disk / "built")))
    assert "\n" not in str(caught.value)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_figures_of_a_tokenizer_are_those_of_its_own_report(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text(
        '{"text": "今天天气很好。"}\n{"text": "這個問題說來話長。"}\n', encoding="utf-8"
    )
    report = tmp_path / "report"
    run_tokenizer_report(TokenizerReportArguments([str(checkpoint)], [str(tmp_path / "text.jsonl")], str(report)))
    figures = json.loads((report / "report.json").read_text(encoding="utf-8"))
    card = (release_of(checkpoint, tmp_path, tokenizer_report=str(report)) / "README.md").read_text(encoding="utf-8")
    density = figures[0]["by_script"]["traditional"]["characters_per_token"]
    assert f"| Traditional | {density:.3f} |" in card and "2 documents of 16 characters" in card
    (report / "report.json").write_text(json.dumps([{**figures[0], "tokenizer_hash": "0" * 64}]))
    shutil.rmtree(tmp_path / "built")
    assert "is not about the released tokenizer" in message(checkpoint, tmp_path, tokenizer_report=str(report))
    missing = str(tmp_path / "nothing")
    assert "is not there" in message(checkpoint, tmp_path, FileNotFoundError, tokenizer_report=missing)
