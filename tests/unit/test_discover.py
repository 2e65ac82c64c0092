"""Discovery: the tree of base models, old cards by name, every filter counted, a pinned list."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hub_cards import SST2
from tunescape.errors import UserError
from tunescape.identity import hub_spellings
from tunescape.live.discover import discover_models
from tunescape.live.listing import relations

BASE = f"distilbert/{SST2}"


def test_children_of_a_base_are_pinned_sorted(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["discover"]
    names = [model.split("/")[1] for model, *_ in found["pins"]]
    assert names == [
        *("my-sst-2-english-tuned", "plain-0", "plain-3", "plain-6"),
        *("bare", "plain-1", "plain-4", "plain-2", "plain-5"),
    ]
    assert found["sorted"] and found["revisions"]
    assert all(base == BASE and relation == "finetune" for _, base, relation, _ in found["pins"])
    head = found["lines"][0].split("\t")
    assert head[:6] == ["id", "revision", "last_modified", "gated", "downloads", "likes"]


def test_old_cards_are_found_by_name_and_confirmed_from_their_sentence(
    hub_cases: dict[str, Any],
) -> None:
    found = hub_cases["discover"]
    by_name = [model for model, *_, how in found["pins"] if how == "name"]
    assert by_name == ["owner0/my-sst-2-english-tuned"]
    card = [row[1] for row in found["flow"] if row[0] == "card"]
    assert card == [
        "card names another base model",
        "card names no base model",
        "card not read: no card",
    ]


def test_every_filter_is_counted_and_the_flow_adds_up(hub_cases: dict[str, Any]) -> None:
    flow = hub_cases["discover"]["flow"]
    steps = ["discover", *["base model"] * 3, "state", "task", "library", "date", *["card"] * 3]
    assert [step for step, *_ in flow] == [*steps, "discover"]
    reasons = {reason for _, reason, *_ in flow}
    assert {"relation: adapter", "relation: quantized", "other task", "disabled"} < reasons
    assert "modified before 2022-01-01" in reasons
    for (*_, after, _), (_, _, before, *_) in pairwise(flow):
        assert after == before
    assert all(before - removed == after for _, _, before, after, removed in flow)
    assert flow[0][3] == 19 and flow[-1][3] == 9


def test_adapters_and_quantised_children_are_told_apart(hub_cases: dict[str, Any]) -> None:
    assert hub_cases["discover"]["wider"] == {"pinned": 2, "new": 2, "changed": 0, "vanished": 9}


def test_a_second_discovery_reads_no_card_again(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["discover"]
    assert found["first"] == {"pinned": 9, "new": 9, "changed": 0, "vanished": 0}
    assert found["again"] == {"pinned": 9, "new": 0, "changed": 0, "vanished": 0}
    assert found["cards_again"] == 0


def test_a_harvest_after_it_asks_for_cards_alone(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["discover"]
    assert set(found["after"]) == {"resolve", "file", "cdn"}
    assert found["after"]["resolve"] == 8 and found["harvested"] == {"ok": 9}
    assert found["harvest_flow"][0] == "discover"


def test_nothing_left_says_where_to_look(hub_cases: dict[str, Any]) -> None:
    assert "none of 19 listed models is left" in hub_cases["discover"]["nothing"]
    assert "models.flow.csv" in hub_cases["discover"]["nothing"]


def test_no_base_model_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"discovery\.base_models"):
        discover_models({"base_models": []}, tmp_path / "report.json")


def test_early_models_are_listed_under_both_spellings() -> None:
    assert hub_spellings(BASE) == [BASE, SST2]
    assert hub_spellings("roberta-base") == ["roberta-base", "FacebookAI/roberta-base"]
    assert hub_spellings("org/model") == ["org/model"]


def test_relations_are_read_from_tags() -> None:
    tags = ["x", f"base_model:{BASE}", f"base_model:adapter:{BASE}", "base_model:a/b"]
    assert relations(tags) == {BASE: "adapter", "a/b": ""}
