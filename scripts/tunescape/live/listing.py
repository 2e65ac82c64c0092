"""Listings of the Hub: metadata of a thousand models a request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tunescape.hub import is_hub_id
from tunescape.identity import hub_spellings

if TYPE_CHECKING:
    from huggingface_hub import HfApi

EXPAND = [
    "config",
    "disabled",
    "downloads",
    "gated",
    "lastModified",
    "library_name",
    "likes",
    "pipeline_tag",
    "private",
    "safetensors",
    "sha",
    "siblings",
    "tags",
]
"""What is asked for. Card data is left out: it is the front matter of README.md, which is read at
the pinned commit, and huggingface_hub does not survive every front matter that people write."""

RELATIONS = ("finetune", "adapter", "quantized", "merge")

SIBLING_LIMIT = 500
"""Most file names that are kept of one model."""

_CONFIG = ("architectures", "model_type", "id2label", "num_labels", "peft", "adapter_transformers")
_TAG = re.compile(r"base_model:(?:(" + "|".join(RELATIONS) + r"):)?(.+)")

Info = dict[str, Any]
"""Metadata of one model, in the words of the Hub's API; plain data."""


def children(api: HfApi, base_model: str) -> Iterator[Info]:
    """Models whose tags name a base model, whatever their relation to it.

    Args:
        api: the Hub.
        base_model: its id; early names are asked for with and without their owner.
    """
    for name in hub_spellings(base_model):
        for found in api.list_models(filter=f"base_model:{name}", expand=EXPAND):
            yield from _info(found)


def named(api: HfApi, term: str) -> Iterator[Info]:
    """Models whose ids contain a term."""
    for found in api.list_models(search=term, expand=EXPAND):
        yield from _info(found)


def one(api: HfApi, model_id: str, revision: str) -> Info | None:
    """Metadata of one model at a commit; ``None`` when what is found is no model."""
    return next(_info(api.model_info(model_id, revision=revision, expand=EXPAND)), None)


def relations(tags: Sequence[str]) -> dict[str, str]:
    """Base model -> relation (empty when it is not stated), from a model's tags."""
    found: dict[str, str] = {}
    for tag in tags:
        match = _TAG.fullmatch(tag)
        if match and (match[1] or match[2] not in found):
            found[match[2]] = match[1] or ""
    return found


def _info(model: Any) -> Iterator[Info]:
    """Plain data of a ``ModelInfo``; nothing when the id cannot be one."""
    if not isinstance(model.id, str) or not is_hub_id(model.id):
        return
    names = [sibling.rfilename for sibling in model.siblings or ()]
    # README.md and evaluations first, so that a model of many shards keeps what is asked for.
    names.sort(key=lambda name: not name.startswith((".eval_results/", "README", "config.json")))
    parameters = model.safetensors
    yield {
        "id": model.id,
        "sha": model.sha,
        "lastModified": _iso(model.last_modified),
        "downloads": model.downloads,
        "likes": model.likes,
        "tags": model.tags or [],
        "pipeline_tag": model.pipeline_tag,
        "library_name": model.library_name,
        "gated": model.gated if isinstance(model.gated, str) else "no",
        "private": bool(model.private),
        "disabled": bool(model.disabled),
        "config": config_of(model.config),
        "siblings": None if model.siblings is None else names[:SIBLING_LIMIT],
        "parameters": {"total": parameters.total, **dict(parameters.parameters)}
        if parameters
        else None,
    }


def config_of(found: object) -> dict[str, Any] | None:
    """What the analysis uses of a model's config; ``None`` when there is none."""
    if not isinstance(found, Mapping):
        return None
    return {key: found[key] for key in _CONFIG if key in found}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
