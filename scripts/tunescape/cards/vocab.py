"""The vocabulary of model cards: names of fields, optimisers and schedules, and numbers."""

from __future__ import annotations

import math
import re
from functools import lru_cache

_NAME_JUNK = re.compile(r"[^a-z0-9@]+")

_FIELD_NAMES: dict[str, tuple[str, ...]] = {
    "learning_rate": (
        "learning_rate",
        "learning_rates",
        "learningrate",
        "initial_learning_rate",
        "init_learning_rate",
        "peak_learning_rate",
        "base_learning_rate",
        "maximum_learning_rate",
        "max_learning_rate",
        "constant_learning_rate",
        "fixed_learning_rate",
        "default_learning_rate",
        "lr",
        "init_lr",
        "base_lr",
        "max_lr",
        "peak_lr",
        "learning_rate_lr",
        "body_learning_rate",
        "l_r",
    ),
    "train_batch_size": (
        "train_batch_size",
        "training_batch_size",
        "train_batchsize",
        "train_bs",
        "training_batch_sizes",
        "per_device_train_batch_size",
        "per_device_training_batch_size",
        "per_gpu_train_batch_size",
        "train_batch_size_per_device",
        "train_batch_size_per_gpu",
        "per_device_batch_size",
        "per_gpu_batch_size",
        "batch_size_per_device",
        "batch_size_per_gpu",
        "instantaneous_batch_size_per_device",
        "batch_size",
        "batch_sizes",
        "batchsize",
        "batch",
        "mini_batch_size",
        "minibatch_size",
        "minibatch",
        "bs",
        "batch_size_train",
        "batch_size_training",
    ),
    "eval_batch_size": (
        "eval_batch_size",
        "evaluation_batch_size",
        "eval_bs",
        "per_device_eval_batch_size",
        "per_device_evaluation_batch_size",
        "per_gpu_eval_batch_size",
        "eval_batch_size_per_device",
        "validation_batch_size",
        "valid_batch_size",
        "val_batch_size",
        "dev_batch_size",
        "test_batch_size",
        "testing_batch_size",
    ),
    "total_train_batch_size": (
        "total_train_batch_size",
        "total_training_batch_size",
        "total_batch_size",
        "tot_batch_size",
        "effective_batch_size",
        "eff_batch_size",
        "effective_train_batch_size",
        "effective_training_batch_size",
        "global_batch_size",
        "global_train_batch_size",
    ),
    "total_eval_batch_size": ("total_eval_batch_size",),
    "seed": ("seed", "random_seed", "manual_seed", "training_seed", "global_seed"),
    "optimizer": (
        "optimizer",
        "optimiser",
        "optim",
        "optimizer_class",
        "optimizer_name",
        "optimizer_type",
        "optimizers",
    ),
    "lr_scheduler_type": (
        "lr_scheduler_type",
        "lr_scheduler",
        "lr_schedule",
        "lr_schedule_type",
        "learning_rate_scheduler",
        "learning_rate_scheduler_type",
        "learning_rate_schedule",
        "learning_rate_decay",
        "learning_rate_decay_type",
        "scheduler",
        "scheduler_type",
        "schedule",
        "lr_decay",
    ),
    "warmup_steps": (
        "lr_scheduler_warmup_steps",
        "warmup_steps",
        "warm_up_steps",
        "num_warmup_steps",
        "lr_warmup_steps",
        "warmup_step",
        "warmup_updates",
        "number_of_warmup_steps",
        "learning_rate_warmup_steps",
    ),
    "warmup_ratio": (
        "lr_scheduler_warmup_ratio",
        "warmup_ratio",
        "warm_up_ratio",
        "warmup_proportion",
        "lr_warmup_ratio",
        "lr_warmup_step_ratio",
        "warmup_fraction",
    ),
    "warmup": ("warmup", "warm_up", "lr_warmup"),
    "num_epochs": (
        "num_epochs",
        "num_train_epochs",
        "num_training_epochs",
        "num_epoch",
        "epochs",
        "epoch",
        "n_epochs",
        "n_epoch",
        "nb_epochs",
        "max_epochs",
        "max_epoch",
        "train_epochs",
        "training_epochs",
        "train_epoch",
        "training_epoch",
        "total_epochs",
        "total_epoch",
        "number_of_epochs",
        "number_of_epoch",
        "number_of_training_epochs",
        "number_of_train_epochs",
        "no_of_epochs",
        "number_epochs",
        "num_of_epochs",
        "num_of_epoch",
        "of_epochs",
        "fine_tuning_epochs",
        "finetuning_epochs",
        "maximum_epochs",
    ),
    "gradient_accumulation_steps": (
        "gradient_accumulation_steps",
        "gradient_accumulation",
        "gradient_accumulations",
        "gradient_accumulation_step",
        "gradients_accumulation_steps",
        "grad_accumulation_steps",
        "grad_accum_steps",
        "grad_accum",
        "grad_accumulation",
        "accumulate_grad_batches",
        "accum_grad",
        "accumulation_steps",
    ),
    "weight_decay": ("weight_decay", "weight_decay_rate", "wd", "l2_weight_decay"),
    "adam_epsilon": ("adam_epsilon", "adam_eps", "epsilon", "optimizer_epsilon"),
    "max_grad_norm": (
        "max_grad_norm",
        "max_gradient_norm",
        "gradient_clipping",
        "grad_clip",
        "gradient_clip_val",
        "clipnorm",
        "global_clipnorm",
    ),
    "dropout": (
        "dropout",
        "dropout_rate",
        "dropout_prob",
        "dropout_probability",
        "hidden_dropout_prob",
        "classifier_dropout",
        "seq_classif_dropout",
    ),
    "max_length": (
        "max_length",
        "max_len",
        "max_seq_length",
        "max_seq_len",
        "max_sequence_length",
        "max_sequence_len",
        "maximum_sequence_length",
        "maximum_length",
        "sequence_length",
        "max_token_length",
        "max_tokens",
        "max_input_length",
    ),
    "mixed_precision": (
        "mixed_precision_training",
        "mixed_precision",
        "training_precision",
        "precision_training",
    ),
    "distributed_type": ("distributed_type",),
    "num_devices": ("num_devices", "number_of_devices", "num_gpus", "n_gpu"),
    "max_steps": (
        "training_steps",
        "max_steps",
        "train_steps",
        "num_train_steps",
        "num_training_steps",
        "total_training_steps",
        "max_train_steps",
    ),
    "label_smoothing": ("label_smoothing_factor", "label_smoothing"),
    "lora_r": ("lora_r", "lora_rank", "r", "rank"),
    "lora_alpha": ("lora_alpha", "alpha"),
    "lora_dropout": ("lora_dropout",),
}
_FIELD_OF = {name: field for field, names in _FIELD_NAMES.items() for name in names}

# Names that mean a hyperparameter only within a list of hyperparameters.
AMBIGUOUS_NAMES = frozenset(
    {
        "batch",
        "bs",
        "epoch",
        "wd",
        "epsilon",
        "r",
        "rank",
        "alpha",
        "schedule",
        "precision_training",
    }
)

# Word of a name -> metric.
_METRIC_WORDS: dict[str, str] = {
    "accuracy": "accuracy",
    "acc": "accuracy",
    "f1": "f1",
    "f": "f1",
    "fscore": "f1",
    "fmeasure": "f1",
    "precision": "precision",
    "recall": "recall",
    "loss": "loss",
    "auc": "roc_auc",
    "rocauc": "roc_auc",
    "auroc": "roc_auc",
    "mcc": "matthews_correlation",
    "matthews": "matthews_correlation",
    "pearson": "pearson",
    "pearsonr": "pearson",
    "spearman": "spearmanr",
    "spearmanr": "spearmanr",
}
# Words that leave a metric's meaning as it is.
_NEUTRAL_WORDS = frozenset(
    {
        "eval",
        "evaluation",
        "validation",
        "valid",
        "val",
        "dev",
        "test",
        "testing",
        "final",
        "overall",
        "score",
        "scores",
        "value",
        "model",
        "the",
        "on",
        "set",
        "dataset",
        "data",
        "cross",
        "entropy",
        "correlation",
        "coefficient",
        "coef",
        "corr",
        "corrcoef",
        "roc",
        "measure",
        "measured",
        "total",
        "average",
        "avg",
        "mean",
        "s",
        "best",
        "ner",
        "seqeval",
        "sk",
        "categorical",
        "sparse",
        "binary",
        "thresh",
        "balanced",
        "is",
        "unbalanced",
        "not",
    }
)
_AVERAGE_WORDS = {"macro": "macro", "micro": "micro", "weighted": "weighted", "w": "weighted"}
_TRAIN_WORDS = frozenset({"train", "training"})

_FAMILIES: tuple[tuple[str, str], ...] = (
    ("adamweightdecay", "adamw"),
    ("adamw", "adamw"),
    ("adafactor", "adafactor"),
    ("adamax", "adamax"),
    ("nadam", "nadam"),
    ("radam", "radam"),
    ("adabelief", "adabelief"),
    ("adadelta", "adadelta"),
    ("adagrad", "adagrad"),
    ("rmsprop", "rmsprop"),
    ("novograd", "novograd"),
    ("ranger", "ranger"),
    ("lamb", "lamb"),
    ("lars", "lars"),
    ("lion", "lion"),
    ("sgd", "sgd"),
    ("stochasticgradientdescent", "sgd"),
    ("adam", "adam"),
)

_SCHEDULES: tuple[tuple[str, str], ...] = (
    ("cosinewithhardrestarts", "cosine_with_restarts"),
    ("cosinewithrestarts", "cosine_with_restarts"),
    ("cosinedecayrestarts", "cosine_with_restarts"),
    ("cosineannealingwarmrestarts", "cosine_with_restarts"),
    ("warmupcosinewithhardrestarts", "cosine_with_restarts"),
    ("constantwithwarm", "constant_with_warmup"),
    ("warmupconstant", "constant_with_warmup"),
    ("constantlr", "constant"),
    ("inversesqrt", "inverse_sqrt"),
    ("inversesquareroot", "inverse_sqrt"),
    ("inversetime", "inverse_time"),
    ("reducelronplateau", "reduce_lr_on_plateau"),
    ("reduceonplateau", "reduce_lr_on_plateau"),
    ("warmupstabledecay", "warmup_stable_decay"),
    ("onecycle", "one_cycle"),
    ("piecewiseconstant", "piecewise_constant"),
    ("exponential", "exponential"),
    ("tristage", "tristage"),
    ("polynomial", "polynomial"),
    ("cosine", "cosine"),
    ("linear", "linear"),
    ("constant", "constant"),
    ("noam", "noam"),
    ("warmuplr", "warmup"),
)


@lru_cache(maxsize=8192)
def normal_name(name: str) -> str:
    """A name in lower case with runs of other characters as single underscores."""
    return _NAME_JUNK.sub("_", name.lower()).strip("_")


@lru_cache(maxsize=4096)
def hyperparameter_field(name: str) -> str | None:
    """The hyperparameter that a stated name means, or None."""
    normal = normal_name(name)
    if (field := _FIELD_OF.get(normal)) is not None:
        return field
    for prefix in ("args_", "training_args_", "hparams_", "config_", "hyperparameters_", "the_"):
        if normal.startswith(prefix):
            return _FIELD_OF.get(normal.removeprefix(prefix))
    return None


_INNER_METRIC = re.compile(r"\(\s?eval[-_ ]([\w -]{2,30})\)", re.I)


@lru_cache(maxsize=4096)
def metric_of(name: str) -> tuple[str, str] | None:
    """The metric that a stated name means, with a qualifier, or None.

    The qualifier is empty for the headline, ``macro``, ``micro``, ``weighted``, ``train`` (a figure
    on the training set) or ``other`` (per class, per entity, at a threshold).
    """
    if (inner := _INNER_METRIC.search(name)) is not None:
        # `Accuracy (eval-f1)`: the name in parentheses is the metric that was computed.
        return metric_of(inner[1])
    normal = normal_name(name)
    if not normal or len(normal) > 60:
        return None
    words = normal.split("_")
    if "at" in words or "@" in name:
        return None
    metric = ""
    qualifier = ""
    for word in words:
        found = _METRIC_WORDS.get(word)
        if found is not None and not (
            word == "f" and "score" not in words and "measure" not in words
        ):
            if metric and metric != found:
                return None
            metric = found
        elif word in _AVERAGE_WORDS:
            qualifier = qualifier or _AVERAGE_WORDS[word]
        elif word in _TRAIN_WORDS:
            qualifier = "train"
        elif word not in _NEUTRAL_WORDS or (word == "thresh" and "best" in words):
            qualifier = "other"
    if not metric:
        return None
    if metric == "loss" and (qualifier in {"macro", "micro", "weighted"} or "ner" in words):
        qualifier = "other"
    if metric == "precision" and ("training" in words and len(words) == 2):
        return None
    if words == ["average", "precision"] or words == ["mean", "average", "precision"]:
        return None
    return metric, qualifier


# Measures without a column that are filed under one with a column (`type: precision`).
_OTHER_MEASURES = re.compile(
    r"(?:m?ap|mar|m?iou|jaccard|dice|(?:sacre)?bleu|rouge[\dl]*|meteor|chrf|ter|[wcp]er|eer"
    r"|perplexity|ppl|mrr|ndcg|hits?|mse|rmse|mae|mape|r2|psnr|ssim|fid|kappa|bertscore|reward"
    r"|error)\d*"
)


@lru_cache(maxsize=1024)
def names_another_measure(name: str) -> bool:
    """Whether a name that :func:`metric_of` does not take is that of a measure all the same.

    ``mAP@0.5``, ``Average Precision``, ``Accuracy@5``, ``WER``; not ``JGA``.
    """
    if "@" in name:
        return True
    words = normal_name(name).split("_")
    return any(word in _METRIC_WORDS or _OTHER_MEASURES.fullmatch(word) for word in words)


_OPTIMIZER_TOKEN = re.compile(r"[a-z]+")


@lru_cache(maxsize=1024)
def optimizer_family(value: str) -> str | None:
    """The family of an optimiser as stated (``adamw`` for ``adamw_torch``); None if unknown."""
    low = value.lower()[:120]
    if "stochastic gradient descent" in low:
        return "sgd"
    for token in _OPTIMIZER_TOKEN.findall(low.replace("weight decay", "weightdecay")):
        for word, family in _FAMILIES:
            if token == word or token in (f"fused{word}", f"paged{word}", f"torch{word}"):
                return family
            if token.startswith("adamw") and token not in ("adamwith",):
                return "adamw"
    return None


@lru_cache(maxsize=1024)
def schedule_family(value: str) -> str | None:
    """The schedule as stated, in the Trainer's words where it has one; None if unknown."""
    normal = re.sub(r"[^a-z]+", "", value.lower()[:80])
    for word, family in _SCHEDULES:
        if word in normal:
            return family
    return None


_SIGNS = str.maketrans({"−": "-", "–": "-", "‐": "-", "‑": "-", "·": "*", "×": "*", "⋅": "*"})
_PLAIN = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,4})?\Z")
_POWER = re.compile(
    r"(?:(?P<mantissa>\d+(?:\.\d+)?)\s{0,2}(?:\\times|\\cdot|[*xX])\s{0,2})?"
    r"(?:10\s{0,2}(?:\^|\*\*)?\s{0,2}|e\s{0,2}\^?\s{0,2})[{(]?\s{0,2}(?P<exponent>[-+]?\d{1,3})[)}]?\Z"
)
_SPLIT_EXPONENT = re.compile(r"(\d(?:\.\d*)?)\s?[eE]\s?\^?\s?[{(]?([-+]?)\s?(\d{1,3})[)}]?\Z")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+\Z")
_DECIMAL_COMMA = re.compile(r"0,0\d+\Z")
_SHORT = re.compile(r"(\d+(?:\.\d+)?)\s?([kKmM])\Z")
_WORDS = {
    "zero": 0.0,
    "one": 1.0,
    "two": 2.0,
    "three": 3.0,
    "four": 4.0,
    "five": 5.0,
    "six": 6.0,
    "seven": 7.0,
    "eight": 8.0,
    "nine": 9.0,
    "ten": 10.0,
    "twelve": 12.0,
    "fifteen": 15.0,
    "twenty": 20.0,
    "a single": 1.0,
    "single": 1.0,
}


@lru_cache(maxsize=8192)
def number(raw: str) -> float | None:
    """The number that a token writes, or None (also for nan, infinities and overlong tokens).

    Reads ``2e-05``, ``2e−5``, ``2,048``, ``0,05``, ``5·10^-5``, ``1 x 10^{-4}``, ``1e^-4``,
    ``12k`` and ``three``. A percent sign is not read here.
    """
    if len(raw) <= 64 and raw.isascii() and _PLAIN.match(raw):
        value = float(raw)
        return value if math.isfinite(value) else None
    token = raw.strip().strip("`'\"*_$\\ ")
    if not token or len(token) > 64:
        return None
    if not token.isascii():
        token = token.translate(_SIGNS)
        if not token.isascii():
            return None
    if _PLAIN.match(token):
        value = float(token)
        return value if math.isfinite(value) else None
    if _THOUSANDS.match(token):
        return float(token.replace(",", ""))
    if _DECIMAL_COMMA.match(token):
        return float(token.replace(",", "."))
    if found := _SPLIT_EXPONENT.match(token):
        value = float(f"{found[1]}e{found[2]}{found[3]}")
        return value if math.isfinite(value) else None
    if found := _POWER.match(token):
        value = float(f"{found['mantissa'] or 1}e{found['exponent']}")
        return value if math.isfinite(value) else None
    if found := _SHORT.match(token):
        return float(found[1]) * (1e3 if found[2] in "kK" else 1e6)
    return _WORDS.get(token.lower())
