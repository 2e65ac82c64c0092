"""Data files of experiments and published tables that somebody wrote to do harm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hostile_cards import FORMULAS, MARKUP, PATHS, SHELL
from tunescape.audit.__main__ import main
from tunescape.cards import read_card
from tunescape.errors import UserError
from tunescape.tables import read_table
from tunescape.training.data import load_task
from tunescape.training.runspec import complete

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [*MARKUP, *FORMULAS, *SHELL, "a\x00b", "nan", "NULL", "1e999", "\u202etxt", "é" * 5000]


def task(path: Path, **more: Any) -> dict[str, Any]:
    stated = {"files": str(path), "holdout": 0.25, "text": ["sentence"], **more}
    task: dict[str, Any] = complete({"model": "a/b", "task": stated})["task"]
    return task


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_texts_and_labels_are_words_and_nothing_else(suffix: str, tmp_path: Path) -> None:
    labels = ["=1+1", MARKUP[0]]
    rows = [{"sentence": text, "label": labels[i % 2]} for i, text in enumerate(TEXTS * 2)]
    frame = pd.DataFrame(rows)
    path = tmp_path / f"train.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",", quoting=1)
    data = load_task(task(path), tmp_path / "cache")
    assert data.label_names == sorted(labels)
    kept = {text for texts in (data.train.texts, data.evaluation.texts) for text in texts[0]}
    assert {MARKUP[0], SHELL[0], "nan", "NULL", "1e999"} <= kept
    assert not list(tmp_path.rglob("pwned"))


DATA: dict[str, bytes] = {
    "empty.csv": b"",
    "header.csv": b"sentence,label\n",
    "columns.csv": b"text,class\na,b\n",
    "quote.csv": b'sentence,label\n"a,b\nc,d\n',
    "latin.csv": "sentence,label\ncafé,1\nb,0\n".encode("latin-1"),
    "one.csv": b"sentence,label\n" + b"a,1\n" * 9,
    "blank.csv": b"sentence,label\n ,1\nb,0\n",
    "nolabel.csv": b"sentence,label\na,\nb,0\n",
    "wide.csv": b"sentence,label\n" + b"a," * 5000 + b"\n",
    "zeros.csv": b"\x00" * 5000,
    "garbage.parquet": b"PAR1garbagePAR1",
    "array.jsonl": b"[1, 2]\n",
    "deep.jsonl": b'{"sentence": ' + b"[" * 20_000 + b"\n",
    "number.jsonl": b'{"sentence": 1' + b"0" * 400 + b', "label": 1}\n',
    "nan.jsonl": b'{"sentence": NaN, "label": 1}\n{"sentence": "b", "label": 0}\n',
    "mixed.jsonl": b'{"sentence": {"a": 1}, "label": [1]}\n{"sentence": "b", "label": 0}\n',
}


@pytest.mark.parametrize("name", DATA)
def test_files_that_hold_no_task_are_one_message(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(DATA[name])
    with pytest.raises(UserError) as caught:
        load_task(task(path), tmp_path / "cache")
    assert len(str(caught.value)) < 2500


def test_the_card_of_a_run_quotes_what_it_is_told(tmp_path: Path) -> None:
    """Names of data sets, splits and columns come from the configuration into YAML and Markdown."""
    from tunescape.training.model_card import failure_card, model_card

    metrics = {
        **dict.fromkeys(("loss", "accuracy", "f1", "precision", "recall"), 0.5),
        "matthews_correlation": 0.1,
        "versions": {"torch": "2"},
        "numeric_precision": "fp32",
    }
    for text in (
        *MARKUP,
        *SHELL,
        *PATHS[:8],
        '"\n---\ntags: [x]',
        "a: b",
        "!!python/name:os.system",
    ):
        stated = {"name": text, "dataset": text, "subset": text, "validation_split": text}
        spec = complete({"model": "a/b", "task": stated})
        card = model_card(spec, metrics, [], 10)
        read = read_card(card)
        assert not [problem for problem in read.problems if "malformed" in problem], text
        assert read.front["base_model"] == ("a/b",) and "trainer" in read.marks
        assert "<" not in card.split("\n---\n", 1)[1] and "<" not in failure_card(spec, text)


TABLES: dict[str, str] = {
    "formulas": "term,coef,std_err,t\n" + "".join(f'"{t}",1,0.5,2\n' for t in FORMULAS[:5]),
    "markup": "term,coef,std_err,t\n"
    + "".join(f'"{t.replace(chr(34), "")}",1,0.5,2\n' for t in MARKUP),
    "empty": "",
    "header": "term,coef,std_err,t\n",
    "no number": "term,coef,std_err,t\nconst,=1+1,0.5,2\n",
    "huge": "term,coef,std_err,t\nconst," + "9" * 6000 + ",0.5,2\n",
    "exponent": "term,coef,std_err,t\nconst,1e999999,0.5,2\n",
    "nan": "term,coef,std_err,t\nconst,nan,inf,-inf\n",
    "wide": "term,coef,std_err,t\n" + "x," * 10_000 + "\n",
    "quote": 'term,coef,std_err,t\n"const,1,0.5,2\n',
    "zeros": "term\x00,coef\x00\n",
    "escape": "term,coef,std_err,t\n\x1b[2J\x1b]0;pwned\x07,1,0.5,2\n",
    "long": "term,coef,std_err,t\n" + "x" * 200_000 + ",1,0.5,2\n",
    "many": "term,coef,std_err,t\n" + "".join(f"x{n},1,0.5,2\n" for n in range(300)),
}


@pytest.mark.parametrize("name", TABLES)
def test_published_tables_of_any_content(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(TABLES[name])
    status = main([str(path), "-o", str(tmp_path / "out.csv")])
    said = capsys.readouterr()
    assert status in (0, 2) and "Traceback" not in said.err
    assert "\x1b" not in said.out + said.err and "\x07" not in said.out + said.err
    assert (status == 0) == (tmp_path / "out.csv").exists()
    if status == 0:
        assert not read_table(tmp_path / "out.csv").empty
        lines = (tmp_path / "out.csv").read_text().splitlines()
        assert not [line for line in lines if line.startswith(tuple("=+-@\t"))]
    else:
        assert said.err.startswith("audit: ") and len(said.err) < 1000


@pytest.mark.parametrize(
    "spec",
    [
        "a: [",
        "- 1",
        "level: !!python/object/apply:os.system ['true']",
        "factors: 3",
        "level: 2020-99-99",
        "n: {a: .inf}",
        "&a a: *a",
        "baseline: &b [*b]",
        "settings: {x: [1]}",
        "alpha: x",
        "x: " + "[" * 3000,
    ],
)
def test_specifications_of_an_audit_of_any_content(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.yaml").write_text(spec)
    status = main(
        [str(ROOT / "resources/published_tables.csv"), "--spec", str(tmp_path / "spec.yaml")]
    )
    said = capsys.readouterr()
    assert status == 2 and said.err.startswith("audit: ") and len(said.err) < 1000


def test_the_command_itself_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00" * 100)
    done = subprocess.run(
        [sys.executable, "-m", "tunescape.audit", str(tmp_path / "t.csv")],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "scripts")},
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
