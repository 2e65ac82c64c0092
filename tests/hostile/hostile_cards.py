"""Model cards as somebody who wants to do harm would write them, among some plain ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from hub_cards import SST2, card

BASE = f"distilbert/{SST2}"
TASK = "text-classification"
FORMULAS = (
    '=HYPERLINK("http://x")',
    "+cmd|'/C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1+1",
)
MARKUP = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror=window.pwned=1>',
    "</script><svg onload=window.pwned=1>",
    "<!--",
    "]]></style>",
    "javascript:window.pwned=1",
    "{{ 7*7 }}{% raw %}",
    "$\\frac{x}{0}$",
)
SHELL = ("$(touch pwned)", "`touch pwned`", "; touch pwned #", "| touch pwned", "&& touch pwned")
PATHS = (
    "../../../pwned",
    "/tmp/pwned/x",
    "..\\..\\pwned",
    "a/../../pwned",
    "a/b/c/d",
    "con",
    "owner/NUL.txt",
    "-rf",
    ".hidden/x",
    "~root/x",
    "file:///etc/passwd",
    "%2e%2e/%2e%2e/x",
    "ｏwner/ｎame",
    "оwner/model-1",
    "owner/\u202egpj.exe",
    "x" * 999,
    "owner/" + "é" * 400,
    "\ud800/x",
)
IDS = (*PATHS, *SHELL, *MARKUP, *FORMULAS)
"""Ids that no model has; the last few that hold control characters are refused as ids."""


def bomb(width: int = 9, depth: int = 9) -> str:
    """Billion laughs: each line names the one before nine times."""
    lines = ["a0: &a0 [lol, lol, lol]"]
    lines += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]"
        for level in range(1, depth)
    ]
    return "\n".join([*lines, f"datasets: *a{depth - 1}", f"tags: *a{depth - 1}"])


def bodies() -> dict[str, str]:
    """Cards by what is wrong with them."""
    digits = "9" * 5000
    fields = {
        "huge numbers": card(
            base=BASE,
            metrics={"Loss": digits, "Accuracy": "1e999999", "F1": "-1e-999999"},
            learning_rate="1e999999",
            num_epochs=digits,
            seed="-" + digits,
        ),
        "nan and inf": card(
            base=BASE, metrics={"Loss": "nan", "Accuracy": "inf", "F1": "-inf"}, learning_rate="nan"
        ),
        "yaml bomb": card(base=BASE, front=bomb()),
        "deep flow": card(base=BASE, front="tags: " + "[" * 5000),
        "deep blocks": card(base=BASE, front="\n".join(" " * n + "- " for n in range(1000))),
        "python tag": card(
            base=BASE, front="tags: !!python/object/apply:os.system ['touch pwned']"
        ),
        "duplicate keys": card(
            base=BASE, front="tags: [a]\ntags: [b]\nbase_model: x\nbase_model: y"
        ),
        "recursive": card(base=BASE, front="tags: &x [*x]"),
        "tabs and nulls": card(base=BASE, front="\ttags:\t- x\x00\x1b[31m"),
        "surrogates": card(base=BASE) + "\ud800\udfff\ufffe",
        "long bars": card(base=BASE, table="|" * 500_000),
        "wide table": card(base=BASE, table="| " + " | ".join(["Loss"] * 5000) + " |\n" * 3),
        "many rows": card(
            base=BASE,
            table="| Training Loss | Epoch | Step |\n|---|---|---|\n"
            + "| 0.1 | 1.0 | 9 |\n" * 20_000,
        ),
        "digits": card(base=BASE) + "learning_rate: " + "1" * 300_000,
        "stars": card(base=BASE) + "*" * 200_000 + "accuracy " * 20_000,
    }
    for number, text in enumerate((*MARKUP, *FORMULAS, *SHELL)):
        quoted = json.dumps(text)
        index = (
            f"model-index:\n- name: {quoted}\n  results:\n  - task: {{type: {quoted}, name: {quoted}}}\n"
            f"    dataset: {{name: {quoted}, type: {quoted}, config: {quoted}, split: {quoted}}}\n"
            f"    metrics:\n    - {{name: {quoted}, type: accuracy, value: 0.8{number:02d}}}"
        )
        fields[f"text {number}"] = card(
            base=BASE,
            dataset=text,
            front=f"tags: [generated_from_trainer, {quoted}]\ndatasets: [{quoted}]\n{index}",
            metrics={"Loss": f"0.4{number:02d}7", text: "0.5"},
            optimizer=text,
            lr_scheduler_type=text,
        )
    return fields


def records() -> list[dict[str, object]]:
    """Lines of a dump: hostile ids on a plain card, plain ids on hostile cards, plain ones."""
    found: list[dict[str, object]] = []
    for number, model_id in enumerate(IDS):
        text = card(base=BASE, metrics={"Loss": f"0.3{number:02d}1"}, num_epochs=1 + number % 4)
        info = {"tags": [TASK, model_id, *MARKUP], "author": model_id, "sha": model_id}
        found.append({"id": model_id, "info": info, "readme": text})
    for number, (name, text) in enumerate(bodies().items()):
        found.append(
            {
                "id": f"own{number % 5}/{name.replace(' ', '-')}",
                "info": {"tags": [TASK]},
                "readme": text,
            }
        )
    for number in range(36):
        rate, batch = (1 + number % 4) * 1e-5, 8 * 2 ** (number // 4 % 3)
        loss = f"{0.3 + 0.01 * (number % 4) ** 2 + 0.02 * (number // 12) + number * 0.000137:.4f}"
        text = card(
            base=BASE,
            metrics={"Loss": loss},
            learning_rate=rate,
            train_batch_size=batch,
            num_epochs=1 + number // 12,
        )
        owner = (*FORMULAS[:4], *MARKUP[:3])[number % 7].replace("/", "")
        found.append({"id": f"{owner}/m{number}", "info": {"tags": [TASK]}, "readme": text})
    return found


def write_dump(path: Path) -> None:
    """The records as JSON Lines, with lines that are no records in between."""
    odd = [
        b"\xff\xfe\x00garbage",
        b'{"id": "a/dup", "id": "b/dup", "readme": "x"}',
        b"[" * 20_000,
        b'{"id": 1' + b"0" * 6000 + b"}",
        b'{"id": ["a"], "readme": {}}',
        b"NaN",
        b'{"id": "n/nan", "info": {"downloads": NaN, "likes": 1e999}, "readme": "x"}',
        b'{"id": "n/nul\\u0000", "readme": "x"}',
    ]
    lines = [json.dumps(record).encode() for record in records()]
    path.write_bytes(b"\n".join([*lines[:20], *odd, *lines[20:]]) + b"\n")
