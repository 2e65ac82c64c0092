"""LoRA through PEFT: adapters that PEFT loads, trained by this package's own loop.

Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021 (arXiv:2106.09685).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

HEADS = ("classifier", "pre_classifier", "score")
# Queries and values, as PEFT's own table has it for the families that it lists.
TARGETS = {"distilbert": ["q_lin", "v_lin"], "albert": ["query", "value"]}


def add_adapter(
    model: PreTrainedModel, new_parameters: Sequence[str], spec: Mapping[str, Any]
) -> PeftModel:
    """Wrap a copy of a classifier: queries and values get an adapter, the head is trained.

    Args:
        model: base classifier with its head initialised; left as it is.
        new_parameters: names of the parameters that the checkpoint does not hold.
        spec: canonical specification with ``method: lora``.

    Raises:
        UserError: when PEFT does not know which layers of the family to adapt.
    """
    import peft
    import torch

    heads = {name for name, _ in model.named_children() if name in HEADS}
    heads |= {name.rpartition(".")[0] for name in new_parameters if name.split(".")[0] not in heads}
    config = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=spec["lora_r"],
        lora_alpha=spec["lora_alpha"],
        lora_dropout=spec["lora_dropout"],
        target_modules=TARGETS.get(model.config.model_type),
        modules_to_save=sorted(heads),
    )
    torch.manual_seed(spec["seed"])
    try:
        return peft.get_peft_model(copy.deepcopy(model), config)
    except ValueError as error:
        raise UserError(
            f"LoRA is not known for '{model.config.model_type}' ({error})", fix="use method: full"
        ) from error


def merge_adapter(base: str | Path, adapter: str | Path, out: str | Path) -> None:
    """Merge a saved adapter into its base classifier and save a plain ``transformers`` model.

    Args:
        base: folder of the base model.
        adapter: a run's ``model`` folder (PEFT format).
        out: folder to write.

    Raises:
        UserError: when the adapter's folder is not one.
    """
    import peft

    from tunescape.tables import read_json
    from tunescape.training.models import load_classifier

    source = Path(adapter)
    if not (source / "adapter_config.json").is_file():
        raise UserError("no adapter_config.json", where=str(source), expected="a PEFT adapter")
    names = read_json(source / "label_names.json")
    model, _ = load_classifier(Path(base), names)
    wrapped = peft.PeftModel.from_pretrained(model, str(source))
    wrapped.merge_and_unload().save_pretrained(str(out), safe_serialization=True)
