"""What a script's failure looks like: one message, a log, exit code 1."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tunescape.errors import UserError
from tunescape.jobs import logged


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
