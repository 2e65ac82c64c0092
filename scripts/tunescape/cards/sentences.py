"""Base models and data sets that the sentences of a card name.

Sentences are not parsed: each pattern is tried around its key words only, in order of weight, and
the first that names something speaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from tunescape.cards.patterns import (
    BARE_DATASET,
    BASE_PATTERNS,
    CHECKPOINT_NAME,
    COLLECTED,
    DATASET_AFTER,
    DATASET_PATTERNS,
    DATASET_URL,
    FILLERS,
    HUB_ID,
    HUB_URL,
    LANGUAGES,
    LINKED,
    LISTED_NAME,
    LOOKS_MODEL,
    MD_LINK,
    MODEL_RE,
    NEXT_NAME,
    NO_DATASET,
    SCRATCH,
    TEXTATTACK,
    TRAINING_DATA,
    UNNAMED,
)
from tunescape.cards.records import Statement

MAX_PROSE = 40_000
"""Characters of a card in which sentences are looked for."""
MAX_DATASET = 80
"""Longest name of a data set."""


def sentence_facts(text: str, offset: int, line_of: Callable[[int], int]) -> list[Statement]:
    """What the sentences of a card name.

    Args:
        text: the card.
        offset: where its body begins.
        line_of: line number of a character offset.

    Returns:
        Statements ``base_model`` (at most three) and ``dataset``, in the order of finding.
    """
    finder = _Finder(text, line_of)
    finder.find(offset)
    return finder.sentences


class _Finder:
    """State of one search."""

    def __init__(self, text: str, line_of: Callable[[int], int]) -> None:
        self.text = text
        self.line_of = line_of
        self.sentences: list[Statement] = []

    def find(self, offset: int) -> None:
        """Base model and data set of `... a fine-tuned version of [X](url) on the Y dataset`."""
        text = self.text
        stop = min(len(text), offset + MAX_PROSE)
        after = -1
        for rank, (words, before, pattern) in enumerate(BASE_PATTERNS):
            found = (
                (_model_id(*match.group(2, 3, 4, 5)), match.end("lead"), match.end())
                for match in self._windows(pattern, words, before, offset, stop)
            )
            for base, start, end in chain(
                found, self._tuned_models(offset, stop) if rank == 2 else ()
            ):
                if not base or any(said.value == base for said in self.sentences):
                    continue
                lead = text[max(offset, start - 40) : start + 12].lower()
                if (
                    "distilled" in lead
                    or "teacher" in lead
                    or "similar" in lead
                    or "compar" in lead
                ):
                    continue
                if after < 0:
                    after = end
                self._said("base_model", base[:120], start, end)
                if len(self.sentences) >= 3:
                    break
            if self.sentences:
                break
        if after >= 0 and self._dataset_after(after, stop):
            return
        if (
            "from scratch" in text
            and (scratch := SCRATCH.search(text, offset, stop))
            and self._dataset_after(scratch.end() - 1, stop)
        ):
            return
        if "dataset" in text or "trained on" in text or "tuned on" in text:
            self._dataset_sentence(offset, stop)

    def _tuned_models(self, offset: int, stop: int) -> Iterator[tuple[str, int, int]]:
        """Models named right before `fine-tuned` or `trained`: (id, start, end)."""
        text = self.text
        for verb in ("tuned", "trained"):
            position = text.find(verb, offset, stop)
            tried = 0
            while position >= 0 and tried < 40:
                tried += 1
                line = max(text.rfind("\n", 0, position) + 1, position - 420)
                lead = text[line:position]
                if lead[-5:].lower() in ("fine-", "-fine", " fine"):
                    lead = lead[:-5] if lead[-5] == "f" else lead[:-4]
                if not lead[-1:].isspace():
                    position = text.find(verb, position + len(verb), stop)
                    continue
                lead = lead.rstrip()
                for _ in range(6):
                    head, _, word = lead.rpartition(" ")
                    if word.lower().rstrip(",") not in FILLERS:
                        break
                    lead = head.rstrip()
                lead = lead.rstrip(", ")
                last = lead[-1:]
                opening = -1
                if last == ")":
                    opening = lead.rfind("[")
                elif last in "`*_\"']" and last:
                    opening = lead.rfind("[" if last == "]" else last, 0, len(lead.rstrip(last)))
                if opening < 0:
                    opening = lead.rfind(" ") + 1
                if match := MODEL_RE.fullmatch(lead, opening):
                    yield _model_id(*match.group(1, 2, 3, 4)), line + opening, position + len(verb)
                position = text.find(verb, position + len(verb), stop)

    def _windows(
        self,
        pattern: re.Pattern[str],
        words: Sequence[str],
        before: int,
        offset: int,
        stop: int,
    ) -> Iterator[re.Match[str]]:
        """Matches of a pattern around its key words only, in order and at most 40."""
        text = self.text
        places: list[int] = []
        for word in words:
            position = text.find(word, offset, stop)
            while position >= 0 and len(places) < 200:
                places.append(position)
                position = text.find(word, position + len(word), stop)
        places.sort()
        reached = offset
        for position in places[:40]:
            start = max(reached, position - before)
            if before > 100:
                start = max(start, text.rfind("\n", 0, position) + 1)
            match = pattern.match(text, start, min(stop, position + 420))
            if match is not None:
                reached = match.end()
                yield match

    def _said(self, name: str, value: str, start: int, end: int) -> None:
        self.sentences.append(Statement(name, value, "sentence", self.line_of(start), start, end))

    def _dataset_after(self, position: int, stop: int) -> bool:
        match = DATASET_AFTER.match(self.text, position, min(stop, position + 320))
        if match is None:
            return False
        raw = match[1].strip().lower()
        generated = "fine-tuned version of" in self.text[max(0, position - 400) : position]
        name = _dataset_name(match[1], named=not generated)
        behind = self.text[match.end() : match.end() + 12].lower()
        if "data" not in behind and "[" not in match[1] and not BARE_DATASET.match(name):
            return False
        if name:
            self._said("dataset", name, match.start(1), match.end(1))
            self._further_names(match.end(1))
        return bool(name) or (generated and raw in NO_DATASET)

    def _dataset_sentence(self, offset: int, stop: int) -> None:
        """Data sets that free text names as the training data."""
        text = self.text
        if "dataset" in text and (collected := COLLECTED.search(text, offset, stop)):
            first = re.compile(LINKED + r"|[_`]{1,2}[\w./-]{2,60}[_`]{1,2}").match(
                text, collected.end()
            )
            name = _dataset_name(first[0], named=True) if first else ""
            if first and name:
                self._said("dataset", name, first.start(), first.end())
                self._further_names(first.end())
                return
        for words, before, pattern in DATASET_PATTERNS:
            for match in self._windows(pattern, words, before, offset, stop):
                if MD_LINK.match(match[1]) and not _names_data(
                    match[1], text[match.end() : match.end() + 24]
                ):
                    continue
                name = _dataset_name(match[1], named=pattern is not TEXTATTACK)
                if name:
                    self._said("dataset", name, match.start(1), match.end(1))
                    if match[1].startswith("["):
                        self._further_names(match.end(1))
                    elif pattern is TRAINING_DATA:
                        self._listed_names(match.end(1))
                    return

    def _listed_names(self, position: int) -> None:
        """Plain names that go on after `Datasets: A`: `, B, C`."""
        for _ in range(20):
            match = LISTED_NAME.match(self.text, position)
            if match is None:
                return
            self._said("dataset", match[1], match.start(1), match.end(1))
            position = match.end()

    def _further_names(self, position: int) -> None:
        """Names that go on a list of data sets: `[A](..), [B](..) and [C](..)`."""
        for _ in range(12):
            match = NEXT_NAME.match(self.text, position)
            if match is None:
                return
            name = _dataset_name(match[1], named=True)
            if not name:
                return
            self._said("dataset", name, match.start(1), match.end(1))
            position = match.end()


def _model_id(label: str | None, url: str | None, ticked: str | None, bare: str | None) -> str:
    """The model that a link, a quoted or a bare name means; empty when it is no model."""
    if label is not None and url is None:
        ticked = label
    if url is not None:
        if label and label.startswith(("/", "./", "../")):
            # A local path, as the Trainer writes it.
            return label.strip()
        if found := HUB_URL.match(url):
            identifier = re.split(r"/(?:blob|tree|resolve|raw|commit)/", found[1])[0].strip("/. ")
            if identifier and len(identifier) <= 120:
                return identifier
        name = (label or "").strip("`*_ ")
        if name and HUB_ID.match(name) and LOOKS_MODEL.match(name):
            return name if "/" in name or CHECKPOINT_NAME.search(name) else ""
        return ""
    name = (ticked or bare or "").strip().rstrip(".,:;")
    if not name or not HUB_ID.match(name) or name.endswith((".py", ".ipynb", ".html", ".com")):
        return ""
    if LOOKS_MODEL.match(name) and ("/" in name or CHECKPOINT_NAME.search(name)):
        return name
    if ticked is not None and name.count("/") == 1 and "-" in name:
        return name
    return ""


def _names_data(link: str, after: str) -> bool:
    """Whether a link is one to data: by its address, its label or the word behind it."""
    low = link.lower()
    label = link[1 : link.find("]")]
    if (
        " " not in label
        and re.search(r"[A-Za-z]{2}.*[_\d]|[A-Z]{2}.*-", label)
        and not LOOKS_MODEL.match(label)
    ):
        return True
    return bool(re.search(r"dataset|corpus|kaggle|data\b|squad|glue", low)) or bool(
        re.match(r"\W{0,3}(?:\w{1,20}\s)?(?:data|corpus|corpora|benchmark)", after, re.I)
    )


def _dataset_name(raw: str, named: bool = False) -> str:
    """A data set's name from the words before `dataset`; empty when it names none.

    ``named`` asks for a proper name: a capital, a digit or a separator within it.
    """
    raw = raw.strip()
    if link := MD_LINK.match(raw):
        if found := DATASET_URL.match(link[2]):
            return found[1].strip("/")[:120]
        raw = link[1]
        if raw.lower().endswith(" dataset"):
            raw = raw[: -len(" dataset")]
    name = " ".join(raw.strip("`*_\"' :,").split())
    if named:
        name = re.split(
            r"\s(?:as|for|using|with|and|in|to|from|by|which|that|is|was)\s?(?:\b|$)",
            name,
            maxsplit=1,
        )[0].rstrip(".,")
        if not re.search(r"[A-Z0-9_/]", name) or re.search(r"[\[@]|['’]s\b|\A\d+\s[a-z]|-\Z", name):
            return ""
        words = name.lower().split(" ")
        if words[0] in UNNAMED or name.lower() in LANGUAGES or LOOKS_MODEL.match(name):
            return ""
    name = name.removeprefix("datasets: ")
    if not name or len(name) > MAX_DATASET or name.count(" ") > 6:
        return ""
    if name.lower().startswith("dataset") or '" "' in name or "(" in name[:-1].split(" (")[0]:
        return ""
    return "" if name.lower() in NO_DATASET else name
