"""Releases that Transformers' own ModernBERT loads, with the numbers of ours; and those that it must not load."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoConfig, AutoTokenizer, ModernBertForMaskedLM

from chinese_modernbert import modeling
from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.hub_release.manifest import MANIFEST_FILE
from chinese_modernbert.hub_release.native_form import NATIVE_TOLERANCES, native_class_name
from chinese_modernbert.hub_release.verification.probes import AUTO_CLASSES
from chinese_modernbert.modeling import ChineseModernBertForMaskedLM, ChineseModernBertModel
from reference.tiny_checkpoint import VOCABULARY, write_tiny_checkpoint

HEADS = [name for name in AUTO_CLASSES if hasattr(transformers, native_class_name(name)) and "For" in name]
OLD_FORM, NATIVE_FORM = "chinese_modernbert", "modernbert"


def release_of(checkpoint: Path, output: Path, **options: Any) -> Path:
    return build_release(ReleaseArguments(str(checkpoint), str(output), **options))


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def native_summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["native_form"]


def numbers(model: Any) -> torch.Tensor:
    """What a model says about two texts beyond the window, at real tokens alone."""
    ids = torch.randint(5, VOCABULARY, (2, 100), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 60:] = 0
    if type(model).__name__.endswith("MultipleChoice"):
        ids, mask = ids.unsqueeze(0), mask.unsqueeze(0)
    with torch.no_grad():
        outputs = model.eval()(input_ids=ids, attention_mask=mask)
    first = outputs[0]
    return first[mask.bool()] if first.shape[:2] == mask.shape else first


@pytest.mark.parametrize("head", ["ChineseModernBertModel", *HEADS])
def test_every_class_loads_natively_with_equal_numbers(head: str, checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    labels = {} if head in ("ChineseModernBertModel", "ChineseModernBertForMaskedLM") else {"problem_type": None}
    if head.endswith("Classification"):
        labels = {"id2label": {0: "好", 1: "坏", 2: "无"}, "label2id": {"好": 0, "坏": 1, "无": 2}}
    model = getattr(modeling, head).from_pretrained(checkpoint, **labels)
    model.save_pretrained(checkpoint)
    folder = release_of(checkpoint, tmp_path / "release")
    assert config_of(folder)["model_type"] == NATIVE_FORM
    assert config_of(folder)["architectures"] == [native_class_name(head)]
    native = getattr(transformers, AUTO_CLASSES[head]).from_pretrained(folder)  # not a word about trust
    assert type(native) is getattr(transformers, native_class_name(head))
    torch.testing.assert_close(numbers(native), numbers(model), atol=1e-5, rtol=1e-4)
    ours = getattr(modeling, head).from_pretrained(folder)
    torch.testing.assert_close(numbers(ours), numbers(native), atol=1e-5, rtol=1e-4)
    for name in ("id2label", "label2id", "problem_type", "num_labels", "classifier_pooling"):
        assert getattr(native.config, name) == getattr(ours.config, name) == getattr(model.config, name)


def test_neither_config_nor_tokenizer_asks_a_question(
    saved_release: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked for trust"))
    assert type(AutoConfig.from_pretrained(saved_release)) is transformers.ModernBertConfig
    assert AutoTokenizer.from_pretrained(saved_release)("北京").input_ids
    with caplog.at_level(logging.WARNING):
        modeling.ChineseModernBertConfig.from_pretrained(saved_release)
    assert not caplog.records


def test_the_difference_is_measured_and_written_down(saved_release: Path) -> None:
    summary = native_summary(saved_release)
    assert summary["loads_without_trust"] is True and 0 <= summary["difference"] < NATIVE_TOLERANCES["float32"]


def spoil(checkpoint: Path) -> None:
    """Do what a Trainer without the callback does."""
    model = ChineseModernBertForMaskedLM.from_pretrained(checkpoint)
    with torch.no_grad():
        model.model.layers[1].mlp.Wo.weight.add_(0.05)
    model.save_pretrained(checkpoint)


def test_weights_that_lost_the_property_keep_the_old_form_and_it_says_so(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(checkpoint)
    expected = numbers(ChineseModernBertForMaskedLM.from_pretrained(checkpoint))
    folder = release_of(checkpoint, tmp_path / "release")
    assert config_of(folder)["model_type"] == OLD_FORM
    assert "the release loads with its own code alone: Transformers' own class gives other numbers" in caplog.text
    summary, card = native_summary(folder), (folder / "README.md").read_text(encoding="utf-8")
    assert summary["loads_without_trust"] is False and summary["difference"] > 1e-3
    assert "It does not load as Transformers' own ModernBERT: Transformers' own class gives other numbers" in card
    assert "trust_remote_code=True" in card
    torch.testing.assert_close(numbers(ChineseModernBertForMaskedLM.from_pretrained(folder)), expected)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"zero_mean_residual": False}, "RMSNorm is LayerNorm only on a residual stream of mean zero"),
        ({"norm_type": "layernorm", "layer_types": ["sliding_attention"] * 4}, "layer_types is not 'every n-th"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0}}},
            "rope_type='linear' is read by Transformers 5 alone",
        ),
    ],
)
def test_what_other_readers_would_get_wrong_keeps_the_old_form(
    fields: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = release_of(write_tiny_checkpoint(tmp_path / "checkpoint", **fields), tmp_path / "release")
    assert config_of(folder)["model_type"] == OLD_FORM
    assert reason in native_summary(folder)["reason"]


def test_a_setting_that_the_native_class_does_not_know_keeps_the_old_form(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is none today; a field that is added without thought of the native class must not pass."""
    from chinese_modernbert.hub_release import native_form

    known = native_form.inspect.signature

    def without_pooling(thing: Any) -> Any:
        found = known(thing)
        if thing is transformers.ModernBertConfig:
            kept = [one for name, one in found.parameters.items() if name != "classifier_pooling"]
            return found.replace(parameters=kept)
        return found

    monkeypatch.setattr(native_form.inspect, "signature", without_pooling)
    values = config_of(checkpoint)
    pooling = "cls" if values["classifier_pooling"] == "mean" else "mean"
    (checkpoint / "config.json").write_text(json.dumps({**values, "classifier_pooling": pooling}), encoding="utf-8")
    folder = release_of(checkpoint, tmp_path / "release")
    assert config_of(folder)["model_type"] == OLD_FORM
    assert native_summary(folder)["reason"].startswith(f"classifier_pooling={pooling!r} is unknown")


@pytest.mark.parametrize("fields", [{}, {"norm_type": "layernorm", "norm_bias": True}], ids=["rmsnorm", "layernorm"])
def test_bfloat16_has_the_native_form_too(fields: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", **fields)
    folder = release_of(checkpoint, tmp_path / "release", dtype="bfloat16")
    assert config_of(folder)["model_type"] == NATIVE_FORM
    both = [kind.from_pretrained(folder).float() for kind in (ModernBertForMaskedLM, ChineseModernBertForMaskedLM)]
    torch.testing.assert_close(numbers(both[0]), numbers(both[1]), atol=1e-5, rtol=1e-4)


def test_who_trains_natively_and_comes_back_gets_the_same_numbers(saved_release: Path, tmp_path: Path) -> None:
    """The native class drops nothing of our fields when it saves; its weights need no mean of zero any more."""
    native = ModernBertForMaskedLM.from_pretrained(saved_release)
    with torch.no_grad():
        for parameter in native.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) + 0.02)
    native.save_pretrained(tmp_path / "tuned")
    ours = ChineseModernBertForMaskedLM.from_pretrained(tmp_path / "tuned")
    torch.testing.assert_close(numbers(ours), numbers(native), atol=1e-4, rtol=1e-4)
    AutoTokenizer.from_pretrained(saved_release).save_pretrained(tmp_path / "tuned")
    again = release_of(tmp_path / "tuned", tmp_path / "again")
    assert config_of(again)["model_type"] == NATIVE_FORM
    torch.testing.assert_close(numbers(ModernBertForMaskedLM.from_pretrained(again)), numbers(native))


def test_a_sentence_encoder_keeps_pooling_length_and_prompts(saved_release: Path, tmp_path: Path) -> None:
    encoder = SentenceTransformer(str(saved_release), device="cpu", prompts={"query": "北京"})
    encoder[1].pooling_mode = "cls"
    encoder.max_seq_length = 64
    encoder.save_pretrained(str(tmp_path / "encoder"))
    folder = release_of(tmp_path / "encoder", tmp_path / "release")
    assert config_of(folder)["architectures"] == ["ModernBertModel"]
    texts = ["今天天气很好。", "北京是中国的首都。" * 20]
    expected = SentenceTransformer(str(tmp_path / "encoder"), device="cpu").encode(texts, prompt_name="query")
    given = SentenceTransformer(str(folder), device="cpu")
    assert given.max_seq_length == 64
    torch.testing.assert_close(
        torch.from_numpy(given.encode(texts, prompt_name="query")), torch.from_numpy(expected), atol=1e-5, rtol=1e-4
    )
    assert "pipeline_tag: sentence-similarity" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_reranker_gives_its_scores_natively(saved_release: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reranker = CrossEncoder(str(saved_release), num_labels=1, device="cpu")
    reranker.save_pretrained(str(tmp_path / "reranker"))
    folder = release_of(tmp_path / "reranker", tmp_path / "release")
    pairs = [("今天天气", "今天天气很好。"), ("北京", "他喜欢读书。")]
    expected = torch.from_numpy(reranker.predict(pairs))
    torch.testing.assert_close(torch.from_numpy(CrossEncoder(str(folder), device="cpu").predict(pairs)), expected)
    assert not (folder / "modules.json").exists()
    assert "pipeline_tag: text-ranking" in (folder / "README.md").read_text(encoding="utf-8")
    settings = tmp_path / "reranker" / "config_sentence_transformers.json"
    values = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps({**values, "activation_fn": "torch.nn.modules.linear.Identity"}), encoding="utf-8")
    with pytest.raises(ValueError, match="sends scores through torch.nn.modules.linear.Identity"):
        release_of(tmp_path / "reranker", tmp_path / "other")
    settings.write_text(json.dumps({**values, "prompts": {"query": "问："}}), encoding="utf-8")
    with pytest.raises(ValueError, match="sets the prompts .*'问：'.*, which the release of a reranker does not hold"):
        release_of(tmp_path / "reranker", tmp_path / "other")


@pytest.mark.parametrize(("name", "value"), [("normalize", True), ("max_length", 64)])
def test_options_of_sentence_encoders_are_refused_for_a_classifier(
    name: str, value: Any, checkpoint: Path, tmp_path: Path
) -> None:
    modeling.ChineseModernBertForTokenClassification.from_pretrained(checkpoint).save_pretrained(checkpoint)
    with pytest.raises(ValueError, match=f"{name} is about sentence embeddings"):
        release_of(checkpoint, tmp_path / "release", **{name: value})


def test_modules_that_a_release_does_not_hold_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    rows = [
        {"type": f"sentence_transformers.models.{kind}", "path": ""} for kind in ("Transformer", "Pooling", "Dense")
    ]
    (checkpoint / "modules.json").write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(ValueError, match="has the modules Transformer, Pooling, Dense; a release holds"):
        release_of(checkpoint, tmp_path / "release")


def test_ours_reads_the_encoder_of_a_native_release_of_any_head(checkpoint: Path, tmp_path: Path) -> None:
    modeling.ChineseModernBertForSequenceClassification.from_pretrained(checkpoint).save_pretrained(checkpoint)
    folder = release_of(checkpoint, tmp_path / "release")
    expected = numbers(ChineseModernBertModel.from_pretrained(checkpoint))
    torch.testing.assert_close(numbers(ChineseModernBertModel.from_pretrained(folder)), expected, atol=1e-5, rtol=1e-4)


def edit(path: Path, **values: Any) -> None:
    given = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**given, **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "values", "expected"),
    [
        ("1_Pooling/config.json", {"include_prompt": False}, "sets include_prompt=False"),
        ("config_sentence_transformers.json", {"truncate_dim": 16}, "sets truncate_dim=16"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "mine"}, "sets similarity_fn_name='mine'"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "sets do_lower_case=True"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pools by"),
    ],
)
def test_settings_of_an_encoder_that_would_be_lost_are_refused(
    file: str, values: dict[str, Any], expected: str, release: Path, tmp_path: Path
) -> None:
    edit(release / file, **values)
    with pytest.raises(ValueError, match=expected):
        release_of(release, tmp_path / "again")


def test_the_similarity_of_an_encoder_is_kept(release: Path, tmp_path: Path) -> None:
    edit(release / "config_sentence_transformers.json", similarity_fn_name="dot")
    folder = release_of(release, tmp_path / "again")
    assert SentenceTransformer(str(folder), device="cpu").similarity_fn_name == "dot"


def test_a_path_that_leaves_the_folder_is_not_followed(release: Path, tmp_path: Path) -> None:
    rows = json.loads((release / "modules.json").read_text(encoding="utf-8"))
    rows[1]["path"] = "../elsewhere"
    (release / "modules.json").write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(ValueError, match=r"names the folder '\.\./elsewhere', a plain name is needed"):
        release_of(release, tmp_path / "again")


def test_half_of_a_span_classifier_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    from chinese_modernbert.hub_release.sentence_modules import SPAN_HEAD_FILE
    from chinese_modernbert.trainers.clue.models import HEAD_FILE

    assert SPAN_HEAD_FILE == HEAD_FILE
    (checkpoint / HEAD_FILE).write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds span_head.safetensors, a head that no Auto class loads"):
        release_of(checkpoint, tmp_path / "release")
