"""Find the fine-tunes of base models on the Hub and pin them.

The Hub's tags say which model was made from which, and how; older cards say it in a sentence
only. These are found by name and confirmed by reading the card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError
from tunescape.hub import CACHE
from tunescape.identity import canonical_model, hub_spellings
from tunescape.live.cache import Cache
from tunescape.live.harvest import (
    POPULATION,
    download,
    flow_beside,
    has_token,
    one_message,
    policy_of,
)
from tunescape.live.listing import Info, children, named, relations
from tunescape.live.pins import Pin, read_pins, write_pins
from tunescape.live.plan import Plan, announce
from tunescape.schemas import FLOW_COLUMNS
from tunescape.tables import write_json, write_table

if TYPE_CHECKING:
    from tunescape.live.client import Policy

Reason = Callable[[Info], str]
"""Why a listed model is left out; empty when it is not."""


def discover_models(
    spec: Mapping[str, Any],
    out_report: str | Path,
    *,
    folder: str | Path = CACHE,
    policy: Policy | None = None,
) -> dict[str, int]:
    """List the models made from the configured base models, and pin them.

    The list and its sample flow are written where the study looks for them, not where a rule would:
    they are a source file to keep, which nothing but a discovery changes.

    Args:
        spec: ``models`` (the list's path), ``base_models``, ``relations``, ``search``, ``task``,
            ``library``, ``modified_after``, ``modified_before``, ``min_downloads``, and what
            ``harvest.download`` takes.
        out_report: JSON of counts: pinned, and new, changed and vanished since the list before.
        folder: where downloads are kept between calls.
        policy: in place of the one that ``spec`` asks for.

    Returns:
        The counts of ``out_report``.

    Raises:
        UserError: when no base model is named, nothing is found, or the network fails.
    """
    if not spec["base_models"]:
        raise UserError(
            "no base model to look for",
            where="discovery.base_models",
            fix="name models there (`owner/name`); patterns of populations cannot be listed",
        )
    cache = Cache(folder)
    listed = _listed(spec, cache, policy)
    flow = _Flow(len(listed))
    models = list(listed.values())
    for step, reason in _filters(spec):
        models = flow.apply(step, models, reason)
    pins = {info["id"]: _pin(info, spec) for info in models}
    _confirm(models, pins, flow, spec, cache, policy)
    if not pins:
        raise UserError(
            f"none of {len(listed):,} listed models is left by the filters",
            where="discovery",
            fix=f"see {_write_flow(flow, spec)} for what each filter left out",
        )
    target = Path(spec["models"])
    before = {pin.id: pin.revision for pin in read_pins(target)} if target.exists() else {}
    now = {pin.id: pin.revision for pin in pins.values()}
    for info in models:
        if info["id"] in pins:
            cache.write("listed", info["id"], info["sha"], info)
    write_pins(pins.values(), target)
    flow.rows.append((POPULATION, "discover", "pinned", len(now), len(now), 0))
    _write_flow(flow, spec)
    told = {
        "pinned": len(now),
        "new": len(now.keys() - before.keys()),
        "changed": sum(before.get(key, sha) != sha for key, sha in now.items()),
        "vanished": len(before.keys() - now.keys()),
    }
    write_json(told, out_report)
    announce(
        f"{len(now):,} models pinned in {target} ({told['new']:,} new, {told['changed']:,} "
        f"changed, {told['vanished']:,} vanished); `snakemake` with `hub.source: hub` harvests them"
    )
    return told


def _listed(spec: Mapping[str, Any], cache: Cache, policy: Policy | None) -> dict[str, Info]:
    """Every model that a listing gives, by id; those of the tree first."""
    from huggingface_hub import HfApi

    from tunescape.live.client import hub_session

    signed_in = has_token()
    spellings = [name for base in spec["base_models"] for name in hub_spellings(base)]
    queries = len(spellings) + len(spec["search"])
    plan = Plan(models=0, cached=0, listings=queries, infos=0, files=0)
    least = plan.seconds(policy_of(spec, signed_in).requests_per_second, signed_in)
    announce(
        f"{queries} listings of 1,000 models a request, from {least:.0f} s; "
        f"{'a' if signed_in else 'no'} token is set"
    )
    found: dict[str, Info] = {}
    with hub_session(policy or policy_of(spec, signed_in)) as client, one_message(cache, []):
        api = HfApi()
        for base in spec["base_models"]:
            found.update((info["id"], info) for info in children(api, base))
        for term in spec["search"]:
            for info in named(api, term):
                found.setdefault(info["id"], info)
        announce(f"{len(found):,} models listed in {client.sent:,} requests")
    return {key: found[key] for key in sorted(found)}


def _filters(spec: Mapping[str, Any]) -> Iterable[tuple[str, Reason]]:
    """Steps of the sample flow that need no download, in order."""
    wanted = _wanted(spec)

    def relation(info: Info) -> str:
        stated = relations(info["tags"])
        if not stated:
            return ""
        own = [kind for base, kind in stated.items() if _key(base) in wanted]
        if not own:
            return "made from another base model"
        if any(kind in spec["relations"] or not kind for kind in own):
            return ""
        return f"relation: {own[0]}"

    def state(info: Info) -> str:
        if info["disabled"]:
            return "disabled"
        return "private" if info["private"] else "" if info["sha"] else "no commit"

    def task(info: Info) -> str:
        stated = info["pipeline_tag"]
        if spec["task"] is None or stated == spec["task"]:
            return ""
        return "other task" if stated else "no task stated"

    def library(info: Info) -> str:
        same = spec["library"] is None or info["library_name"] == spec["library"]
        return "" if same else "other library"

    def date(info: Info) -> str:
        day = (info["lastModified"] or "")[:10]
        if spec["modified_after"] and day < spec["modified_after"]:
            return f"modified before {spec['modified_after']}"
        if spec["modified_before"] and day >= spec["modified_before"]:
            return f"modified from {spec['modified_before']} on"
        return ""

    def downloads(info: Info) -> str:
        few = (info["downloads"] or 0) < spec["min_downloads"]
        return f"fewer than {spec['min_downloads']} downloads" if few else ""

    return [
        ("base model", relation),
        ("state", state),
        ("task", task),
        ("library", library),
        ("date", date),
        ("downloads", downloads),
    ]


def _confirm(
    models: Sequence[Info],
    pins: dict[str, Pin],
    flow: _Flow,
    spec: Mapping[str, Any],
    cache: Cache,
    policy: Policy | None,
) -> None:
    """Read the cards of models without a tag; keep those whose card names a wanted base."""
    unsure = [info for info in models if not relations(info["tags"])]
    for info in unsure:
        cache.write("listed", info["id"], info["sha"], info)
    if unsure:
        download([pins[info["id"]] for info in unsure], cache, spec, policy)
    wanted = _wanted(spec)
    doubtful = {info["id"] for info in unsure}

    def card(info: Info) -> str:
        if info["id"] not in doubtful:
            return ""
        entry = cache.read("models", info["id"], info["sha"]) or {}
        if entry.get("status") != "ok":
            return f"card not read: {entry.get('status', 'unknown')}"
        base = _base_of_card(entry["card"])
        if base is None:
            return "card names no base model"
        if _key(base) not in wanted:
            return "card names another base model"
        pins[info["id"]] = _pin(info, spec, wanted[_key(base)])
        return ""

    kept = {info["id"] for info in flow.apply("card", models, card)}
    for model in [key for key in pins if key not in kept]:
        del pins[model]


def _base_of_card(text: str) -> str | None:
    from tunescape.cards import interpret, read_card

    value = interpret(read_card(text), {}).value("base_model")
    return value if isinstance(value, str) else None


def _wanted(spec: Mapping[str, Any]) -> dict[str, str]:
    """Folded spelling -> base model as the study names it."""
    return {_key(base): base for base in spec["base_models"]}


def _key(base: str) -> str:
    return (canonical_model(base) or base).casefold()


def _pin(info: Info, spec: Mapping[str, Any], named_base: str | None = None) -> Pin:
    wanted = _wanted(spec)
    own = {base: kind for base, kind in relations(info["tags"]).items() if _key(base) in wanted}
    # A merge of several bases, or a child of one under two spellings: the stated relation counts.
    base = next(iter(sorted(own, key=lambda name: (not own[name], name))), None)
    return Pin(
        id=info["id"],
        revision=info["sha"],
        last_modified=info["lastModified"] or "",
        gated=info["gated"],
        downloads=info["downloads"],
        likes=info["likes"],
        base_model=wanted[_key(base)] if base else named_base or "",
        relation=(own[base] or "finetune") if base else "finetune",
        found_by="tree" if base else "name",
    )


class _Flow:
    """Counts what each filter leaves out."""

    def __init__(self, listed: int) -> None:
        self.rows: list[tuple[Any, ...]] = [(POPULATION, "discover", "listed", listed, listed, 0)]

    def apply(self, step: str, models: Sequence[Info], reason: Reason) -> list[Info]:
        """The models without a reason against them."""
        kept, counts = [], Counter[str]()
        for info in models:
            said = reason(info)
            counts.update([said] if said else [])
            if not said:
                kept.append(info)
        before = len(models)
        for said, removed in sorted(counts.items()):
            self.rows.append((POPULATION, step, said, before, before - removed, removed))
            before -= removed
        return kept


def _write_flow(flow: _Flow, spec: Mapping[str, Any]) -> Path:
    import pandas as pd

    path = flow_beside(spec["models"])
    write_table(pd.DataFrame(flow.rows, columns=list(FLOW_COLUMNS)), path, FLOW_COLUMNS)
    return path
