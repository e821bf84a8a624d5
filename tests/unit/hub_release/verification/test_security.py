"""Each thing that a release must not do or hold is put into one once, and named."""

import json
import pickle
from pathlib import Path

import pytest

from chinese_modernbert.hub_release.verification.security import kind_faults, outside_code_faults
from chinese_modernbert.hub_release.verification.verify import _static_checks


def security_faults(folder: Path) -> dict[str, str]:
    checks = [check for check in _static_checks(folder) if check.name.startswith("security")]
    assert len(checks) == 2
    return {check.name: check.detail for check in checks if check.outcome == "fail"}


def test_a_release_as_built_has_no_fault(release: Path) -> None:
    assert security_faults(release) == {}
    assert any(release.rglob("*.py"))


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "weights.pt", "1_Pooling/head.pkl", "kernel.so", "code.zip", "run.sh", "model"]
)
def test_a_pickle_an_archive_or_a_binary_is_named(name: str, release: Path) -> None:
    (release / name).write_bytes(pickle.dumps({"weight": 1}))
    detail = security_faults(release)["security: no pickles, archives or binaries"]
    assert detail == f"{name} is of a kind that a release does not hold"


def test_what_git_and_the_hub_client_keep_is_no_fault(release: Path) -> None:
    for name in (".gitattributes", ".cache/huggingface/download.lock", "__pycache__/heads.pyc"):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_bytes(b"x")
    assert kind_faults(release) == []


def test_the_parts_of_a_graph_are_no_fault(release: Path) -> None:
    (release / "onnx").mkdir()
    for name in ("model.onnx", "model.onnx_data", "model.onnx.data"):
        (release / "onnx" / name).write_bytes(b"x")
    assert kind_faults(release) == []


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_settings_that_take_code_from_elsewhere_are_named(release: Path) -> None:
    edit_json(release / "config.json", auto_map={"AutoModel": "owner/name--modeling.Model"})
    edit_json(release / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "tokenization.Tokenizer"]})
    (release / "modules.json").write_text(json.dumps([{"idx": 0, "path": "", "type": "stolen.Transformer"}]))
    detail = security_faults(release)["security: no code from elsewhere"]
    assert "auto_map takes AutoModel from owner/name--modeling.Model" in detail
    assert "tokenizer_config.json sets auto_map to {'AutoTokenizer'" in detail
    assert "modules.json imports stolen.Transformer" in detail
    (release / "modules.json").write_text("{}")
    assert "holds no list of JSON objects" in "; ".join(outside_code_faults(release))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("config.json", {"auto_map": "evil/repo--modeling.Model"}),
        ("config.json", {"attn_implementation": "evil/kernel"}),
        ("config.json", {"_attn_implementation": "evil/kernel"}),
        ("config.json", {"experts_implementation": "evil/kernel"}),
        ("config.json", {"custom_pipelines": {"fill-mask": {"impl": "evil/repo--pipe.Pipe"}}}),
        ("sentence_bert_config.json", {"model_args": {"attn_implementation": "evil/kernel"}}),
        ("adapter_config.json", {"base_model_name_or_path": "evil/repo"}),
        ("2_Dense/config.json", {"activation_function": "evil.module.Thing"}),
        (".hidden/config.json", [{"auto_map": {"AutoModel": "evil/repo--modeling.Model"}}]),
    ],
)
def test_a_setting_that_leads_to_code_is_named_in_every_file(release: Path, name: str, values: object) -> None:
    path = release / name
    path.parent.mkdir(exist_ok=True)
    if path.exists() and isinstance(values, dict):
        edit_json(path, **values)
    else:
        path.write_text(json.dumps(values))
    assert f"{name} sets " in security_faults(release)["security: no code from elsewhere"]


def test_only_the_modules_that_the_builder_writes_are_allowed(release: Path) -> None:
    kinds = ["sentence_transformers.models.Transformer", "sentence_transformers.models.Dense"]
    (release / "modules.json").write_text(json.dumps([{"idx": 0, "path": "", "type": kind} for kind in kinds]))
    assert outside_code_faults(release) == ["modules.json imports sentence_transformers.models.Dense"]


def test_words_of_the_tokenizer_and_records_of_a_run_are_no_settings(release: Path) -> None:
    for name in ("tokenizer.json", "training_provenance.json"):
        (release / name).write_text('{"auto_map": 5}')
    assert outside_code_faults(release) == []
