"""tabulate_lora: losses by epoch, data sizes and ranks, all judged on the same rows."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_json, read_table

PLACE = Path("results/experiments/imdb-lora")


def test_the_three_tables_have_seeds_and_intervals(tuned: Path) -> None:
    losses, sizes, ranks = (
        read_table(tuned / PLACE / f"lora/{name}.csv") for name in ("losses", "sizes", "ranks")
    )
    assert sizes["train_size"].tolist() == [16, 32] and ranks["lora_r"].tolist() == [1, 2, 4]
    for table in (sizes, ranks):
        assert (table["runs"] == 2).all() and (table["n_eval"] == 30).all()
        assert table[["seconds", "examples_per_second", "f1"]].notna().all().all()
        assert (table["loss_low"] <= table["loss"]).all()
    base = losses[(losses["train_size"] == 16) & (losses["lora_r"] == 4)]
    assert base["epoch"].tolist() == [1, 2] and base["train_loss"].notna().all()
    told = read_json(tuned / PLACE / "lora/summary.json")
    assert told["same_evaluation_rows"] and told["baseline"] == {"train_size": 16, "lora_r": 4}


def test_adapters_are_small_and_peft_knows_them(tuned: Path) -> None:
    runs = read_table(tuned / PLACE / "runs.csv")
    for run in runs["run_id"]:
        model = tuned / f"results/runs/{run}/model"
        config = read_json(model / "adapter_config.json")
        assert config["peft_type"] == "LORA" and config["r"] in (1, 2, 4)
        assert (model / "adapter_model.safetensors").stat().st_size < 40_000
        assert not (model / "model.safetensors").exists()
