"""What a script's failure looks like: one message, a log, exit code 1."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from tunescape.errors import UserError
from tunescape.jobs import logged, prefer_library


def test_user_error_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "rule.log"
    with pytest.raises(SystemExit) as caught, logged(log):
        logging.getLogger("tunescape.x").info("working")
        raise UserError("no such column", where="a.csv", expected="text, label", fix="name it")
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said == "tunescape: a.csv: no such column; expected text, label. Name it\n"
    assert "working" in log.read_text() and "Traceback" not in log.read_text()


def test_defect_goes_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "rule.log"
    with pytest.raises(SystemExit), logged(log):
        raise ZeroDivisionError("boom")
    assert "Traceback" in log.read_text()
    said = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: boom" in said and str(log) in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space", "results/a.csv"),
            "results/a.csv: no space left on device. Free some space and run again",
        ),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            "no space left on device. Free some space and run again",
        ),
        (
            PermissionError(errno.EACCES, "denied", "work"),
            "work: permission denied. Check its permissions and run again",
        ),
    ],
)
def test_a_disk_that_fails_is_no_defect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    with pytest.raises(SystemExit), logged(tmp_path / "rule.log"):
        try:
            raise error
        except Exception as caught:
            raise ValueError("wrapped by a library") from caught
    assert capsys.readouterr().err == f"tunescape: {said}\n"
    assert "Traceback" not in (tmp_path / "rule.log").read_text()


def test_a_job_leaves_a_receipt_of_what_it_read_and_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("1")
    with logged("rule.log", ["a"], ["b"]):
        assert json.loads(Path("rule.receipt.json").read_text())["outputs"] == {"b": ["", ""]}
        Path("a").write_text("changed while it was read")
        Path("b").write_text("2")
    receipt = json.loads(Path("rule.receipt.json").read_text())
    assert receipt["inputs"]["a"][0] == hashlib.sha256(b"1").hexdigest()
    assert receipt["outputs"]["b"][0] == hashlib.sha256(b"2").hexdigest()


def test_started_processes_import_the_named_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "of_two.py").write_text(f"print({name!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "first"))
    prefer_library(tmp_path / "second")
    done = subprocess.run([sys.executable, "-m", "of_two"], capture_output=True, text=True)
    assert done.stdout == "second\n"
