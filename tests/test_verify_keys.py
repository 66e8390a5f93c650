"""Files of SSH keys that cannot be what they are given as: told in words before ssh-keygen is asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from auditor.errors import AuditError, ConfigError
from auditor.verification import keys

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not on this machine")


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private key, its public half beside it, and no SSH agent."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = tmp_path / "ada"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return key


def test_a_private_key_signs_and_a_public_half_does_where_the_private_one_lies_beside_it(pair: Path) -> None:
    keys.check_private(pair)
    keys.check_private(pair.with_suffix(".pub"))
    pair.unlink()
    with pytest.raises(
        AuditError, match=r"ada\.pub: found the public half of a key; allowed: the private half, which ssh-keygen wrote as ada$"
    ):
        keys.check_private(pair.with_suffix(".pub"))


def test_a_public_half_under_a_name_of_its_own_has_nothing_beside_it(pair: Path) -> None:
    (other := pair.with_name("key")).write_bytes(pair.with_suffix(".pub").read_bytes())
    with pytest.raises(AuditError, match="found the public half of a key"):
        keys.check_private(other)


def test_an_agent_may_hold_the_private_half(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.unlink()
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    keys.check_private(pair.with_suffix(".pub"))
    said = keys.why_not(pair.with_suffix(".pub"), b"No private key found for ada.pub\n")
    assert said == "it is the public half of a key, and neither a file beside it nor the SSH agent has the private half"


def test_a_key_that_others_can_read_is_named_with_the_command_that_mends_it(pair: Path) -> None:
    pair.chmod(0o644)
    pair.with_suffix(".pub").unlink()
    done = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "x", "-f", str(pair)], input=b"x", capture_output=True, check=False
    )
    assert done.returncode
    assert keys.why_not(pair, done.stderr) == f"others can read it; chmod 600 {pair}"


def test_the_names_of_those_who_may_sign_are_read(pair: Path, tmp_path: Path) -> None:
    public = pair.with_suffix(".pub").read_text().strip()
    (allowed := tmp_path / "allowed").write_text(
        f"# whom we believe\n\nada@example.org,*@here.org {public}\n"
        f'eve@example.org namespaces="auditor-report,file",valid-after="20240101" {public}\n"bob" cert-authority {public}\n'
    )
    assert keys.names_in(allowed) == ["ada@example.org", "*@here.org", "eve@example.org", "bob"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PUBLIC", 'allowed:1: found a public key without a name before it; allowed: who it belongs to, as in echo "ada@example.org $(cat ALLOWED)" > allowed_signers'),
        ("# ada\nada@example.org\n", "allowed:2: found 'ada@example.org'; allowed: a name and a public key, as in ada@example.org ssh-ed25519 AAAA..."),
        ("PRIVATE", "allowed:1: found a private key; allowed: a name and a public key"),
        ("\n# nobody\n", "allowed: names nobody; allowed: a line per person"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_those_who_may_sign_is_told(text: str, expected: str, pair: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text({"PUBLIC": pair.with_suffix(".pub").read_text(), "PRIVATE": pair.read_text()}.get(text, text))
    with pytest.raises(ConfigError) as caught:
        keys.names_in(allowed)
    assert expected.replace("ALLOWED", str(allowed)) in str(caught.value)
