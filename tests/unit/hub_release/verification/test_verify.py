"""The checks that need no process; what the fresh process finds is in tests/end_to_end/test_release.py."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chinese_modernbert.hub_release import Check, VerificationReport, verify_release
from chinese_modernbert.hub_release.manifest import INSTALLED
from chinese_modernbert.hub_release.verification.verify import _static_checks


def faults(folder: Path) -> dict[str, str]:
    return {check.name: check.detail for check in _static_checks(folder) if check.outcome == "fail"}


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_untouched_release_has_no_fault(release: Path) -> None:
    assert faults(release) == {}


def test_files_that_came_later_are_no_fault(release: Path) -> None:
    (release / "README.zh-CN.md").write_text("later")
    (release / ".gitattributes").write_text("*.onnx filter=lfs\n")
    assert faults(release) == {}


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "1_Pooling/config.json", "README.md", "layout_chinese_modernbert.py"]
)
def test_a_lost_file_is_named(name: str, release: Path) -> None:
    (release / name).unlink()
    found = faults(release)
    assert f"{name} is missing" in found["every file is there"]
    assert f"{name} is missing" in found["files are as built"]


def test_a_changed_file_is_named(release: Path) -> None:
    edit(release, "tokenizer.json", '"[CLS]"', '"[ABC]"')
    assert faults(release) == {"files are as built": "tokenizer.json was changed after the build"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{}", "no files"), ('{"files": {}}', "no files")],
)
def test_a_manifest_that_names_nothing_is_a_fault(text: str, expected: str, release: Path) -> None:
    (release / "release_manifest.json").write_text(text)
    assert expected in faults(release)["files are as built"]


def test_changed_code_is_named(release: Path) -> None:
    edit(release, "heads_chinese_modernbert.py", "dim=1", "dim=0")
    expected = f"heads_chinese_modernbert.py differs from version {INSTALLED}"
    assert faults(release)["modeling files are this library's"] == expected


def test_a_missing_auto_class_is_named(release: Path) -> None:
    values = json.loads((release / "config.json").read_text())
    del values["auto_map"]["AutoModel"]
    (release / "config.json").write_text(json.dumps(values))
    assert faults(release)["auto_map is complete"].startswith("AutoModel is None")


def test_a_python_file_that_is_none_of_ours_is_named(release: Path) -> None:
    """Its name alone is one that a file of ours may have."""
    (release / "setup_chinese_modernbert.py").write_text("")
    assert faults(release) == {"modeling files are this library's": "setup_chinese_modernbert.py is none of them"}


def test_a_graph_without_a_record_is_named(release: Path) -> None:
    (release / "onnx").mkdir()
    (release / "onnx" / "model.onnx").write_bytes(b"garbage")
    assert faults(release) == {"ONNX graphs are on record": "onnx/model.onnx is not in onnx/export.json"}


def test_a_broken_record_of_graphs_is_a_fault(release: Path) -> None:
    (release / "onnx").mkdir()
    (release / "onnx" / "export.json").write_text('{"files": [{}]}')
    assert "export again" in faults(release)["ONNX graphs are on record"]


def test_a_folder_that_is_no_release_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        verify_release(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        verify_release(tmp_path / "nowhere")


def test_broken_weights_of_the_release_are_a_failed_check(release: Path) -> None:
    (release / "model.safetensors").write_bytes(b"half")
    report = verify_release(release)
    assert "model.safetensors: is not a whole safetensors file" in report.summary()
    assert not report.is_ok


def test_a_broken_checkpoint_is_an_error_and_no_verdict(release: Path, checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="only safetensors"):
        verify_release(release, checkpoint)


def test_condemned_code_is_not_run(release: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it_ran"
    with (release / "modeling_chinese_modernbert.py").open("a", encoding="utf-8") as stream:
        stream.write(f"\nimport pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    last = verify_release(release).checks[-1]
    assert not mark.exists()
    assert (last.name, last.outcome) == ("isolated process", "skip")
    assert last.detail == "not run: modeling files are this library's failed"


def make_report(*outcomes: str) -> VerificationReport:
    return VerificationReport(Path("release"), tuple(Check(f"check {kind}", kind, "why") for kind in outcomes))


@pytest.mark.parametrize(
    ("outcomes", "expected"), [(("pass", "skip"), True), (("pass", "fail", "skip"), False), (("fail",), False)]
)
def test_a_skipped_check_neither_passes_nor_fails(outcomes: tuple[str, ...], expected: bool) -> None:
    assert make_report(*outcomes).is_ok is expected


def test_the_summary_has_a_line_for_each_check_and_the_counts() -> None:
    lines = make_report("pass", "fail", "skip").summary().split("\n")
    assert lines[:3] == ["pass  check pass: why", "fail  check fail: why", "skip  check skip: why"]
    assert lines[3] == "1 passed, 1 failed, 1 skipped: release"


def test_every_static_check_can_fail(release: Path) -> None:
    damages: list[Callable[[], None]] = [
        lambda: (release / "LICENSE").unlink(),
        lambda: edit(release, "heads_chinese_modernbert.py", "import torch\n", "import torch\nimport os\n"),
        lambda: edit(release, "config.json", '"AutoModel": "modeling_chinese_modernbert.ChineseModernBertModel",', ""),
        lambda: edit(release, "config.json", '"global_attn_every_n_layers": 3', '"global_attn_every_n_layers": 2'),
        lambda: (release / "onnx").mkdir(),
        lambda: (release / "onnx" / "model.onnx").touch(),
    ]
    names = {check.name for check in _static_checks(release)}
    for damage in damages:
        damage()
    failed = set(faults(release))
    (release / "weights.bin").write_bytes(b"")
    edit(release, "modules.json", "sentence_transformers.models.Pooling", "elsewhere.Pooling")
    assert failed | set(faults(release)) == names
