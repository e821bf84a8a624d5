"""Each kind of key once, in every encoding; and what only looks a little like one. Keys are joined here."""

import random
import string
from pathlib import Path

import pytest

from chinese_modernbert.hub_release.upload.secrets import find_secret

LETTERS = string.ascii_letters + string.digits


def key(length: int, letters: str = LETTERS, seed: int = 0) -> str:
    """Return characters of a key, with a digit."""
    return "".join(random.Random(seed).choices(letters, k=length - 1)) + "7"


SECRETS = {
    "hf" + "_" + key(34): "a token of the Hub",
    "token_hf" + "_" + key(34): "a token of the Hub",
    "api_org" + "_" + key(34): "a token of the Hub",
    "gh" + "p_" + key(36): "a token of GitHub",
    "github" + "_pat_" + key(40): "a token of GitHub",
    "gl" + "pat-" + key(20): "a token of GitLab",
    "sk" + "-" + key(48): "a key of OpenAI or Anthropic",
    "sk" + "-proj-" + key(60): "a key of OpenAI or Anthropic",
    "sk" + "-ant-api03-" + key(60): "a key of OpenAI or Anthropic",
    "AI" + "za" + key(35): "a key of Google",
    "GOC" + "SPX-" + key(28): "a key of Google",
    "xo" + "xb-" + "1234567890-" + key(24): "a token of Slack",
    "https://hooks.slack" + ".com/services/T00000000/B00000000/" + key(24): "a token of Slack",
    "np" + "m_" + key(36): "a token of npm",
    "py" + "pi-" + key(80): "a token of PyPI",
    "wan" + "db_v1_" + key(50): "a key of Weights & Biases",
    "WAN" + "DB_API_KEY=" + key(40, "0123456789abcdef"): "a key of Weights & Biases",
    "sk" + "_live_" + key(24): "a key of Stripe",
    "Account" + "Key=" + key(86): "a key of Azure",
    "AK" + "IA" + "ABCDEFGH12345678": "an access key of AWS",
    "aws" + "_secret_access_key: " + key(40): "a secret key of AWS",
    "ey" + "J" + key(20) + ".ey" + "J" + key(40) + "." + key(40): "a web token",
    "-----BEGIN OPENSSH PRIVATE " + "KEY-----": "a private key",
    "-----BEGIN PGP PRIVATE " + "KEY BLOCK-----": "a private key",
    "postgres://user:" + "s3cret" + "@db.example.org/x": "a password in an address",
    "pass" + 'word: "' + key(16) + '"': "a password",
    "api" + "_key = '" + key(24) + "'": "a password",
}
HARMLESS = (
    "hf_hub_download, hf_token, $HF_TOKEN, xhf_" + "a" * 40,
    "task-" + "a" * 40 + " and disk-" + key(40),
    "hub_token: ${MY_TOKEN}",
    "password: ${DATABASE_PASSWORD_2}",
    "api_key=os.environ['OPENAI_API_KEY_1']",
    "https://example.org:8080/a@b and git@github.com:owner/name",
    "sha256: " + "0123456789abcdef" * 4,
    '"mask_token": "[MASK]", "secret": 42',
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:8])
def test_every_kind_is_named_in_every_encoding(secret: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(f"# 模型\n{secret}\n".encode(encoding))
    assert find_secret(path) == SECRETS[secret]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_secret_passes(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)
    assert find_secret(tmp_path / "README.md") == ""


def test_a_release_and_random_numbers_hold_none(saved_release: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(random.Random(0).randbytes(2**22))
    files = [path for path in saved_release.rglob("*") if path.is_file()]
    assert [path for path in (*files, tmp_path / "model.safetensors") if find_secret(path)] == []
