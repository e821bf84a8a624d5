"""Uploads to a Hub in a thread, with the real client."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from chinese_modernbert import cli
from chinese_modernbert.hub_release import PushArguments, ReleaseArguments, build_release, push_release
from chinese_modernbert.hub_release.manifest import MANIFEST_FILE, release_files
from chinese_modernbert.hub_release.upload import push
from reference.hub_server import Hub, Repository, running_hub

NAME = "someone/model"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with running_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the server speaks the older protocol
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token_here"))
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its tries
        monkeypatch.setenv("HF_TOKEN", hub.token)
        yield hub


def push_quickly(folder: Path, **options: object) -> str:
    values = {"model": str(folder), "repo_id": NAME, "verify": False, **options}
    return push_release(PushArguments(**values))  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in [*release_files(folder), MANIFEST_FILE]}


def arrived(hub: Hub, branch: str = "main") -> dict[str, bytes]:
    return {path: data for path, data in hub.repositories[NAME].branches[branch].items() if path != ".gitattributes"}


def test_every_file_of_a_release_arrives_byte_for_byte_in_a_private_repository(release: Path, hub: Hub) -> None:
    (release / "onnx").mkdir()
    for name in ("onnx/model.onnx", "README.zh-CN.md", "curves.png"):
        (release / name).write_bytes(name.encode() * 1000)
    said = push_quickly(release, tag="v1.0", message="First release")
    assert arrived(hub) == content(release)
    repository = hub.repositories[NAME]
    oid = repository.tags["v1.0"]
    assert (repository.visibility, repository.commits) == ("private", {oid: ("main", "First release")})
    assert said.startswith(f"pushed {len(content(release))} files") and said.endswith(f"{hub.url}/{NAME}")


def test_public_and_another_branch_are_as_asked_for(release: Path, hub: Hub) -> None:
    push_quickly(release, public=True, revision="next")
    assert hub.repositories[NAME].visibility == "public"
    assert arrived(hub) == {}
    assert arrived(hub, "next") == content(release)


def test_a_name_without_owner_is_the_users_own(release: Path, hub: Hub) -> None:
    push_quickly(release, repo_id="model")
    assert set(hub.repositories) == {NAME}


def test_what_a_training_run_leaves_stays_here_and_is_named(
    release: Path, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    expected = content(release)
    left = [
        "optimizer.pt",
        "trainer_state.json",
        "rng_state.pth",
        "notes.txt",
        ".env",
        "checkpoint-9/model.safetensors",
    ]
    (release / "checkpoint-9").mkdir()
    for name in left:
        (release / name).write_text("private")
    with caplog.at_level("INFO"):
        push_quickly(release)
    assert arrived(hub) == expected
    assert all(name in caplog.text for name in left)


def test_a_dry_run_lists_files_and_sizes_and_sends_nothing(release: Path, hub: Hub) -> None:
    (release / "notes.txt").write_text("private")
    lines = push_quickly(release, dry_run=True).splitlines()
    assert hub.requests == []
    sizes = {name: len(data) for name, data in content(release).items() if name != "notes.txt"}
    assert dict(reversed(line.split()) for line in lines[: len(sizes)]) == {k: f"{v:,}" for k, v in sizes.items()}
    assert lines[len(sizes)].split() == ["stays", "here", "notes.txt"]
    assert lines[-2].split() == [f"{sum(sizes.values()):,}", "bytes", "in", str(len(sizes)), "files"]


@pytest.mark.parametrize("place", ["PUT /objects", "/commit/", "/preupload/", "/branch/", "/tag/"])
def test_after_an_interruption_the_same_command_goes_on(release: Path, hub: Hub, place: str) -> None:
    hub.faults = {place: 0}
    with pytest.raises(ConnectionError, match="the same command goes on from here"):
        push_quickly(release, tag="v1", revision="next")
    hub.faults = {}
    push_quickly(release, tag="v1", revision="next")
    assert arrived(hub, "next") == content(release)
    assert list(hub.repositories[NAME].tags) == ["v1"]


def test_what_has_arrived_is_not_sent_again(release: Path, hub: Hub) -> None:
    hub.faults = {"/commit/": 503}
    with pytest.raises(ConnectionError, match="the Hub answered 503"):
        push_quickly(release)
    hub.faults, hub.requests[:] = {}, []
    push_quickly(release)
    assert not [request for request in hub.requests if request.startswith("PUT")]
    assert arrived(hub) == content(release)


def test_a_new_release_takes_the_old_weights_and_graphs_away(release: Path, hub: Hub) -> None:
    (release / "onnx").mkdir()
    (release / "onnx" / "model.onnx").write_bytes(b"of the old weights")
    push_quickly(release)
    hub.repositories[NAME].branches["main"]["discussion.md"] = b"written on the Hub"
    (release / "onnx" / "model.onnx").unlink()
    push_quickly(release)
    assert arrived(hub) == {**content(release), "discussion.md": b"written on the Hub"}


def test_a_new_release_takes_the_records_of_the_old_weights_away(release: Path, hub: Hub) -> None:
    """The card says that they are not recorded."""
    push_quickly(release)
    for name in ("recipe.yaml", "masking.yaml", "training_provenance.json", "training_curves.png"):
        hub.repositories[NAME].branches["main"][name] = b"of the old weights"
    push_quickly(release)
    assert arrived(hub) == content(release)


def test_a_release_of_another_kind_takes_the_modules_of_the_old_one_away(
    release: Path, saved_checkpoint: Path, tmp_path: Path, hub: Hub
) -> None:
    push_quickly(release)
    assert "1_Pooling/config.json" in arrived(hub)
    sparse = build_release(ReleaseArguments(str(saved_checkpoint), str(tmp_path / "sparse"), pooling="splade"))
    push_quickly(sparse)
    assert arrived(hub) == content(sparse) and "1_SpladePooling/config.json" in arrived(hub)


def test_other_content_is_not_written_over_unless_asked(release: Path, hub: Hub) -> None:
    hub.repositories[NAME] = Repository("private", {"main": {"thesis.tex": b"years of work"}})
    with pytest.raises(FileExistsError, match="exists and holds no release"):
        push_quickly(release)
    assert arrived(hub) == {"thesis.tex": b"years of work"}
    push_quickly(release, overwrite=True)
    assert arrived(hub) == {**content(release), "thesis.tex": b"years of work"}


@pytest.mark.parametrize(
    ("now", "public", "expected"), [("public", False, "add --public"), ("private", True, "leave out")]
)
def test_a_repository_of_other_visibility_is_refused(
    release: Path, hub: Hub, now: str, public: bool, expected: str
) -> None:
    hub.repositories[NAME] = Repository(now)
    with pytest.raises(FileExistsError, match=expected):
        push_quickly(release, public=public)
    assert arrived(hub) == {}


def test_a_tag_that_exists_is_refused_before_anything_is_sent(release: Path, hub: Hub) -> None:
    push_quickly(release, tag="v1")
    hub.requests.clear()
    with pytest.raises(FileExistsError, match="has the tag v1 already"):
        push_quickly(release, tag="v1")
    assert {request.split()[0] for request in hub.requests} == {"GET"}


@pytest.mark.parametrize(
    ("place", "status", "error", "expected"),
    [
        ("whoami", 401, PermissionError, "hf auth login"),
        ("repos/create", 403, PermissionError, "write rights"),
        ("/commit/", 403, PermissionError, "write rights"),
        ("PUT /objects", 413, ConnectionError, "no files of this size"),
        ("/commit/", 429, ConnectionError, "wait some minutes"),
        ("whoami", 0, ConnectionError, "no answer from http://127.0.0.1"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(
    release: Path, hub: Hub, place: str, status: int, error: type[Exception], expected: str
) -> None:
    hub.faults = {place: status}
    with pytest.raises(error, match=expected) as raised:
        push_quickly(release)
    assert "\n" not in str(raised.value) and hub.token not in str(raised.value)


def test_without_a_token_nothing_is_asked(release: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.hf_api, "get_token", lambda: None)
    with pytest.raises(PermissionError, match="no token of the Hub"):
        push_quickly(release)
    assert hub.requests == []


def test_a_release_that_fails_its_verification_is_not_sent(release: Path, hub: Hub) -> None:
    (release / "extra_chinese_modernbert.py").write_text("")  # so that verification ends before it starts a process
    with pytest.raises(ValueError, match=r"fails its verification.*extra_chinese_modernbert.py is none of them"):
        push_quickly(release, verify=True)
    assert not any(request.startswith(("POST", "PUT")) for request in hub.requests)


def test_the_verification_runs_unless_it_is_switched_off(
    release: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(folder: str) -> None:
        raise ValueError(f"verified {folder}")

    monkeypatch.setattr(push, "verify_release", never)
    for dry_run in (True, False):
        with pytest.raises(ValueError, match="verified"):
            push_quickly(release, verify=True, dry_run=dry_run)
    push_quickly(release)


def test_the_command_takes_the_folder_first_and_ends_with_the_address(
    release: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["push", str(release), "--repo_id", NAME, "--no_verify"]) == 0
    assert capsys.readouterr().out.endswith(f"{hub.url}/{NAME}\n")
    hub.faults = {"whoami": 401}
    assert cli.main(["push", "--repo_id", NAME, "--no_verify", "--model", str(release)]) == 2
    assert capsys.readouterr().err.count("chinese-modernbert: error:") == 1


@pytest.mark.parametrize("name", ["", "a/b/c", "two words", "owner/.git"])
def test_names_that_the_hub_does_not_allow(name: str) -> None:
    with pytest.raises(ValueError, match="[Rr]epo"):
        PushArguments("release", name)
