from pathlib import Path

from chinese_modernbert.runtime.files import model_fingerprint


def test_a_fingerprint_follows_weights_and_config_and_not_the_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "config.json").write_text("{}")
    first, second = (model_fingerprint(tmp_path / name) for name in ("one", "two"))
    assert first.split()[0] == "one" and first.split()[1] == second.split()[1]
    (tmp_path / "two" / "config.json").write_text('{"norm_type": "layernorm"}')
    assert model_fingerprint(tmp_path / "two").split()[1] != first.split()[1]
    (tmp_path / "one" / "model.safetensors").write_bytes(b"Weights")
    assert model_fingerprint(tmp_path / "one") != first


def test_a_name_on_the_hub_comes_back_as_it_is() -> None:
    assert model_fingerprint("owner/name") == "owner/name"
