"""The mini review corpus has the properties its README states."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "resources" / "mini_reviews"
COLUMNS = ["id", "sentence", "label", "kind", "domain", "noise"]
KINDS = {"plain", "negation", "contrast", "irony", "understatement", "mixed", "comparative"}
HARD = {"negation", "contrast", "irony", "understatement"}


def load_describe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("describe", FOLDER / "describe.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def train() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "train.csv")


@pytest.fixture(scope="module")
def validation() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "validation.csv")


@pytest.fixture(scope="module")
def both(train: pd.DataFrame, validation: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([train, validation], ignore_index=True)


def words(sentence: str) -> list[str]:
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)*", sentence.lower())


def near_duplicates(sentences: list[str], limit: float = 0.5) -> list[tuple[str, str]]:
    """Pairs whose word trigrams have a Jaccard similarity of at least `limit`."""
    grams = [set(zip(w, w[1:], w[2:], strict=False)) for w in map(words, sentences)]
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, own in enumerate(grams):
        for gram in own:
            holders[gram].append(number)
    shared = Counter(
        pair for numbers in holders.values() for pair in itertools.combinations(numbers, 2)
    )
    return [
        (sentences[i], sentences[j])
        for (i, j), n in shared.items()
        if n >= limit * (len(grams[i]) + len(grams[j]) - n)
    ]


@pytest.mark.parametrize("name", ["train.csv", "validation.csv"])
def test_file_is_plain_utf8_csv(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    text = data.decode("utf-8")
    assert not data.startswith(b"\xef\xbb\xbf") and b"\r" not in data
    assert not re.search("[\u2010-\u2027\u2039\u203a\u00a0\u00ab\u00bb]", text)
    frame = pd.read_csv(FOLDER / name)
    assert list(frame.columns) == COLUMNS
    assert frame.notna().all(axis=None)
    assert len(text.splitlines()) == len(frame) + 1


def test_sizes_ids_and_codes(
    train: pd.DataFrame, validation: pd.DataFrame, both: pd.DataFrame
) -> None:
    assert len(both) >= 1400 and len(train) >= 1000 and len(validation) >= 400
    assert both["id"].is_unique
    assert train["id"].str.fullmatch(r"t\d{4}").all()
    assert validation["id"].str.fullmatch(r"v\d{4}").all()
    assert set(both["label"]) == set(both["noise"]) == {0, 1}
    assert set(both["kind"]) == KINDS


def test_sentences_are_short_and_trimmed(both: pd.DataFrame) -> None:
    assert both["sentence"].str.split().str.len().between(6, 25).all()
    assert both["sentence"].str.fullmatch(r"[A-Z].*[.?!]").all()
    assert not both["sentence"].str.contains("  ").any()


def test_sentences_are_distinct_and_splits_do_not_overlap(both: pd.DataFrame) -> None:
    assert both["sentence"].map(lambda s: " ".join(words(s))).is_unique
    assert near_duplicates(both["sentence"].tolist()) == []


def test_near_duplicate_check_finds_a_small_edit() -> None:
    pair = [
        "The soup was cold and the waiter was rude.",
        "The soup was cold and the waiter was slow.",
    ]
    assert near_duplicates([*pair, "A sharp knife that is a pleasure to use."]) == [tuple(pair)]


def test_labels_are_balanced_overall_by_domain_and_by_kind(both: pd.DataFrame) -> None:
    true = both["label"].where(both["noise"] == 0, 1 - both["label"])
    split = both["id"].str[0]
    assert (both.groupby(split)["label"].mean() == 0.5).all()
    assert (true.groupby([split, both["domain"]]).mean() == 0.5).all()
    assert true.groupby([split, both["kind"]]).mean().between(0.4, 0.6).all()


def test_any_first_rows_are_nearly_balanced(train: pd.DataFrame) -> None:
    for n in (100, 300, 500):
        assert 0.4 <= train["label"].head(n).mean() <= 0.6


def test_share_of_hard_kinds(train: pd.DataFrame, validation: pd.DataFrame) -> None:
    for frame in (train, validation):
        assert 0.35 <= frame["kind"].isin(HARD).mean() <= 0.45


def test_noise_is_in_training_only_and_symmetric(
    train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    assert validation["noise"].sum() == 0
    assert 0.03 <= train["noise"].mean() <= 0.05
    assert train.loc[train["noise"] == 1, "label"].mean() == 0.5


def test_validation_has_unseen_domains_and_words(
    train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    assert len(set(validation["domain"]) - set(train["domain"])) >= 2
    known = {word for sentence in train["sentence"] for word in words(sentence)}
    seen = {word for sentence in validation["sentence"] for word in words(sentence)}
    assert len(seen - known) / len(seen) >= 0.25


def test_readme_states_the_counts_of_the_files(train: pd.DataFrame) -> None:
    describe = load_describe()
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert describe.embed(readme) == readme
    assert f"| {train['noise'].sum()} ({train['noise'].mean():.1%}) |" in readme


def test_licence_is_the_public_domain_dedication() -> None:
    assert "SPDX-License-Identifier: CC0-1.0" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
