"""Model ids: file names that are injective on every file system, and stable buckets."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tunescape.errors import UserError
from tunescape.hub import (
    NAME_LIMIT,
    bucket_names,
    bucket_of,
    is_hub_id,
    name_of,
    owner_of,
    safe_name,
)

word = st.text("abcXYZ019._-", min_size=1, max_size=12)
hub_like = st.builds("/".join, st.lists(word, min_size=1, max_size=2))
anything = st.one_of(hub_like, st.text(max_size=320), st.text("aA/.-~x\0\n\\", max_size=30))


@given(anything)
@example("../../etc/passwd")
@example("..")
@example("")
@example("a/../b")
@example("a/b\0c")
@example("A" * 300)
@example("org/" + "İ" * 150)
@example("CON")
@example("con.txt")
@example("-rf")
@example("\ud800")
@example("~root/x")
def test_a_safe_name_is_one_short_plain_path_part(model_id: str) -> None:
    name = safe_name(model_id)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._~-]*", name), name
    assert ".." not in name
    assert len(name.encode()) <= NAME_LIMIT
    folder = Path("/data/raw")
    assert (folder / f"{name}.json").resolve().parent == folder.resolve()
    assert name.split(".")[0].casefold() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}


@given(anything, anything)
@example("Org/Model", "org/model")
@example("org/model", "org--model")
@example("a-/b", "a/-b")
@example("a/b/c", "a/b--c")
@example("a\x00b", "a\x01b")
@example("ß/x", "ss/x")
@example("A", "a~1")
@example("x" * 300, "x" * 301)
def test_safe_names_differ_even_where_case_does_not_count(one: str, other: str) -> None:
    if one != other:
        assert safe_name(one).casefold() != safe_name(other).casefold()


@given(st.text("abAB", min_size=1, max_size=8))
def test_ids_that_differ_in_case_alone_get_different_names(text: str) -> None:
    variants = {text, text.lower(), text.upper(), text.swapcase()}
    assert len({safe_name(v).casefold() for v in variants}) == len(variants)


def test_ordinary_ids_stay_readable() -> None:
    assert safe_name("distilbert/distilbert-base-uncased") == "distilbert--distilbert-base-uncased"
    assert safe_name("gpt2") == "gpt2"
    assert safe_name("AAli/bert") == "AAli--bert~3"


@pytest.mark.parametrize("text", ["gpt2", "a/b", "Jeevesh8/x_1.2-y", "a" * 96])
def test_hub_ids(text: str) -> None:
    assert is_hub_id(text)


@pytest.mark.parametrize(
    "text", ["", "a/b/c", "a--b", "a..b", ".a", "a.", "-a", "a/", "/a", "a b", "é", "a" * 97, "a\n"]
)
def test_not_hub_ids(text: str) -> None:
    assert not is_hub_id(text)


def test_owner_and_name() -> None:
    assert (owner_of("a/b"), name_of("a/b")) == ("a", "b")
    assert (owner_of("gpt2"), name_of("gpt2")) == (None, "gpt2")


def test_buckets_are_padded_stable_and_even() -> None:
    assert bucket_names(11) == [f"{n:02d}" for n in range(11)]
    assert bucket_names(1) == ["0"]
    # Pinned: another hash would move every model on disk.
    assert [bucket_of(i, 16) for i in ("gpt2", "a/b", "é")] == ["10", "13", "03"]
    counts = Counter(bucket_of(f"owner/model-{n}", 8) for n in range(4000))
    assert set(counts) == set(bucket_names(8))
    assert max(counts.values()) < 1.2 * 500


@given(anything, st.integers(1, 300))
def test_every_id_has_a_bucket(model_id: str, buckets: int) -> None:
    assert bucket_of(model_id, buckets) in bucket_names(buckets)


def test_no_buckets_is_refused() -> None:
    with pytest.raises(UserError, match="0 buckets"):
        bucket_of("a", 0)
    with pytest.raises(UserError, match="-1 buckets"):
        bucket_names(-1)
