"""The structure of a model card: what it states, and where.

One pass over the lines sorts them into front matter, lists, tables, code and prose; cheap substring
tests decide whether a pattern is tried at all. Every pattern is linear in its input (bounded
repetitions, possessive where they could backtrack), so a card of a megabyte reads in well under a
second. Nothing here decides what a value means for the model: see :mod:`tunescape.cards.interpret`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunescape.cards.frontmatter import load_front_matter, split_front_matter
from tunescape.cards.patterns import (
    AFTER_NAME,
    BEFORE,
    CLASS_HEADERS,
    CODE_HINT,
    CUT,
    DICT_NUMBER,
    DIGIT,
    FRAMEWORK,
    HEADING,
    HYPER,
    INFERENCE,
    ITEM,
    KERAS_CLASS,
    KERAS_NAME,
    KERAS_NUMBER,
    KEY_LINE,
    LINK,
    MD_LINK,
    MEASURED,
    METRIC,
    METRIC_BEFORE,
    METRIC_LINK,
    METRIC_VALUE,
    MORE,
    NUMBER,
    OPEN_SET,
    OPTIMIZER_NAME,
    OPTIMIZER_WORD,
    OTHER_MODEL,
    OWN_NAMES,
    PAIR,
    PLAIN_PAIR,
    REPORT_HEAD,
    REPORT_ROW,
    RESULTS_LEAD,
    RULE_ROW,
    SCHEDULE,
    SCHEDULE_BEFORE,
    SD_PROMPT,
    SECTION,
    TUPLE,
    USAGE,
    VALUE,
)
from tunescape.cards.records import (
    CardFacts,
    EvalMetric,
    EvalResult,
    ResultsTable,
    Statement,
)
from tunescape.cards.sentences import sentence_facts
from tunescape.cards.vocab import (
    AMBIGUOUS_NAMES,
    hyperparameter_field,
    metric_of,
    normal_name,
    number,
    optimizer_family,
    schedule_family,
)

MAX_CARD = 1_000_000
"""Characters of a card that are read; the rest is left out and recorded."""
MAX_LINE = 20_000
MAX_STATEMENTS = 400
MAX_VALUE = 80
MAX_NAME = 60
KEPT_ROWS = 40

_FRONT_KEYS = (
    "language",
    "tags",
    "datasets",
    "metrics",
    "base_model",
    "pipeline_tag",
    "library_name",
    "model_name",
    "library_tag",
)


def read_card(text: str | bytes) -> CardFacts:
    """The facts that a model card states.

    Args:
        text: the card; bytes are decoded as UTF-8, undecodable ones are replaced and recorded.

    Returns:
        Facts with places; never raises for any input.
    """
    decoded, problems = _decode(text)
    return _Reader(decoded, problems).read()


def _decode(card: str | bytes) -> tuple[str, list[str]]:
    problems: list[str] = []
    if isinstance(card, str):
        text = card
    else:
        try:
            text = card.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(f"not_utf8: byte {error.start}")
            codec = "utf-16" if card[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
            text = card.decode(codec, errors="replace")
    if len(text) > MAX_CARD:
        problems.append(f"card_too_large: {len(text)} characters")
        text = text[:MAX_CARD]
    # Replacements keep the length, so that offsets are those of the original.
    if text.startswith("\ufeff"):
        text = " " + text[1:]
    if "\r" in text:
        text = text.replace("\r\n", " \n").replace("\r", "\n")
    if "\x00" in text:
        problems.append("null_characters")
        text = text.replace("\x00", " ")
    return text, problems


class _Reader:
    """State of one pass over a card."""

    def __init__(self, text: str, problems: list[str]) -> None:
        self.text = text
        self.problems = problems
        self.hyper: list[Statement] = []
        self.evals: list[Statement] = []
        self.sentences: list[Statement] = []
        self.frameworks: list[tuple[str, str]] = []
        self.table: ResultsTable | None = None
        self.marks: list[str] = []
        self._counted = (0, 1)
        self._report_open = False
        self.title = ""

    # -- places ---------------------------------------------------------------------------------

    def line_of(self, offset: int) -> int:
        """Line number, from 1, of a character offset; cheap for offsets near the last one."""
        last, line = self._counted
        if offset >= last:
            line += self.text.count("\n", last, offset)
        else:
            line -= self.text.count("\n", offset, last)
        self._counted = (offset, line)
        return line

    # -- the whole ------------------------------------------------------------------------------

    def read(self) -> CardFacts:
        text = self.text
        start, end, body, problem = split_front_matter(text)
        if problem:
            self.problems.append(problem)
        front: dict[str, tuple[str, ...]] = {}
        places: dict[str, tuple[int, int, int]] = {}
        results: tuple[EvalResult, ...] = ()
        if end > start:
            data, problems = load_front_matter(text[start:end])
            self.problems += problems
            for key in _FRONT_KEYS:
                if key in data and (values := _scalars(data[key])):
                    front[key] = values
            for key in ("base_model", "datasets"):
                if key in front:
                    places[key] = self._front_place(key, start, end)
            index = data.get("model-index") or data.get("model_index")
            if index:
                results = self._model_index(index, start, end)
        if body < len(text):
            self._mark(text, front)
            self._read_body(body)
        elif front:
            self._mark("", front)
        return CardFacts(
            front=front,
            front_places=places,
            results=results,
            hyperparameters=tuple(self.hyper[:MAX_STATEMENTS]),
            evaluations=tuple(self.evals[:MAX_STATEMENTS]),
            sentences=tuple(self.sentences),
            table=self.table,
            frameworks=tuple(self.frameworks[:20]),
            marks=tuple(self.marks),
            problems=tuple(self.problems),
        )

    def _mark(self, text: str, front: Mapping[str, tuple[str, ...]]) -> None:
        tags = {tag.lower() for tag in front.get("tags", ())}
        tags |= {
            tag.lower() for tag in front.get("library_name", ()) + front.get("library_tag", ())
        }
        marks = self.marks
        if "generated_from_trainer" in tags or "the information the Trainer had access to" in text:
            marks.append("trainer")
        if "generated_from_keras_callback" in tags or "the information Keras had access to" in text:
            marks.append("keras")
        if (
            tags & {"autotrain", "autonlp"}
            or "Trained Using Auto" in text
            or "trained using Auto" in text
        ):
            marks.append("autotrain")
        if "setfit" in tags or "SetFit" in text[:6000]:
            marks.append("setfit")
        if "sentence-transformers" in tags:
            marks.append("sentence_transformers")
        if tags & {"adapter-transformers", "adapterhub"} or "load_adapter(" in text:
            marks.append("adapter")
        if "peft" in tags or "PeftModel" in text or "PEFT " in text:
            marks.append("peft")
        if tags & {
            "reinforcement-learning",
            "deep-reinforcement-learning",
            "stable-baselines3",
            "ml-agents",
            "sample-factory",
            "cleanrl",
        }:
            marks.append("reinforcement_learning")
        for tag in (
            "spacy",
            "flair",
            "espnet",
            "speechbrain",
            "nemo",
            "fastai",
            "keras",
            "sklearn",
        ):
            if tag in tags and tag not in marks:
                marks.append(tag)

    # -- front matter ---------------------------------------------------------------------------

    def _front_place(self, key: str, start: int, end: int) -> tuple[int, int, int]:
        position = start
        needle = key + ":"
        text = self.text
        while (position := text.find(needle, position, end)) >= 0:
            if position == start or text[position - 1] == "\n":
                line_end = text.find("\n", position, end)
                return self.line_of(position), position, line_end if line_end >= 0 else end
            position += 1
        return self.line_of(start), start, start

    def _model_index(self, index: Any, start: int, end: int) -> tuple[EvalResult, ...]:
        cursor = max(self.text.find("model-index:", start, end), start)
        results: list[EvalResult] = []
        entries = index if isinstance(index, list) else [index]
        for entry in entries[:20]:
            if not isinstance(entry, dict):
                continue
            entry_results = entry.get("results")
            if not isinstance(entry_results, list):
                entry_results = [entry_results] if isinstance(entry_results, dict) else []
            for result in entry_results[:64]:
                if not isinstance(result, dict):
                    continue
                metrics, cursor = self._result_metrics(
                    result.get("metrics", result.get("metric")), cursor, end
                )
                dataset = result.get("dataset")
                pairs: list[tuple[str, str]] = []
                if isinstance(dataset, dict):
                    for key in ("type", "name", "config", "split", "args"):
                        value = dataset.get(key)
                        if isinstance(value, dict):
                            value = next(iter(value.values()), None)
                        if isinstance(value, str) and value:
                            pairs.append((key, value[:MAX_VALUE]))
                elif isinstance(dataset, str) and dataset:
                    pairs.append(("name", dataset[:MAX_VALUE]))
                task = result.get("task")
                task_name = ""
                if isinstance(task, dict):
                    task_name = task.get("type") or task.get("name") or ""
                elif isinstance(task, str):
                    task_name = task
                results.append(
                    EvalResult(
                        task=str(task_name)[:MAX_VALUE] if isinstance(task_name, str) else "",
                        dataset=tuple(pairs),
                        metrics=tuple(metrics),
                    )
                )
        return tuple(results[:64])

    def _result_metrics(self, metrics: Any, cursor: int, end: int) -> tuple[list[EvalMetric], int]:
        found: list[EvalMetric] = []
        if isinstance(metrics, dict):
            metrics = [metrics]
        if not isinstance(metrics, list):
            return found, cursor
        for metric in metrics[:64]:
            if not isinstance(metric, dict):
                continue
            value = metric.get("value")
            kind = metric.get("type") or ""
            name = metric.get("name") or ""
            if isinstance(value, list):
                value = value[0] if len(value) == 1 else None
            if isinstance(value, dict):
                key = next(
                    (k for k in value if metric_of(str(k)) == metric_of(str(name or kind))), None
                )
                value = value.get(key) if key is not None else None
            if not isinstance(value, str) or not value or value == "null":
                continue
            position = self.text.find(value, cursor, end)
            if position < 0:
                position = cursor
            else:
                cursor = position + len(value)
            found.append(
                EvalMetric(
                    type=str(kind)[:MAX_NAME] if isinstance(kind, str) else "",
                    name=str(name)[:MAX_NAME] if isinstance(name, str) else "",
                    value=value[:MAX_VALUE],
                    verified=str(metric.get("verified", "")).lower() == "true",
                    line=self.line_of(position),
                    start=position,
                    end=position + min(len(value), MAX_VALUE),
                )
            )
        return found, cursor

    # -- body -----------------------------------------------------------------------------------

    def _read_body(self, offset: int) -> None:
        text = self.text
        lines = text[offset:].split("\n")
        position = offset
        context = ""
        heading = ""
        fence = ""
        code: list[tuple[int, str]] = []
        paragraph_start = paragraph_end = -1
        table: list[tuple[int, str]] = []
        previous = no_pipes = (offset, "")
        self.sentences = sentence_facts(text, offset, self.line_of)
        if max(map(len, lines)) > MAX_LINE:
            self.problems.append("long_line")
        for line in lines:
            start = position
            position += len(line) + 1
            if len(line) > MAX_LINE:
                line = line[:MAX_LINE]
            stripped = line.strip()
            first = stripped[:1]
            if fence:
                closed = stripped.startswith(fence)
                # A fence that the author forgot to close ends at the next section of a card.
                if closed or (first == "#" and SECTION.match(stripped)):
                    self._read_code(code)
                    code = []
                    fence = ""
                else:
                    code.append((start, line))
                if closed or fence:
                    continue
            if table and first != "|" and not (first and "|" in stripped and len(table) < 500):
                self._read_table(table, heading)
                table = []
            if not stripped:
                if paragraph_start >= 0:
                    self._read_prose(paragraph_start, paragraph_end, heading)
                    paragraph_start = -1
                if context == "eval" and self.evals and self.evals[-1].kind == "evaluation_list":
                    context = ""
                continue
            is_table_line = False
            if "|" in stripped:
                if (
                    table
                    or first == "|"
                    or (stripped.count("|") >= 2 and "](" not in stripped and not ITEM.match(line))
                ):
                    is_table_line = True
                elif previous is not no_pipes and paragraph_start >= 0 and RULE_ROW.match(stripped):
                    # A table without outer pipes: its header was taken for running text.
                    is_table_line = True
                    table.append(previous)
                    paragraph_end = previous[0] - 1
                    if paragraph_end <= paragraph_start:
                        paragraph_start = -1
                previous = (start, line)
            else:
                previous = no_pipes
            if first == "#" and (match := HEADING.match(stripped)):
                if paragraph_start >= 0:
                    self._read_prose(paragraph_start, paragraph_end, heading)
                    paragraph_start = -1
                heading = match[1].lower().rstrip("# ")[:200]
                if not self.title:
                    self.title = normal_name(match[1])
                context = ""
                if "framework version" in heading or heading.startswith("versions"):
                    context = "frameworks"
                elif "validation metrics" in heading:
                    context = "eval"
                elif (
                    "hyperparameter" in heading
                    or "hyper-parameter" in heading
                    or "hyper parameter" in heading
                ):
                    context = "hyper_heading"
                elif "epoch" in heading and DIGIT.search(heading):
                    self._read_prose(start, start + len(line), heading, title=True)
                continue
            if first in "`~" and stripped.startswith(("```", "~~~")):
                if paragraph_start >= 0:
                    self._read_prose(paragraph_start, paragraph_end, heading)
                    paragraph_start = -1
                fence = stripped[:3]
                if stripped.count(fence) > 1 and stripped.endswith(fence) and len(stripped) > 3:
                    fence = ""
                continue
            if is_table_line:
                if paragraph_start >= 0:
                    self._read_prose(paragraph_start, paragraph_end, heading)
                    paragraph_start = -1
                table.append((start, line))
                continue
            if first in "-*+•·–" or first.isdigit():
                item = ITEM.match(line)
                if item is not None:
                    if paragraph_start >= 0:
                        self._read_prose(paragraph_start, paragraph_end, heading)
                        paragraph_start = -1
                    if context == "frameworks":
                        if match := FRAMEWORK.match(stripped):
                            self.frameworks.append((match[1].strip(), match[2]))
                        continue
                    self._read_item(line, start, item.end(), context, heading)
                    continue
            if "hyperparameters were used" in stripped:
                context = "hyper"
            elif "result" in stripped and RESULTS_LEAD.search(stripped):
                context = "eval"
            if paragraph_start < 0:
                paragraph_start = start
            paragraph_end = start + len(line)
        if fence:
            self._read_code(code)
        if table:
            self._read_table(table, heading)
        if paragraph_start >= 0:
            self._read_prose(paragraph_start, paragraph_end, heading)

    # -- lists ----------------------------------------------------------------------------------

    def _read_item(self, line: str, start: int, content: int, context: str, heading: str) -> None:
        # Only the lists that a heading or a sentence announces are read pair by pair.
        pair = (PLAIN_PAIR.match(line, content) or PAIR.match(line, content)) if context else None
        end = start + len(line.rstrip())
        if pair is not None:
            name = pair[1].strip()
            value = (pair[2] or "").strip()
            if context == "hyper" and (len(value) <= 40 or name.lower().startswith("optim")):
                self._hyper_item(name, value, start + pair.start(1), end, "trainer_list")
                return
            if context == "eval":
                self._eval_item(name, value, start + pair.start(1), end)
                return
            if context == "hyper_heading" and hyperparameter_field(name) is not None:
                self._hyper_item(name, value, start + pair.start(1), end, "list")
                if len(value) < 40:
                    return
        self._scan(start + content, end, "list", heading)

    def _hyper_item(self, name: str, value: str, start: int, end: int, kind: str) -> None:
        field = hyperparameter_field(name)
        if field == "optimizer" and value[:1] == "{":
            self._keras_optimizer(value, end - len(value))
            return
        if field is None and kind != "trainer_list":
            return
        # A line of the list that says something else is prose, not a fact.
        if field is None and (len(value) > 24 or value.count(" ") > 2):
            return
        if field == "optimizer":
            value = value.partition(" and optimizer_args")[0]
        self.hyper.append(
            Statement(name[:MAX_NAME], value[:MAX_VALUE], kind, self.line_of(start), start, end)
        )

    def _eval_item(self, name: str, value: str, start: int, end: int) -> None:
        if value[:1] == "{":
            self._eval_dict(name, value, end - len(value))
            return
        token = value.split(" ")[0].rstrip(",;") if value else ""
        if not token or (
            number(token.rstrip("%")) is None and token.lower() not in ("nan", "inf", "-inf")
        ):
            return
        if value[len(token) :].lstrip().startswith("%"):
            token += "%"
        self.evals.append(
            Statement(
                name[:MAX_NAME],
                token[:MAX_VALUE],
                "evaluation_list",
                self.line_of(start),
                start,
                end,
            )
        )

    def _eval_dict(self, name: str, value: str, start: int) -> None:
        """``- Accuracy: {'accuracy': 0.93}``: nested names keep their own meaning."""
        depth = position = 0
        for match in DICT_NUMBER.finditer(value[:8000]):
            between = value[position : match.start()]
            depth += between.count("{") - between.count("}")
            position = match.start()
            if depth != 1:
                # A class or an average of a report within the report.
                continue
            inner = match[1]
            if normal_name(inner) == normal_name(name):
                inner = name
            elif metric_of(inner) is not None and metric_of(name) is None:
                inner = f"{name} {inner}"
            self.evals.append(
                Statement(
                    inner[:MAX_NAME],
                    match[2],
                    "evaluation_list",
                    self.line_of(start),
                    start + match.start(),
                    start + match.end(),
                )
            )

    def _keras_optimizer(self, value: str, start: int) -> None:
        line = self.line_of(start)

        def add(name: str, raw: str, place: re.Match[str]) -> None:
            self.hyper.append(
                Statement(
                    name,
                    raw[:MAX_VALUE],
                    "keras_optimizer",
                    line,
                    start + place.start(),
                    start + place.end(),
                )
            )

        for match in KERAS_NAME.finditer(value):
            if optimizer_family(match[1]) is not None and match[1].lower() != "adam_optimizer":
                add("optimizer", match[1], match)
                break
        for match in KERAS_CLASS.finditer(value):
            if optimizer_family(match[1]) is None and match[1] not in (
                "WarmUp",
                "LossScaleOptimizer",
            ):
                add("schedule", match[1], match)
                break
        seen: set[str] = set()
        for match in KERAS_NUMBER.finditer(value):
            name = match[1]
            if name not in seen:
                seen.add(name)
                add(name, match[2], match)

    # -- code -----------------------------------------------------------------------------------

    def _read_code(self, lines: Sequence[tuple[int, str]]) -> None:
        """A fenced block: configuration counts when it states two hyperparameters or more."""
        if not lines:
            return
        low = self.text[lines[0][0] : lines[-1][0] + len(lines[-1][1])].lower()
        if not (_has_keyword(low) or _has_metric(low)):
            return
        mark_hyper = len(self.hyper)
        for start, line in lines[:3000]:
            if len(self.hyper) > MAX_STATEMENTS or len(line) > 2000:
                continue
            low = line.lower()
            metric = _has_metric(low)
            keyword = _has_keyword(low)
            if not (metric or keyword) or USAGE.search(line):
                continue
            plain = bool(KEY_LINE.match(line) or CODE_HINT.search(line))
            if keyword and plain and not SD_PROMPT.search(line):
                self._hyper_in(start, start + len(line), "code", low)
            if metric:
                self._report_line(line, start, plain)
        self._report_open = False
        fields = {hyperparameter_field(s.name) for s in self.hyper[mark_hyper:]}
        opening = next((line.strip() for _, line in lines if line.strip()), "")
        if len(fields - {"max_length", "dropout"}) < 2 and not opening.startswith(
            ("{", "OrderedDict")
        ):
            del self.hyper[mark_hyper:]

    def _report_line(self, line: str, start: int, plain: bool = False) -> None:
        """scikit-learn's classification report: the accuracy row is the headline accuracy."""
        if REPORT_HEAD.search(line):
            self._report_open = True
            return
        if self._report_open and (match := REPORT_ROW.match(line)):
            begin = start + len(line) - len(line.lstrip())
            self.evals.append(
                Statement(
                    "accuracy", match[1], "report", self.line_of(begin), begin, start + match.end(1)
                )
            )
            return
        if not self._report_open and plain:
            self._metrics_in(start, start + len(line), "code", "")

    # -- tables ---------------------------------------------------------------------------------

    def _read_table(self, lines: Sequence[tuple[int, str]], heading: str) -> None:
        rows = [(start, [cell.strip(" \t*`") for cell in _cells(line)]) for start, line in lines]
        rule = next((i for i, (_, line) in enumerate(lines[:3]) if RULE_ROW.match(line)), -1)
        header: list[str] = []
        body = rows
        if rule >= 1:
            header = rows[rule - 1][1]
            body = rows[rule + 1 :]
        elif rule == 0:
            body = rows[1:]
        body = [row for row in body if any(row[1])]
        names = [normal_name(cell) for cell in header]
        if header and _is_history(names):
            self._history(header, body, lines)
            return
        start, last = lines[0][0], lines[-1][0] + len(lines[-1][1])
        low = self.text[start:last].lower()
        if not (_has_keyword(low) or _has_metric(low)):
            return
        if (
            names.count("precision") == 1
            and any(n.startswith("f1") for n in names)
            and "support" in names
        ):
            for row_start, cells in body:
                if cells and normal_name(cells[0]) == "accuracy":
                    values = [c for c in cells[1:] if number(c.rstrip("%")) is not None]
                    if values:
                        self._cell("accuracy", values[0], "report", row_start, self.evals)
            return
        width = max((sum(1 for c in cells if c) for _, cells in body), default=0)
        if (
            len(header) == 2
            and len(body) > 1
            and metric_of(header[1]) is not None
            and not any(cells and metric_of(cells[0]) for _, cells in body)
        ):
            self._grid(header, names, body)
            return
        if width <= 2 and all(len(cells) >= 2 for _, cells in body[:1]):
            # Two columns: name and value, the header row too unless it is one of titles.
            pairs = ([(rows[rule - 1][0], header)] if rule >= 1 else []) + body
            for row_start, cells in pairs[:200]:
                filled = [c for c in cells if c]
                if len(filled) == 2:
                    self._table_pair(filled[0], filled[1], row_start)
            if not (len(body) == 1 and len(header) == 2):
                return
        if header and len(body) == 1:
            for name, cell in zip(header, body[0][1], strict=False):
                if name and cell:
                    self._table_pair(name, cell, body[0][0])
            return
        if header:
            # Several rows or several columns of values: facts only where every column agrees.
            for row_start, cells in body[:200]:
                if cells and hyperparameter_field(cells[0]) is not None:
                    stated = {c for c in cells[1:] if c}
                    if len(stated) == 1:
                        self._table_pair(cells[0], stated.pop(), row_start)
            self._grid(header, names, body)

    def _grid(
        self, header: Sequence[str], names: Sequence[str], body: Sequence[tuple[int, list[str]]]
    ) -> None:
        """A table of figures: the model's own row or column, else no single value."""
        columns = [i for i, cell in enumerate(header) if metric_of(cell) is not None]
        if columns:
            own = [row for row in body if row[1] and self._is_own(row[1][0])]
            if "support" in names or (names[0] in CLASS_HEADERS and not own):
                return
            for i in columns:
                column = [(start, cells[i]) for start, cells in own or body if i < len(cells)]
                self._figures(header[i], column)
            return
        own_column = next((i for i, name in enumerate(names) if i and name in OWN_NAMES), 0)
        for row_start, cells in body[:100]:
            if len(cells) > 1 and metric_of(cells[0]) is not None:
                chosen = [cells[own_column]] if 0 < own_column < len(cells) else cells[1:]
                self._figures(cells[0], [(row_start, cell) for cell in chosen])

    def _figures(self, name: str, cells: Sequence[tuple[int, str]]) -> None:
        numeric = [
            (start, token)
            for start, cell in cells
            if (token := cell.split(" ")[0].rstrip("*")) and number(token.rstrip("%")) is not None
        ]
        distinct = {token for _, token in numeric}
        if len(distinct) == 1:
            self._cell(name, numeric[0][1], "table", numeric[0][0], self.evals)
        elif distinct:
            self._cell(name, numeric[0][1], "grid", numeric[0][0], self.evals)

    def _is_own(self, label: str) -> bool:
        if link := MD_LINK.match(label.strip()):
            label = link[1]
        name = normal_name(label)
        return bool(name) and (
            name in OWN_NAMES
            or label.rstrip("* ").endswith("(this)")
            or (len(name) > 5 and name == self.title)
        )

    def _table_pair(self, name: str, value: str, start: int) -> None:
        field = hyperparameter_field(name)
        if field is not None and normal_name(name) not in AMBIGUOUS_NAMES - {"epoch", "batch"}:
            if field in ("optimizer", "lr_scheduler_type") or number(value) is not None:
                if field == "optimizer" and value[:1] == "{":
                    self._keras_optimizer(value, self.text.find(value, start))
                else:
                    self._cell(name, value, "table", start, self.hyper)
            elif "," in value or "/" in value:
                self._cell(name, value, "table", start, self.hyper)
            return
        if metric_of(name) is not None:
            token = value.split(" ")[0]
            if number(token.rstrip("%")) is not None:
                if value[len(token) :].strip().startswith("%"):
                    token += "%"
                self._cell(name, token, "table", start, self.evals)

    def _cell(self, name: str, value: str, kind: str, start: int, into: list[Statement]) -> None:
        line_end = self.text.find("\n", start)
        line_end = len(self.text) if line_end < 0 else line_end
        position = self.text.find(value, start, line_end)
        begin = max(position, start)
        into.append(
            Statement(
                name[:MAX_NAME],
                value[:MAX_VALUE],
                kind,
                self.line_of(begin),
                begin,
                begin + len(value),
            )
        )

    def _history(
        self,
        header: Sequence[str],
        body: Sequence[tuple[int, list[str]]],
        lines: Sequence[tuple[int, str]],
    ) -> None:
        columns = tuple(cell[:MAX_NAME].replace("|", "/") for cell in header)
        width = len(columns)
        if columns and not columns[-1]:
            width -= 1
        kept: list[tuple[str, ...]] = []
        for _, cells in body:
            row = [cell[:24].replace("|", "/") for cell in cells[:width]]
            row += [""] * (width - len(row))
            if any(number(cell) is not None for cell in row):
                kept.append(tuple(row))
        if not kept or self.table is not None:
            if kept and "several_results_tables" not in self.problems:
                self.problems.append("several_results_tables")
            return
        dropped = 0
        if len(kept) > 2 * KEPT_ROWS:
            dropped = len(kept) - 2 * KEPT_ROWS
            kept = kept[:KEPT_ROWS] + kept[-KEPT_ROWS:]
        start = lines[0][0]
        self.table = ResultsTable(
            columns=columns[:width],
            rows=tuple(kept),
            line=self.line_of(start),
            start=start,
            end=lines[-1][0] + len(lines[-1][1]),
            dropped=dropped,
        )

    # -- prose and free-form pairs --------------------------------------------------------------

    def _read_prose(self, start: int, end: int, heading: str, title: bool = False) -> None:
        if end - start > 4 * MAX_LINE:
            end = start + 4 * MAX_LINE
        segment = self.text[start:end]
        if "\t" in segment and "loss" in segment.lower() and self._tabbed_history(segment, start):
            return
        if "recall" in segment and REPORT_HEAD.search(segment):
            offset = start
            for line in segment.split("\n"):
                self._report_line(line, offset)
                offset += len(line) + 1
            self._report_open = False
            return
        self._scan(start, end, "title" if title else "prose", heading)

    def _tabbed_history(self, segment: str, start: int) -> bool:
        lines = segment.split("\n")
        header = [cell.strip() for cell in lines[0].split("\t") if cell.strip()]
        if len(header) < 3 or not _is_history([normal_name(cell) for cell in header]):
            return False
        body = [(start, [c.strip() for c in line.split("\t") if c.strip()]) for line in lines[1:]]
        self._history(header, body, [(start, segment)])
        return True

    def _scan(self, start: int, end: int, kind: str, heading: str) -> None:
        if len(self.hyper) >= MAX_STATEMENTS or len(self.evals) >= MAX_STATEMENTS:
            return
        low = self.text[start:end].lower()
        if _has_keyword(low):
            self._hyper_in(start, end, kind, low)
        if kind != "title" and _has_metric(low) and DIGIT.search(low):
            self._metrics_in(start, end, kind, heading)

    def _hyper_in(self, start: int, end: int, kind: str, low: str) -> None:
        text = self.text
        if kind != "code" and ("seed" in low and SD_PROMPT.search(text, start, end)):
            return
        consumed = start
        title = kind == "title"
        place = "prose" if title else kind
        for match in HYPER.finditer(text, start, end):
            group = match.lastgroup or ""
            name = match[0]
            begin = match.start()
            link = LINK.match(text, match.end(), min(end, match.end() + 120))
            after = link.end() if link else match.end()
            if kind == "code" and (pair := TUPLE.match(text, match.end(), end)):
                after = pair.end()
                if pair[1]:
                    self._add("lr_scheduler", "linear", place, match.end(), after)
            between = text[match.end() : after]
            value: re.Match[str] | None = None
            if not (
                "\n" in between
                and kind in ("prose", "title")
                and ":" not in between
                and "=" not in between
                and group == "epochs"
            ):
                value = VALUE.match(text, after, end)
            explicit = ":" in between or "=" in between or "|" in between or "," in between
            before = BEFORE.search(text, max(consumed, begin - 40), begin)
            if before is not None and not explicit:
                if (group == "learning_rate" and not _small(before[1])) or group in (
                    "seed",
                    "warmup",
                    "accumulation",
                    "epsilon",
                    "lora",
                ):
                    before = None
            else:
                before = None
            if OTHER_MODEL.search(text, max(start, begin - 60), begin):
                continue
            if group == "epochs":
                statement = self._epochs(
                    match, value, before, between, explicit, start, end, place, title
                )
                if statement is not None:
                    consumed = statement.end
                    self.hyper.append(statement)
                continue
            if title:
                continue
            if before is not None:
                self._add(name, before[1], place, before.start(1), match.end())
                consumed = match.end()
                continue
            if (
                group == "seed"
                and kind == "prose"
                and not explicit
                and not re.search(r"\b(?:of|is|was|set|to)\b", between)
            ):
                continue
            if (
                group == "batch"
                and kind in ("prose", "list")
                and INFERENCE.search(text, max(start, begin - 160), min(end, match.end() + 60))
            ):
                continue
            if value is None or not between:
                opening = (
                    OPEN_SET.match(text, after, end)
                    if between and (explicit or text[after : after + 1] in "[{")
                    else None
                )
                if opening is not None:
                    closing = re.search(r"[\]})]", text[opening.end() : opening.end() + 80])
                    stop = opening.end() + (closing.start() if closing else 0)
                    self._add(name, text[opening.start(1) : stop], place, begin, stop)
                    consumed = stop
                elif "dict" not in between and explicit and text[after : after + 1] == "{":
                    nested = re.match(
                        r"\{\s?['\"]\w{1,20}['\"]\s?:\s?(" + NUMBER + ")",
                        text[after : min(end, after + 60)],
                    )
                    if nested:
                        self._add(name, nested[1], place, begin, after + nested.end(1))
                        consumed = after + nested.end()
                continue
            raw, stop = self._several(value, end)
            if group == "warmup" and text[value.end() : value.end() + 1] == "%":
                raw += "%"
            if (
                group == "learning_rate"
                and not explicit
                and "/" not in raw
                and not _small(value[0])
            ):
                # "learning rate warmup over 10,000 steps" and the like.
                continue
            if group in ("decay", "dropout") and text[value.end() : value.end() + 1] == "%":
                raw += "%"
            self._add(name, raw, place, begin, stop)
            consumed = stop
        if title:
            return
        self._words_in(start, end, place, low)

    def _epochs(
        self,
        match: re.Match[str],
        value: re.Match[str] | None,
        before: re.Match[str] | None,
        between: str,
        explicit: bool,
        start: int,
        end: int,
        kind: str,
        title: bool,
    ) -> Statement | None:
        text = self.text
        begin = match.start()
        if before is not None:
            # "found after 1 epoch", "every 2 epochs", "the first 3 epochs" are not configured.
            lead = text[max(start, before.start() - 40) : before.start()].lower()
            if re.search(
                r"(?:\bafter|\bevery|\bfirst|\blast|\beach|\bper|\bat|\bepoch|\bunder|\bbest)\W{0,3}$",
                lead,
            ) and ("trained" not in lead and "training" not in lead):
                return None
            if re.search(r"(?:\bor|\band|\bto|,|/|–|-)\W{0,2}$", lead) and re.search(
                r"\d\W{0,4}(?:or|and|to|,|/|–|-)?\W{0,3}$", lead
            ):
                earlier = re.search(r"(\d+(?:\.\d+)?)\W{0,3}(?:or|and|to|,|/|–|-)\W{0,3}$", lead)
                if earlier:
                    return self._statement(
                        match[0], f"{earlier[1]}, {before[1]}", kind, before.start(1), match.end()
                    )
            if re.search(r"(?:~|>|<|over|several|hundred)\W{0,2}$", lead):
                return None
            if re.match(r"\s(?:version|model|checkpoint)\b", text[match.end() : match.end() + 12]):
                # "a one-epoch version is available" speaks of another model.
                return None
            return self._statement(match[0], before[1], kind, before.start(1), match.end())
        if title or value is None or not between:
            return None
        if not explicit and re.search(
            r"\b(?:at|after|until|from)\s\Z", text[max(start, begin - 8) : begin]
        ):
            return None
        if (
            match[0].lower() == "epoch"
            and kind == "prose"
            and not explicit
            and between.strip(" ") != ""
        ):
            return None
        if not explicit and kind not in ("code", "list") and not re.match(r"\s{1,3}\Z", between):
            return None
        if (
            not explicit
            and kind == "prose"
            and text[begin - 1 : begin] not in ("#", "\n", "")
            and begin != start
        ):
            # "epoch 3" in running text names a moment.
            return None
        raw, stop = self._several(value, end)
        return self._statement(match[0], raw, kind, begin, stop)

    def _several(self, value: re.Match[str], end: int) -> tuple[str, int]:
        """The value, or the values when the card lists several."""
        text = self.text
        raw, stop = value[0].rstrip(" ,."), value.end()
        for _ in range(8):
            more = MORE.match(text, stop, min(end, stop + 60))
            if more is None or AFTER_NAME.match(text, more.end(), end):
                break
            if "\n" in more[0]:
                break
            raw += f", {more[1]}"
            stop = more.end()
        return raw, stop

    def _add(self, name: str, value: str, kind: str, start: int, end: int) -> None:
        self.hyper.append(self._statement(name, value, kind, start, end))

    def _statement(self, name: str, value: str, kind: str, start: int, end: int) -> Statement:
        return Statement(
            " ".join(name.split())[:MAX_NAME],
            value.strip()[:MAX_VALUE],
            kind,
            self.line_of(start),
            start,
            end,
        )

    def _words_in(self, start: int, end: int, kind: str, low: str) -> None:
        """Optimisers and schedules: fields whose values are words."""
        text = self.text
        if "optim" in low:
            near = [m.start() for m in OPTIMIZER_WORD.finditer(text, start, end)]
            for match in OPTIMIZER_NAME.finditer(text, start, end):
                if any(-110 <= match.start() - place <= 80 for place in near):
                    self._add("optimizer", match[0], kind, match.start(), match.end())
        elif "adam" in low or "sgd" in low:
            for match in re.finditer(
                r"(?:using|with|by|uses?|used)\s(?:the\s)?(AdamW|Adam|SGD|Adafactor)"
                r"(?=\s(?:with|and|\()|[,.(])"
                r"|\b(AdamW|Adam)\s(?:with\s)?\(?(?:betas?|lr|learning)",
                text[start:end],
            ):
                self._add(
                    "optimizer",
                    match[1] or match[2],
                    kind,
                    start + match.start(),
                    start + match.end(),
                )
        if "schedul" in low or "decay" in low or "learning rate" in low:
            found = False
            named = "schedul" in low or "decay" in low
            for match in SCHEDULE.finditer(text, start, end) if named else ():
                word = re.split(r"[,(]|\s(?:with|was|is|and|at|of)\s", match[1], maxsplit=1)[
                    0
                ].strip()
                whole = match[1] if "warm" in match[1] or "restart" in match[1] else word
                if schedule_family(whole) is not None:
                    self._add("lr_scheduler", whole[:40], kind, match.start(), match.end())
                    found = True
            if not found and kind in ("prose", "list") and _has_schedule(low):
                for match in SCHEDULE_BEFORE.finditer(text, start, end):
                    self._add("lr_scheduler", match[1], kind, match.start(), match.end())

    def _metrics_in(self, start: int, end: int, kind: str, heading: str) -> None:
        text = self.text
        if kind == "prose" and (measured := MEASURED.search(text, start, end)):
            self._measure(measured[2], measured[1], kind, measured.start(1), measured.end())
            return
        stop = end
        if kind == "prose" and (cut := CUT.search(text, start, end)):
            stop = cut.start()
        for match in METRIC.finditer(text, start, stop):
            name = " ".join(match[1].split())
            link = METRIC_LINK.match(text, match.end(), min(stop, match.end() + 100))
            after = link.end() if link else match.end()
            between = text[match.end() : after]
            explicit = ":" in between or "=" in between
            value = METRIC_VALUE.match(text, after, stop) if between else None
            begin, finish, raw = match.start(), 0, ""
            if not explicit:
                before = METRIC_BEFORE.search(text, max(start, begin - 30), begin)
                if (
                    before is not None
                    and ("%" in before[1] or "." in before[1])
                    and "loss" not in name
                ):
                    begin, finish, raw = before.start(1), match.end(), before[1]
            if not raw:
                if value is None or (kind == "prose" and not explicit and "\n\n" in between):
                    continue
                raw, finish = value[0], value.end()
                tail = text[finish : finish + 14].lower()
                if kind == "prose" and not explicit and not re.search(r"\.|%", raw):
                    continue
                if tail.startswith((" sample", " epoch", "-score")):
                    continue
            qualifier = text[match.end() : after].lower()
            for word in ("macro", "micro", "weighted"):
                if word in qualifier or word in heading:
                    name = f"{word} {name}" if word not in name.lower() else name
            self._measure(name, " ".join(raw.split()), kind, begin, finish)

    def _measure(self, name: str, value: str, kind: str, start: int, end: int) -> None:
        self.evals.append(
            Statement(name[:MAX_NAME], value[:MAX_VALUE], kind, self.line_of(start), start, end)
        )


def _has_keyword(low: str) -> bool:
    # Substring tests in C; written out because a generator costs more than the tests.
    return (
        "learning" in low
        or "lr" in low
        or "batch" in low
        or "epoch" in low
        or "seed" in low
        or "optim" in low
        or "schedul" in low
        or "warm" in low
        or "decay" in low
        or "dropout" in low
        or "accum" in low
        or "adam" in low
        or "sgd" in low
        or "length" in low
        or "_len" in low
        or "grad_norm" in low
        or "lora" in low
    )


def _has_metric(low: str) -> bool:
    return (
        "f1" in low
        or "loss" in low
        or "precision" in low
        or "recall" in low
        or "auc" in low
        or "acc" in low
        or "f-score" in low
        or "fscore" in low
        or "matthew" in low
        or "mcc" in low
        or "pearson" in low
        or "spearman" in low
    )


def _has_schedule(low: str) -> bool:
    return (
        "linear" in low
        or "cosine" in low
        or "constant" in low
        or "polynomial" in low
        or "inverse square root" in low
        or "exponential" in low
    )


def _small(raw: str) -> bool:
    value = number(raw)
    return value is not None and value < 1


def _cells(line: str) -> list[str]:
    inner = line.strip()
    if "\\|" in inner:
        inner = inner.replace("\\|", "/")
    if inner.startswith("|"):
        inner = inner[1:]
    if inner.endswith("|"):
        inner = inner[:-1]
    return inner.split("|")


def _is_history(names: Sequence[str]) -> bool:
    """Whether column names are those of a training-results table."""
    have = set(names)
    losses = have & {
        "training_loss",
        "train_loss",
        "validation_loss",
        "valid_loss",
        "eval_loss",
        "val_loss",
        "loss",
    }
    timed = have & {"epoch", "epochs", "step", "steps", "num_of_epochs"}
    return bool(losses) and (bool(timed) or {"training_loss", "validation_loss"} <= have)


def _scalars(value: Any) -> tuple[str, ...]:
    """Short scalars of a front-matter value: a scalar, or a list of scalars."""
    items = value if isinstance(value, list) else [value]
    found: list[str] = []
    for item in items[:100]:
        if isinstance(item, dict):
            item = item.get("name") or item.get("type") or item.get("id")
        if isinstance(item, str):
            token = " ".join(item.split())
            if token and len(token) <= 200 and token.lower() not in ("null", "none", "~"):
                found.append(token[:120])
    return tuple(found)
