import json
from pathlib import Path

import pytest

from chinese_modernbert.hub_release.manifest import MANIFEST_FILE, release_files
from chinese_modernbert.hub_release.upload.plan import plan_push

TOKEN = "hf" + "_" + "a1B2" * 9  # in two parts, so that this file holds none


def refusal(folder: Path, error: type[Exception] = ValueError) -> str:
    with pytest.raises(error) as raised:
        plan_push(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_plan_holds_all_that_the_builder_writes(saved_release: Path) -> None:
    plan = plan_push(saved_release)
    assert set(plan.sizes) == {*release_files(saved_release), MANIFEST_FILE}
    assert plan.left_out == ()
    assert plan.total == sum((saved_release / name).stat().st_size for name in plan.sizes)


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("onnx/model.onnx", True),
        ("onnx/model_int8.onnx", True),
        ("onnx/model.onnx_data", False),
        ("README.zh-CN.md", True),
        ("curves.png", True),
        ("pictures/curves.png", False),
        ("optimizer.pt", False),
        ("trainer_state.json", False),
        ("training_args.bin", False),
        ("model.onnx", False),
        ("notes.md", False),
        ("onnx/export.py", False),
        (".secret/x.png", False),
        ("pictures/.x.png", False),
        ("onnx/.hidden/model.onnx", False),
    ],
)
def test_what_comes_later_goes_only_if_it_belongs_to_a_release(release: Path, name: str, goes: bool) -> None:
    (release / name).parent.mkdir(parents=True, exist_ok=True)
    (release / name).write_text("x")
    plan = plan_push(release)
    assert (name in plan.sizes, name in plan.left_out) == (goes, not goes)


def test_a_folder_that_is_no_release(checkpoint: Path, tmp_path: Path) -> None:
    assert "is no release" in refusal(checkpoint)
    assert "is not a folder" in refusal(tmp_path / "nowhere", FileNotFoundError)
    (checkpoint / MANIFEST_FILE).write_text('{"files": {}}')
    assert "names no files" in refusal(checkpoint)


def test_a_lost_file_is_named(release: Path) -> None:
    (release / "LICENSE").unlink()
    assert "lacks LICENSE" in refusal(release, FileNotFoundError)


@pytest.mark.parametrize("name", ["optimizer.pt", ".secret/x.png", "../x.png"])
def test_a_manifest_that_names_what_no_release_holds(release: Path, name: str) -> None:
    manifest = json.loads((release / MANIFEST_FILE).read_text())
    manifest["files"][name] = "0"
    (release / MANIFEST_FILE).write_text(json.dumps(manifest))
    (release / name).parent.mkdir(exist_ok=True)
    (release / name).write_text("x")
    assert f"names {name}, which no release holds" in refusal(release)


@pytest.mark.parametrize("name", ["README.md", "model.safetensors", "config.json", "README.zh-CN.md"])
def test_a_secret_in_any_file_stops_the_push_and_is_not_repeated(release: Path, name: str) -> None:
    with (release / name).open("ab") as stream:
        stream.write(f"\nkey={TOKEN}\n".encode())
    said = refusal(release)
    assert name in said and "a token of the Hub" in said and TOKEN not in said


def test_an_empty_file_passes(release: Path) -> None:
    (release / "README.zh-CN.md").write_text("")
    assert plan_push(release).sizes["README.zh-CN.md"] == 0


@pytest.mark.parametrize("name", ["curves.png", "notes.txt", "onnx"])
def test_a_link_that_leaves_the_folder_is_refused(release: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    target = tmp_path / "outside" / ("" if name == "onnx" else "secret")
    (release / name).symlink_to(target)
    assert "outside of the release" in refusal(release)


def test_a_link_inside_the_folder_and_a_link_to_the_folder_pass(release: Path, tmp_path: Path) -> None:
    (release / "README.zh-CN.md").symlink_to("README.md")
    (tmp_path / "link").symlink_to(release)
    assert "README.zh-CN.md" in plan_push(tmp_path / "link").sizes
