"""The profiles: what the one for Slurm repeats, explains and names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def profiles(root: Path) -> dict[str, dict[str, Any]]:
    return {
        name: yaml.safe_load((root / f"profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    }


@pytest.fixture(scope="module")
def blocks(root: Path) -> dict[str, str]:
    """Rule -> its text."""
    text = "".join(path.read_text() for path in sorted((root / "rules").glob("*.smk")))
    parts = re.split(r"^(?:rule|checkpoint) (\w+):$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_slurm_repeats_the_default(profiles: dict[str, dict[str, Any]]) -> None:
    default, slurm = profiles["default"], profiles["slurm"]
    # Slurm itself shares out GPUs.
    assert set(default) - set(slurm) == {"resources"}
    shared = set(default) & set(slurm)
    assert {key: slurm[key] for key in shared} == {key: default[key] for key in shared}


@pytest.mark.parametrize("name", ["default", "slurm"])
def test_every_entry_says_its_reason(root: Path, name: str) -> None:
    paragraphs = (root / f"profiles/{name}/config.yaml").read_text().strip().split("\n\n")
    for paragraph in paragraphs[:-1]:
        assert paragraph.startswith("#"), paragraph


def test_array_jobs_are_rules_that_go_to_slurm(
    profiles: dict[str, dict[str, Any]], blocks: dict[str, str]
) -> None:
    for rule in profiles["slurm"]["slurm-array-jobs"].split(","):
        assert "localrule: True" not in blocks[rule], rule


def test_requests_grow_and_only_short_rules_are_local(blocks: dict[str, str]) -> None:
    for rule, block in blocks.items():
        memory = re.search(r"mem_mb=growing\((\d+)\)", block)
        minutes = re.search(r"runtime=growing\((\d+)\)", block)
        assert memory and minutes, rule
        if "localrule: True" in block:
            assert int(memory[1]) <= 2000, rule
            # The Hub is asked where there is network, for as long as it takes.
            assert int(minutes[1]) <= 30 or rule in {"discover_models", "fetch_models"}, rule
        assert ("gpu=STUDY.config.training.gpus" in block) == rule.startswith(("finetune", "train"))
    assert "localrule" not in blocks["finetune_pack"] + blocks["train_trials"]


def test_rules_that_ask_the_hub_are_local(blocks: dict[str, str]) -> None:
    for rule in ("discover_models", "fetch_models"):
        assert "localrule: True" in blocks[rule]
