"""Level 1 of `auditor verify`, and `auditor sign`: are these the files, and who vouches for them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.cli import main
from auditor.verification import files, signature

FILES = {
    "report.html": "<p>AUROC 0.81</p>\n",
    "results.json": '{"schema_version": 1}\n',
    "cases/performance.csv": "split,model,image,patient,class,label,logit\r\naudited,a,b,c,Mass,1,0.25\r\n",
    "audit.yaml": "title: T\n",
}
needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not on this machine")


def listed(bundle: Path) -> None:
    """Write manifest.json and SHA256SUMS for whatever lies in the bundle, as its maker would."""
    names = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())
    names = [name for name in names if name not in (files.SUMS, files.SIGNATURE, files.MANIFEST)]
    digests = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in names}
    (bundle / files.MANIFEST).write_text(json.dumps({"files": {name: {"sha256": one} for name, one in digests.items()}}))
    digests[files.MANIFEST] = hashlib.sha256((bundle / files.MANIFEST).read_bytes()).hexdigest()
    (bundle / files.SUMS).write_text("".join(f"{one}  {name}\n" for name, one in sorted(digests.items())))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    listed(folder)
    return folder


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ada", "eve"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)
    (folder / "allowed").write_text(f"ada@example.org {(folder / 'ada.pub').read_text()}")
    return folder


def places(bundle: Path) -> list[str]:
    return [difference.line() for difference in files.check(bundle).differences]


def told(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out + err


# the list


def test_a_good_bundle_is_whole(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told("verify", bundle, "--level", 1, capsys=capsys)
    assert code == 0
    assert words == (
        "level 1 verified: every file is the one that SHA256SUMS and manifest.json list, and there is no other\n"
        "  5 files listed\n"
        "  it is not signed, so nobody vouches for these files\n"
        "  not proved: that the numbers are right, or that they follow from the cases\n"
    )


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not on this machine")
def test_sha256sum_reads_the_same_list(bundle: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", files.SUMS]
    assert subprocess.run(command, cwd=bundle, check=False).returncode == 0
    (bundle / "report.html").write_text("<p>AUROC 0.91</p>\n")
    assert subprocess.run(command, cwd=bundle, check=False, capture_output=True).returncode == 1
    assert len(places(bundle)) == 1


@pytest.mark.parametrize("name", [*FILES, files.MANIFEST])
def test_any_flipped_bit_of_any_file_is_found_and_the_file_named(bundle: Path, name: str) -> None:
    before = (bundle / name).read_bytes()
    drawn = random.Random(name)
    for _ in range(200):
        place, bit = drawn.randrange(len(before)), drawn.randrange(8)
        after = bytearray(before)
        after[place] ^= 1 << bit
        (bundle / name).write_bytes(after)
        assert any(line.startswith(f"{name}: was changed: its sha256 is ") for line in places(bundle))


def test_any_flipped_bit_of_the_list_is_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (bundle / files.SUMS).read_bytes()
    drawn = random.Random(0)
    for _ in range(200):
        after = bytearray(before)
        after[drawn.randrange(len(before))] ^= 1 << drawn.randrange(8)
        (bundle / files.SUMS).write_bytes(after)
        code, words = told("verify", bundle, "--level", 1, capsys=capsys)
        assert code in (1, 2), words
        assert "internal error" not in words


def test_what_is_missing_and_what_is_too_much_is_named(bundle: Path) -> None:
    (bundle / "report.html").unlink()
    (bundle / "notes.txt").write_text("x")
    (bundle / "cases" / "empty").mkdir()
    assert places(bundle) == [
        "cases/empty/: is an empty folder; a bundle has none",
        "notes.txt: is not listed in SHA256SUMS",
        "report.html: is listed in SHA256SUMS and is not there",
    ]


def test_a_link_is_no_file_even_to_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "report.html", tmp_path / "elsewhere.html")
    (bundle / "report.html").symlink_to(tmp_path / "elsewhere.html")
    (bundle / "more").symlink_to(tmp_path)
    assert places(bundle) == [
        "more: is a symbolic link; allowed: a file",
        "report.html: is a symbolic link; allowed: a file",
    ]


def test_a_linked_list_and_a_special_file_are_refused(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(bundle / "pipe")
    assert places(bundle) == ["pipe: is a special file; allowed: a file"]
    shutil.move(bundle / files.SUMS, tmp_path / "sums")
    (bundle / files.SUMS).symlink_to(tmp_path / "sums")
    expected = f"auditor: {bundle}/SHA256SUMS: found a symbolic link; allowed: a file\n"
    assert told("verify", bundle, "--level", 1, capsys=capsys) == (2, expected)


def test_the_manifest_must_say_the_same(bundle: Path) -> None:
    manifest = json.loads((bundle / files.MANIFEST).read_text())
    manifest["files"]["report.html"]["sha256"] = "0" * 64
    manifest["files"]["more.html"] = manifest["files"].pop("audit.yaml")
    (bundle / files.MANIFEST).write_text(json.dumps(manifest))
    sums = [line for line in (bundle / files.SUMS).read_text().splitlines() if not line.endswith(files.MANIFEST)]
    sums.append(f"{hashlib.sha256((bundle / files.MANIFEST).read_bytes()).hexdigest()}  {files.MANIFEST}")
    (bundle / files.SUMS).write_text("\n".join(sums) + "\n")
    assert places(bundle) == [
        "audit.yaml: stands in SHA256SUMS and not in manifest.json",
        "'more.html': stands in manifest.json and not in SHA256SUMS",
        "report.html: its sha256 in manifest.json is not that in SHA256SUMS",
    ]


@pytest.mark.parametrize("text", ["[]", "{", '{"files": 3}', '{"files": {"a": 1}}', "[" * 100_000])
def test_a_manifest_that_is_none_is_told(bundle: Path, text: str) -> None:
    (bundle / files.MANIFEST).write_text(text)
    sums = [line for line in (bundle / files.SUMS).read_text().splitlines() if not line.endswith(files.MANIFEST)]
    sums.append(f"{hashlib.sha256(text.encode()).hexdigest()}  {files.MANIFEST}")
    (bundle / files.SUMS).write_text("\n".join(sums) + "\n")
    assert [line.partition(":")[0] for line in places(bundle)] == [files.MANIFEST]


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "a//b", "./a", "a\\b", "C:/a", "a\x1b[2J", "cases/\u202egnp.csv", "a/"]
)
def test_a_path_that_leads_out_of_the_bundle_is_refused(bundle: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with (bundle / files.SUMS).open("a") as sums:
        sums.write(f"{'0' * 64}  {name}\n")
    code, words = told("verify", bundle, "--level", 1, capsys=capsys)
    assert code == 2
    assert words == f"auditor: {bundle}/SHA256SUMS:6: found the path {name!a}; allowed: a path inside the bundle\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1: found ''; allowed: 64 hexadecimal digits, two spaces and a path"),
        (b"\xff\xfe", "found bytes that are not UTF-8; allowed: text in UTF-8"),
        (b"hello\n", "1: found 'hello'; allowed: 64 hexadecimal digits, two spaces and a path"),
        (b"0" * 64 + b"  a\n" + b"0" * 64 + b"  a\n", "2: found 'a' a second time; allowed: each file once"),
    ],
)
def test_a_list_that_is_none_is_refused(bundle: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / files.SUMS).write_bytes(content)
    code, words = told("verify", bundle, "--level", 1, capsys=capsys)
    assert code == 2
    assert words.startswith(f"auditor: {bundle}/SHA256SUMS:")
    assert words.endswith(f"{message}\n")


def test_a_huge_file_is_not_read(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (bundle / "report.html").open("r+b") as file:
        file.truncate(files.LARGEST + 1)  # sparse: no byte is written
    assert places(bundle) == [
        f"report.html: found {files.LARGEST + 1:,} bytes; allowed: at most {files.LARGEST:,}, so it was not read"
    ]
    with (bundle / files.SUMS).open("r+b") as file:
        file.truncate(files.LARGEST_LIST + 1)
    with pytest.raises(Exception, match="allowed: at most 16,777,216"):
        files.check(bundle)


def test_level_1_imports_nothing_heavy(bundle: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "auditor", "verify", str(bundle), "--level", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    imported = {line.split("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if line.count("|") == 2}
    assert imported.isdisjoint({"torch", "numpy", "jinja2", "pydantic", "scipy"})


# signatures


@needs_ssh
def test_a_signed_bundle_says_by_whom(bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told("sign", bundle, "--key", keys / "ada", capsys=capsys)
    assert (code, words.splitlines()[1]) == (0, signature.MEANS)
    asked = ("--allowed-signers", keys / "allowed", "--signer", "ada@example.org")
    code, words = told("verify", bundle, "--level", 1, *asked, capsys=capsys)
    assert code == 0
    assert "  signed by ada@example.org; its key is SHA256:" in words
    assert f"  {signature.MEANS}\n" in words
    command = f"ssh-keygen -Y verify -f {keys}/allowed -I ada@example.org -n auditor-report -s SHA256SUMS.sig < SHA256SUMS"
    assert subprocess.run(command, shell=True, cwd=bundle, check=False, capture_output=True).returncode == 0
    code, words = told("verify", bundle, "--level", 1, capsys=capsys)
    assert code == 0
    assert "whose key that is was not checked: give --allowed-signers FILE --signer NAME" in words


@needs_ssh
def test_what_is_wrong_with_a_signature_is_told_apart(bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--allowed-signers", keys / "allowed", "--signer", "ada@example.org")

    def found() -> str:
        code, words = told("verify", bundle, "--level", 1, *asked, capsys=capsys)
        assert code == 1
        return next(line for line in words.splitlines() if line.startswith("  SHA256SUMS.sig: ")).strip()

    assert found() == "SHA256SUMS.sig: is not there; it was to be signed by ada@example.org"
    signature.sign(bundle, keys / "eve")
    assert found().startswith(
        f"SHA256SUMS.sig: fits, but {keys}/allowed does not allow its key for ada@example.org; its key is SHA256:"
    )
    (bundle / files.SIGNATURE).unlink()
    signature.sign(bundle, keys / "ada")
    (bundle / "notes.txt").write_text("x")
    listed(bundle)
    assert found() == "SHA256SUMS.sig: does not fit SHA256SUMS: one of the two was changed"
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(keys / "ada")]
    with (bundle / files.SUMS).open("rb") as sums:
        other = subprocess.run(command, stdin=sums, capture_output=True, check=True).stdout
    (bundle / files.SIGNATURE).write_bytes(other)
    assert found() == "SHA256SUMS.sig: was made for 'git'; allowed: 'auditor-report'"
    for rubbish in (b"", b"\xff", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"):
        (bundle / files.SIGNATURE).write_bytes(rubbish)
        assert found() == "SHA256SUMS.sig: is no SSH signature"


@needs_ssh
def test_any_flipped_bit_of_a_signature_is_found(bundle: Path, keys: Path) -> None:
    signature.sign(bundle, keys / "ada")
    before = (bundle / files.SIGNATURE).read_bytes()
    drawn = random.Random(0)
    for _ in range(8):
        after = bytearray(before)
        after[drawn.randrange(40, len(before) - 40)] ^= 1 << drawn.randrange(7)
        (bundle / files.SIGNATURE).write_bytes(after)
        level = files.check(bundle)
        signature.check(bundle, level, keys / "allowed", "ada@example.org")
        assert [difference.place for difference in level.differences] == [files.SIGNATURE]


@needs_ssh
def test_without_ssh_keygen_a_signature_is_undecided(
    bundle: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signature.sign(bundle, keys / "ada")
    monkeypatch.setenv("PATH", "")
    code, words = told("verify", bundle, "--level", 1, capsys=capsys)
    assert code == 3
    assert words.splitlines()[0] == "level 1 undecided: something that was asked for could not be checked"
    assert "could not be decided: the signature: ssh-keygen is not on this machine" in words
    (bundle / files.SIGNATURE).unlink()
    code, words = told("sign", bundle, "--key", keys / "ada", capsys=capsys)
    assert (code, words.startswith("auditor: ssh-keygen is not on this machine")) == (2, True)


@needs_ssh
def test_a_broken_bundle_is_not_signed_and_none_twice(
    bundle: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no key").write_text("x")
    code, words = told("sign", bundle, "--key", tmp_path / "no key", capsys=capsys)
    assert (code, words.startswith(f"auditor: {tmp_path}/no key: found no SSH key; allowed: a private key")) == (2, True)
    code, words = told("sign", bundle, "--key", tmp_path / "nowhere", capsys=capsys)
    assert (code, "found no such file; allowed: a private key" in words) == (2, True)
    assert told("sign", bundle, "--key", keys / "ada", capsys=capsys)[0] == 0
    code, words = told("sign", bundle, "--key", keys / "ada", capsys=capsys)
    assert (code, words) == (2, f"auditor: {bundle}/SHA256SUMS.sig: found a signature; delete it to sign anew\n")
    code, words = told("sign", bundle, "--key", tmp_path / "nowhere", capsys=capsys)
    assert (code, "found no such file; allowed: a private key" in words) == (2, True)
    (bundle / "notes.txt").write_text("x")
    code, words = told("sign", bundle, "--key", keys / "ada", capsys=capsys)
    assert (code, "notes.txt: is not listed in SHA256SUMS; make the bundle again" in words) == (2, True)


# the command


def test_what_is_asked_for_must_make_sense(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told("verify", tmp_path / "nowhere", capsys=capsys) == (
        2,
        f"auditor: {tmp_path}/nowhere: found no such folder; allowed: a bundle of auditor share, or the folder of a finished run\n",
    )
    assert told("verify", bundle, "--signer", "ada", capsys=capsys) == (
        2,
        "auditor: --allowed-signers and --signer belong together: who may sign, and who must have\n",
    )
    assert told("verify", bundle, "--level", 3, capsys=capsys) == (
        2,
        "auditor: level 3 asks the networks again: give --audit AUDIT.yaml with its models and data\n",
    )
