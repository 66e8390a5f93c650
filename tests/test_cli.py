"""The command line: what it prints, what it returns to the shell, and what it does not import."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from auditor import ConfigError, ExitCode, OutputError, PluginError, __version__, cli, doctor, progress
from auditor.catalogue import show_default
from auditor.cli import main

HEAVY = ("torch", "torchvision", "captum", "monai", "scipy", "numba", "weasyprint", "pydicom", "matplotlib", "PIL")
COMMANDS = [
    "run", "train", "mine", "validate", "plan", "report", "gate", "export", "share",
    "plugins", "schema", "doctor", "new", "sign", "verify", "diff",
]  # fmt: skip
Write = Callable[..., Path]


def fresh(*arguments: str, cwd: Path, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "auditor", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    "command", ["--help", "plugins", "plugins planted", "schema", "validate audit.yaml", "--version", "new model m"]
)
def test_nothing_heavy_is_imported_for(command: str, tmp_path: Path, write_audit: Write) -> None:
    write_audit()
    found = fresh(*command.split(), cwd=tmp_path, python=("-X", "importtime"))
    assert found.returncode == 0, found.stdout
    imported = {line.split("|")[2].strip().split(".")[0] for line in found.stderr.splitlines() if line.count("|") == 2}
    assert "auditor" in imported
    assert imported.isdisjoint(HEAVY)


def test_a_module_that_lies_beside_the_audit_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('hijacked')")
    (tmp_path / "audit.yaml").write_text("title: [")
    found = fresh("validate", "audit.yaml", cwd=tmp_path)
    assert (found.returncode, "hijacked" in found.stderr) == (2, False)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines()]
    assert listed[: len(COMMANDS)] == COMMANDS
    for command in COMMANDS:
        assert main([command, "--help"]) == 0


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"auditor {__version__}\n"


@pytest.mark.parametrize(
    "wrong", [["runn"], ["run"], ["run", "a", "--device", "tpu"], ["run", "a", "--limit", "0"], ["new", "x", "y"]]
)
def test_a_wrong_command_line_is_exit_code_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(wrong) == 2
    assert "Error" in capsys.readouterr().err


def test_a_misspelt_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    main(["vaildate"])
    assert "Did you mean 'validate'?" in capsys.readouterr().err


# validate


def test_a_good_audit_is_called_good(write_audit: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_audit()
    assert main(["validate", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{path} is good: Two tiny networks\n")
    assert "models        2, strategies bce, focal, reference bce" in out


def test_all_mistakes_are_printed_one_a_line_without_a_traceback(
    write_audit: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_audit(reference="bcee", attributions="[gradcm]", batch="no")
    assert main(["validate", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "auditor: 3 mistakes"
    assert [line.split(": ")[1] for line in lines[1:]] == ["reference", "attributions[0]", "batch"]
    assert all(line.startswith(f"{path}:") for line in lines[1:])


def test_one_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(tmp_path / "no.yaml")]) == 2
    assert capsys.readouterr().err == f"auditor: {tmp_path / 'no.yaml'}: found no file; allowed: a YAML file\n"


# run, with a stand-in for the run itself


class Stage:
    """Stands in for auditor.run.run: keeps what it was given, then returns or raises."""

    def __init__(self, outcome: Any) -> None:
        self.outcome, self.given = outcome, {}

    def __call__(self, path: Path, out: Path, **options: Any) -> Any:
        self.given = {"path": path, "out": out, **options}
        out.mkdir(exist_ok=True)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Stage]:
    def play(outcome: Any) -> Stage:
        acted = Stage(outcome)
        monkeypatch.setattr("auditor.run.run", acted)
        return acted

    return play


def test_run_hands_on_what_was_asked_and_prints_where_the_report_lies(
    stage: Callable[[Any], Stage], write_audit: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from auditor.run import RunResult

    path = write_audit()
    acted = stage(RunResult(ExitCode.INCOMPLETE, Path("r.html"), None, ["the PDF failed"]))
    options = ["--out", str(tmp_path / "o"), "--device", "cpu", "--limit", "7", "--strict", "--fresh", "-q"]
    assert main(["run", str(path), *options]) == 3
    given = acted.given
    assert isinstance(given.pop("progress"), progress.Silence)
    assert given == {"path": path, "out": tmp_path / "o", "device": "cpu", "limit": 7, "strict": True, "fresh": True}
    said = capsys.readouterr()
    assert said.out == "html  r.html\n"
    assert said.err == "the PDF failed\n"
    main(["run", str(path), "-q"])
    assert (acted.given["out"], acted.given["device"], acted.given["limit"]) == (tmp_path / "audit-run", "auto", None)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ConfigError("a.yaml:1:1: x: wrong"), 2, "auditor: a.yaml:1:1: x: wrong\n"),
        (PluginError("a plugin"), 2, "auditor: a plugin\n"),
        (OutputError("the disk is full"), 5, "auditor: the disk is full\n"),
        (KeyboardInterrupt(), 130, f"auditor: interrupted; {cli.ADVICE}\n"),
        (cli.Terminated(), 143, f"auditor: terminated; {cli.ADVICE}\n"),
    ],
)
def test_every_end_has_its_exit_code_and_no_traceback(
    raised: BaseException,
    code: int,
    said: str,
    stage: Callable[[Any], Stage],
    write_audit: Write,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage(raised)
    assert main(["run", str(write_audit()), "-q"]) == code
    assert capsys.readouterr().err == said


def test_our_own_mistake_is_exit_code_4_with_the_traceback_in_the_log(
    stage: Callable[[Any], Stage], write_audit: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_audit()
    stage(ZeroDivisionError("oh"))
    assert main(["run", str(path), "-q"]) == 4
    log = tmp_path / "audit-run" / "log.txt"
    said = capsys.readouterr().err
    expected = (
        f"auditor: internal error: ZeroDivisionError: oh; this is our mistake, please report it with the traceback in {log}\n"
    )
    assert said == expected
    assert "Traceback" in log.read_text()
    assert main(["--debug", "run", str(path), "-q"]) == 4
    assert "Traceback" in capsys.readouterr().err


def test_a_terminated_process_says_so_and_returns_143(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import sys, time\nfrom auditor import hookimpl\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "audit.yaml").write_text("plugins: [slow.py]\n")
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        command = [sys.executable, "-m", "auditor", "validate", "audit.yaml"]
        before = signal.signal(
            number, signal.SIG_DFL
        )  # a child takes over what is ignored, as SIGINT is in a shell's background
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            signal.signal(number, before)
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            said = process.stderr.read()
            assert process.wait(30) == code
            assert said.startswith("auditor: ")
            assert "Traceback" not in said


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "auditor", "schema"]
    found = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_whole_run_from_the_command_line(write_audit: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_audit()
    assert main(["plan", str(path), "--device", "cpu"]) == 0
    assert "Two tiny networks" in capsys.readouterr().out
    assert main(["run", str(path), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    html = tmp_path / "audit-run" / "report.html"
    assert f"html  {html}" in said.out
    assert said.err.startswith("Two tiny networks: 0 of ")
    first = html.read_bytes()
    html.unlink()
    assert main(["report", str(tmp_path / "audit-run"), "--format", "html"]) == 0
    assert html.read_bytes() == first
    assert main(["export", str(tmp_path / "audit-run"), "--format", "csv"]) == 0
    tables = [Path(line) for line in capsys.readouterr().out.splitlines() if line.endswith(".csv")]
    assert tables
    assert all(table.parent == tmp_path / "audit-run" / "export" for table in tables)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["report", str(tmp_path)], ["export", str(tmp_path / "none"), "--format", "csv"]):
        assert main(command) == 2
    assert "found no results.json" in capsys.readouterr().err


# plugins, schema, new


def test_plugins_lists_every_kind_and_name(capsys: pytest.CaptureFixture[str]) -> None:
    from auditor.registry import KINDS, Registry

    assert main(["plugins"]) == 0
    lines = capsys.readouterr().out.splitlines()
    registry = Registry()
    for kind in KINDS:
        assert kind in lines
        for name in registry.all(kind):
            assert any(line.startswith(f"  {name} ") for line in lines), name


def test_plugins_shows_the_options_and_metrics_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    from auditor.registry import KINDS, Registry

    registry = Registry()
    for kind in KINDS:
        for name in registry.all(kind):
            assert main(["plugins", name]) == 0
            out = capsys.readouterr().out
            for option in registry.options(kind, name).fields:
                assert f"\n  {option}: " in out
    assert main(["plugins", "performance"]) == 0
    assert "  auroc: " in capsys.readouterr().out
    assert main(["plugins", "performanse"]) == 2
    assert "did you mean performance?" in capsys.readouterr().err


def test_plugins_of_an_audit_are_listed_with_it(write_audit: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--audit", str(write_audit())]) == 0
    assert "tiny_network" in capsys.readouterr().out


def test_the_schema_is_json(write_audit: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--audit", str(write_audit())]) == 0
    shape = json.loads(capsys.readouterr().out)
    assert {"datasets", "models", "attributions", "analyses"} <= set(shape["$defs"])
    assert "tiny" in [entry.get("title") for entry in shape["$defs"]["datasets"]["anyOf"]]


def test_new_writes_a_plugin_here_and_says_what_to_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "attribution", "mine"]) == 0
    said = capsys.readouterr().out
    assert said == "mine.py is written; add to audit.yaml:\n\nattributions: [mine]\nplugins: [mine.py]\n"
    assert main(["new", "attribution", "mine"]) == 5
    (tmp_path / "audit.yaml").write_text("plugins: [mine.py]\n")
    assert main(["plugins", "mine", "--audit", "audit.yaml"]) == 0


def test_a_plugin_can_add_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Hook:
        def register_commands(self, cli: click.Group) -> None:
            cli.add_command(click.Command("greet", callback=lambda: click.echo("hello")))

    class Loaded:
        hook = Hook()

    monkeypatch.setattr(cli, "registry_of", lambda audit=None: Loaded())
    monkeypatch.setattr(cli.cli, "_asked", False)
    monkeypatch.setattr(cli.cli, "commands", dict(cli.cli.commands))
    assert main(["greet"]) == 0
    assert capsys.readouterr().out == "hello\n"
    assert main(["--help"]) == 0
    assert "greet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "shown"), [((), "[]"), ({"b": 1}, "{'b': 1}"), (frozenset({"b", "a"}), "[a, b]"), (0.5, "0.5"), ("", "nothing")]
)
def test_defaults_are_shown_as_they_are_written(value: object, shown: str) -> None:
    assert show_default(value) == shown


# progress


def test_lines_are_ten_seconds_apart_and_tell_the_time_left() -> None:
    now, out = [0.0], io.StringIO()
    lines = progress.Lines(out, lambda: now[0])
    lines.start(1000, "bce")
    for _ in range(40):
        now[0] += 1
        lines.advance(10, "chunk")
    lines.start(5, "focal")
    lines.finish()
    lines.finish()
    assert out.getvalue().splitlines() == [
        "bce: 0 of 1,000",
        "bce: 100 of 1,000, 1 min 30 s left, chunk",
        "bce: 200 of 1,000, 1 min 20 s left, chunk",
        "bce: 300 of 1,000, 1 min 10 s left, chunk",
        "bce: 400 of 1,000, 1 min 0 s left, chunk",
        "bce: 400 of 1,000 in 40 s",
        "focal: 0 of 5",
        "focal: 0 of 5 in 0 s",
    ]


def test_the_bar_keeps_to_its_terminal_and_to_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress.Bar()
    bar.advance(1)
    bar.start(3, "bce [0]")
    bar.advance(3, "[red]done")
    bar.start(1, "focal")
    bar.finish()
    bar.finish()
    said = capsys.readouterr()
    assert said.out == ""
    assert "bce [0]" in said.err
    assert "[red]done" in said.err


def test_progress_suits_where_stderr_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress.choose(quiet=True), progress.Silence)
    assert isinstance(progress.choose(), progress.Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(progress.choose(), progress.Bar)


# doctor


def test_the_doctor_looks_at_what_an_audit_needs() -> None:
    found = {
        finding.what: finding for finding in doctor._python() + doctor._distributions() + doctor._libraries() + doctor._fonts()
    }
    assert {"Python", "torch", "weasyprint", "numba", "pylibjpeg", "Pango", "HarfBuzz", "Fontconfig", "fonts"} <= set(found)
    assert "pytest" not in found
    assert all(finding.mend for finding in found.values() if finding.status == "missing")


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    pango, *_, subset = (doctor.library_finding(library, lambda name: False) for library in doctor.LIBRARIES[1:])
    assert pango == (
        "Pango",
        "missing",
        "libpango-1.0.so.0 cannot be opened; the PDF needs it",
        "sudo apt-get install libpango-1.0-0",
    )
    assert subset.status == "optional"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert doctor.library_finding(doctor.LIBRARIES[1], lambda name: False).mend == "brew install pango"
    assert doctor.library_finding(doctor.LIBRARIES[1], lambda name: name.endswith(".dylib")).status == "ok"


def test_an_old_or_missing_distribution_is_named_with_its_command() -> None:
    old = doctor._distribution("numpy", "999", None, "numpy>=999")
    assert (old.status, old.mend) == ("missing", f"{doctor.PIP} 'numpy>=999'")
    assert "older than 999" in old.detail
    none = doctor._distribution("no-such-thing", None, "dicom", "no-such-thing")
    assert (none.status, none.mend) == ("optional", f"{doctor.PIP} 'auditor[dicom]'")


def test_the_doctor_goes_on_when_one_look_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> list[doctor.Finding]:
        raise RuntimeError("no")

    for look in ("_imports", "_torch_pair", "_gpu", "_weasyprint", "_decoders"):
        monkeypatch.setattr(doctor, look, list)
    monkeypatch.setattr(doctor, "_fonts", broken)
    assert main(["doctor"]) == 2
    out = capsys.readouterr().out
    assert "missing   broken" in out
    assert "1 missing; the commands above mend it." in out


@pytest.mark.slow
def test_this_machine_is_ready(tmp_path: Path) -> None:
    found = fresh("doctor", cwd=tmp_path)
    assert found.returncode == 0, found.stdout
    assert found.stdout.endswith("This machine is ready.\n")
