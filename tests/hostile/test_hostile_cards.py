"""Hostile cards, ids and Hub files through the library: bounded, recorded, never executed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hostile_cards import FORMULAS, IDS, MARKUP, bodies, bomb, write_dump
from tunescape.cards import read_card
from tunescape.cards.read import MAX_CARD
from tunescape.errors import UserError
from tunescape.hub import bucket_of, safe_name
from tunescape.live.cache import Cache
from tunescape.live.harvest import read_evaluations
from tunescape.live.pins import Pin, read_pins, write_pins
from tunescape.parsing import parse_bucket, parse_record
from tunescape.sources import card_record, harvest_bucket, read_bucket, split_source
from tunescape.tables import guarded, read_table, unguarded, write_table

ROOT = Path(__file__).resolve().parents[2]
FRONT = "---\ntags:\n- generated_from_trainer\n---\n"
MARKS = "1 1. 1, | |- - * ** ` _ [ ]( [x]( ( ) < > # \\ = == % 0. 0.9% 1e- 1e-5, ~~~ ``` {' -- <!--"
ATOMS = (
    *MARKS.split(" "),
    "| a ",
    "- a: ",
    "\n",
    "\n\n",
    "\r",
    "\t",
    "  ",
    "\n# ",
    "learning_rate: 1e-",
    "learning rate of ",
    "batch_size=",
    "3, 4, 5 epochs, ",
    "seed ",
    "macro accuracy of the ",
    "f1 is was were ",
    "fine-tuned version of the ",
    "tuned on trained on the ",
    "based on the pretrained model from ",
    "(a, b, tuned from ",
    "and the dataset ",
    "Training data: ",
    "optimizer with optim adam ",
    "linear schedule with warmup and of the ",
    "| Training Loss | Epoch |\n|---|---|\n| 1 | 1 |\n",
    "precision recall f1-score\naccuracy 0.9 100\n",
    "https://huggingface.co/a/",
    "base_model: ",
    "key: \n",
    "--- \n",
)


def cpu(text: str) -> tuple[float, str]:
    """Seconds of CPU that a card takes, and its status."""
    started = time.process_time()
    row, _ = parse_record(card_record("a/b", {}, text))
    return time.process_time() - started, str(row["status"])


def shapes(text: str, size: int) -> Iterator[str]:
    """Cards that repeat a text: in one line, in many, in a list, in a table, as front matter."""
    yield FRONT + text * (size // len(text))
    yield FRONT + "\n\n".join([text * max(1, 2000 // len(text))] * (size // 2000))
    yield FRONT + f"- {text * 4}\n" * (size // (4 * len(text) + 3))
    yield FRONT + f"| {' | '.join([text] * 8)} |\n" * (size // (8 * len(text) + 20))
    yield "---\nx: " + text * (size // len(text)) + "\n---\nhi"
    yield "---\na: " + text * (size // len(text))


def test_no_repeated_text_takes_more_than_linear_time() -> None:
    """A card of 60,000 characters reads in well under a second, whatever it repeats."""
    drawn = random.Random(7)
    texts = [*ATOMS, *("".join(drawn.choices(ATOMS, k=drawn.randint(2, 4))) for _ in range(25))]
    slowest = (0.0, "")
    for text in texts:
        for card in shapes(text, 60_000):
            seconds, status = cpu(card)
            assert status == "ok", (text, status)
            slowest = max(slowest, (seconds, text))
    assert slowest[0] < 2, slowest


@pytest.mark.parametrize("text", ["batch_size=", "optimizer with optim adam ", "|", "1", "[x]("])
def test_the_largest_card_is_read_in_seconds(text: str) -> None:
    seconds, status = cpu(FRONT + "\n\n".join([text * (2000 // len(text))] * (MAX_CARD // 1000)))
    assert status == "ok" and seconds < 20


@pytest.mark.parametrize("name", bodies())
def test_every_hostile_card_is_a_row(name: str) -> None:
    seconds, status = cpu(bodies()[name])
    assert status == "ok" and seconds < 5
    row, places = parse_record(card_record("a/b", {}, bodies()[name]))
    for value in row.values():
        assert not isinstance(value, float) or abs(value) < 1e300
    assert len(str(row)) < 50_000 and len(places) < 200


def test_yaml_of_cards_makes_nothing_and_grows_nothing() -> None:
    read = read_card("---\n" + bomb() + "\n---\n")
    assert "yaml_alias_bounded" in read.problems
    assert sum(map(len, read.front.values())) < 500
    python = read_card(bodies()["python tag"])
    assert "yaml_tag_ignored" in python.problems
    assert not (Path.cwd() / "pwned").exists()


def test_ids_are_file_names_of_their_own_inside_the_folder(tmp_path: Path) -> None:
    names = [safe_name(model_id) for model_id in (*IDS, *MARKUP, *FORMULAS)]
    assert len({name.casefold() for name in names}) == len({*IDS, *MARKUP, *FORMULAS})
    for model_id, name in zip(IDS, names, strict=False):
        assert Path(name).name == name and not name.startswith((".", "-")) and name.isascii()
        assert (tmp_path / f"{name}.json").resolve().parent == tmp_path.resolve()
        assert name.split(".")[0].lower() not in ("con", "nul", "prn", "aux")
        path = Cache(tmp_path).path("models", model_id, "../../x")
        assert tmp_path.resolve() in path.resolve().parents
        assert bucket_of(model_id, 8) in "01234567"


def test_a_hostile_dump_becomes_buckets_and_tables(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    study = tmp_path / "study" / "inner"
    study.mkdir(parents=True)
    canary.write_text("alive")
    write_dump(study / "cards.jsonl")
    report = split_source(
        "cards", study / "cards.jsonl", {str(b): study / f"{b}.jsonl" for b in range(2)}
    )
    assert report.records == report.models + sum(report.bad.values()) + report.duplicates
    assert set(report.bad) >= {"not JSON", "JSON nested too deeply", "card is not text"}
    for bucket in range(2):
        raw, index = study / f"raw{bucket}", study / f"{bucket}.index"
        harvest_bucket(study / f"{bucket}.jsonl", raw, index)
        statuses = parse_bucket(raw, index, study / "p.parquet", study / "q.parquet")
        assert set(statuses) == {"ok"}
        table = read_table(study / "p.parquet")
        assert set(table["id"]) == {r["id"] for r in read_bucket(study / f"{bucket}.jsonl")}
    assert canary.read_text() == "alive"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["canary", "study"]
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["inner"]
    assert not Path("/tmp/pwned").exists()


LARGE = """
import json, resource, sys
from pathlib import Path
import pandas as pd
sys.path.insert(0, {scripts!r})
from tunescape.parsing import parse_bucket
from tunescape.sources import harvest_bucket, split_source
home = Path({home!r})
reports = {{}}
for name in ("cards.jsonl", "cards.parquet"):
    report = split_source("cards", home / name, {{"0": home / "0.jsonl"}})
    harvest_bucket(home / "0.jsonl", home / "raw", home / "index")
    reports[name] = [report.as_dict(), parse_bucket(home / "raw", home / "index", home / "p.parquet", home / "q.parquet")]
used = resource.getrusage(resource.RUSAGE_SELF).ru_utime
# The peak of this program alone: ru_maxrss begins with what the process was forked from.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps([reports, used, int(peak.split()[1])]))
"""


def test_cards_of_100_megabytes_are_recorded_in_bounded_memory(tmp_path: Path) -> None:
    size = 100 * 2**20
    with (tmp_path / "cards.jsonl").open("w") as lines:
        lines.write('{"id": "a/plain", "readme": "hello"}\n')
        for number in range(2):
            lines.write(f'{{"id": "a/huge-{number}", "readme": "')
            for _ in range(100):
                lines.write("accuracy" * (2**17))
            lines.write('"}\n')
        lines.write(json.dumps({"id": "a/large", "readme": "x" * (5 * 2**20)}) + "\n")
    cards = ["hello", "accuracy" * (size // 8), "x" * (5 * 2**20)]
    frame = pd.DataFrame({"modelId": ["a/plain", "a/huge", "a/large"], "card": cards})
    frame.to_parquet(tmp_path / "cards.parquet", index=False)
    del frame, cards
    code = LARGE.format(scripts=str(ROOT / "scripts"), home=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told, seconds, kibibytes = json.loads(done.stdout)
    assert seconds < 30
    assert kibibytes < 1000 * 1024  # below what rule split_source asks for
    assert told["cards.jsonl"][0]["bad"] == {"line too long": 2}
    assert told["cards.jsonl"][1] == {"card too large": 1, "ok": 1}
    assert told["cards.parquet"][1] == {"card too large": 2, "ok": 1}


EVALUATIONS = {
    "billion laughs": b"a: &a [x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)
    )
    + b"dataset: {id: *m, task_id: *m}\nvalue: 1.0\ndate: *m\nsource: {url: *m}\n",
    "deep": b"[" * 50_000,
    "python": b"- !!python/object/apply:os.system ['touch pwned']",
    "date": b"- {dataset: {id: x}, value: 1, date: 2020-99-99}",
    "time": b"- {dataset: {id: x}, value: 1, date: !!timestamp x}",
    "digits": b"- {dataset: {id: x}, value: " + b"9" * 6000 + b"}",
    "unhashable": b"? {a: b}\n: 1",
    "recursive": b"- &x [*x]",
    "bytes": b"\xff\xfe\x00",
    "infinite": b"- {dataset: {id: x}, value: .inf}\n- {dataset: {id: x}, value: .nan}",
    "text": b"- {dataset: {id: '=1+1'}, value: '1'}",
    "null": b"",
}


@pytest.mark.parametrize("kind", EVALUATIONS)
def test_evaluation_files_of_the_hub(kind: str) -> None:
    started = time.process_time()
    rows = read_evaluations(".eval_results/x.yaml", EVALUATIONS[kind])
    assert time.process_time() - started < 5
    assert rows is None or all(len(str(row)) < 2000 for row in rows)
    if kind == "billion laughs":
        assert rows is not None and rows[0]["dataset"] is None
    assert not (Path.cwd() / "pwned").exists()


def test_config_json_of_the_hub() -> None:
    configs = [
        {"id2label": {str(n): MARKUP[0] for n in range(10**5)}},
        {"num_labels": 10**400, "architectures": [["x"]], "model_type": {"a": 1}},
        {"num_labels": float("nan"), "peft": {"base_model_name_or_path": "../../x"}},
        {"num_labels": True, "adapter_transformers": 3, "architectures": "x"},
    ]
    for config in configs:
        row, _ = parse_record(card_record("a/b", {"config": config}, "hello"))
        assert row["status"] == "ok"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("../../x\t" + "a" * 40, "is no model id"),
        ("a/b\t../../x", "expected a commit hash"),
        ("=1+1\t" + "a" * 40, "is no model id"),
        ("a/b\t" + "a" * 40 + "\tx\tno\t-1", "downloads is '-1'"),
        ("a/b\t" + "a" * 40 + "\tx\tno\t" + "9" * 5000, "downloads is '999"),
        ("a/b\t" + "x" * 200_000, "not readable"),
        ("a/b", "expected a commit hash"),
    ],
)
def test_pinned_lists_that_somebody_wrote(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "models.tsv"
    path.write_text(f"id\trevision\tlast_modified\tgated\tdownloads\n{line}\n")
    with pytest.raises(UserError) as caught:
        read_pins(path)
    assert says in str(caught.value) and len(str(caught.value)) < 500


CELLS = [
    *FORMULAS,
    *MARKUP,
    "-",
    "'",
    "'=1",
    "''=1",
    "'a",
    "-1.5",
    "+3e-5",
    "-inf",
    "NA",
    "nan",
    "null",
    "None",
    "a,b;c\td",
    'quo"te',
    "a\nb",
    "a\rb",
    "nul\x00",
    "plain",
    "日本",
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_texts_in_tables_are_no_formulas_and_come_back(suffix: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"text": pd.Series(CELLS, dtype="str"), "number": [-1.5 - n for n in range(len(CELLS))]}
    )
    path = tmp_path / f"t{suffix}"
    write_table(frame, path)
    first = path.read_bytes()
    again = read_table(path)
    pd.testing.assert_frame_equal(again, frame)
    write_table(again, path)
    assert path.read_bytes() == first
    if suffix != ".parquet":
        assert b"-1.5\n" in first and b"'-1.5" not in first
        assert first.count(b"'=HYPERLINK") == 1


def test_an_apostrophe_is_put_before_formulas_alone() -> None:
    for text in CELLS:
        shown = guarded(text)
        assert unguarded(shown) == text
        assert (shown != text) == (
            text.lstrip("'")[:1] in tuple("=+-@\t\r\n＝") and shown[0] == "'"
        )
    assert [guarded(text) for text in ("-1.5", "+3", "-1e-5", "-x", "+1-1")] == [
        "-1.5",
        "+3",
        "-1e-5",
        "'-x",
        "'+1-1",
    ]


def test_a_pinned_list_holds_no_formula(tmp_path: Path) -> None:
    pin = Pin("a/b", "a" * 40, base_model="=1+1", relation="@x", gated="-x")
    write_pins([pin], tmp_path / "models.tsv")
    assert "\t=" not in (tmp_path / "models.tsv").read_text()
    assert read_pins(tmp_path / "models.tsv") == [pin]
