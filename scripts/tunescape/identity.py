"""One spelling each for base models and data sets, and what a model is for."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tunescape.errors import UserError
from tunescape.schemas import METRICS

# Accounts that the Hub's early, owner-less models moved to (names that moved there).
_EARLY_OWNERS: Mapping[str, re.Pattern[str]] = {
    owner: re.compile(names)
    for owner, names in {
        "distilbert": r"distil(bert|gpt2|roberta)\b.*",
        "google-bert": r"bert-.*",
        "facebookai": r"(xlm-)?roberta-.*|xlm-.*",
        "openai-community": r"gpt2.*|openai-gpt",
        "google-t5": r"t5-.*",
        "albert": r"albert-.*",
        "xlnet": r"xlnet-.*",
        "almanach": r"camembert-base",
    }.items()
}

_OWNER_CASE: Mapping[str, str] = {"facebookai": "FacebookAI"}

# Accounts that owner-less data sets moved to; the short name is kept.
_EARLY_DATASETS: Mapping[str, str] = {
    "ag_news": "fancyzhx",
    "amazon_polarity": "fancyzhx",
    "banking77": "polyai",
    "clinc_oos": "clinc",
    "conll2003": "eriktks",
    "dbpedia_14": "fancyzhx",
    "emotion": "dair-ai",
    "financial_phrasebank": "takala",
    "glue": "nyu-mll",
    "go_emotions": "google-research-datasets",
    "imdb": "stanfordnlp",
    "rotten_tomatoes": "cornell-movie-review-data",
    "snli": "stanfordnlp",
    "squad": "rajpurkar",
    "squad_v2": "rajpurkar",
    "sst2": "stanfordnlp",
    "super_glue": "aps",
    "trec": "cogcomp",
    "tweet_eval": "cardiffnlp",
    "xnli": "facebook",
    "yelp_polarity": "fancyzhx",
    "yelp_review_full": "yelp",
}
_SPELLINGS = {
    "sst-2": "glue/sst2",
    "sst2": "glue/sst2",
    "glue-sst2": "glue/sst2",
    "stanford-imdb": "imdb",
    "go-emotions": "go_emotions",
    "tweet-eval": "tweet_eval",
    "ag-news": "ag_news",
}
_SUITES: Mapping[str, frozenset[str]] = {
    "glue": frozenset(["ax", "cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli"]),
    "super_glue": frozenset(
        ["axb", "axg", "boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc"]
    ),
    "tweet_eval": frozenset(["emoji", "emotion", "hate", "irony", "offensive", "sentiment"]),
    "clinc_oos": frozenset(["small", "plus", "imbalanced"]),
}
_SUITE_SPELLINGS = {
    "sst-2": "sst2",
    "sts-b": "stsb",
    "mnli_matched": "mnli",
    "mnli-mm": "mnli",
    "mnli_mismatched": "mnli",
}
# Names that say how data were loaded or that they are unknown, not which they are.
_NO_DATASET = frozenset(
    [
        "none",
        "null",
        "unknown",
        "n/a",
        "na",
        "generator",
        "csv",
        "json",
        "text",
        "parquet",
        "pandas",
        "custom",
        "private",
        "local",
        "dataset",
        "data",
        "imagefolder",
        "image_folder",
        "audiofolder",
        "arrow",
        "webdataset",
        "undefined",
    ]
)
_UNKNOWN = re.compile(
    r"an? unknown( dataset)?|unknown dataset|none dataset|more information needed"
)


@lru_cache(maxsize=65536)
def canonical_model(name: str | None) -> str | None:
    """A base model's one spelling.

    Models that the Hub published before accounts existed keep their bare name
    (``distilbert/distilbert-base-uncased`` is ``distilbert-base-uncased``). Paths on somebody's
    disk are no identity.

    Args:
        name: as a card or config states it.

    Returns:
        ``owner/name`` or ``name``; ``None`` when that says nothing.
    """
    text = (name or "").strip().strip("`'\"").rstrip("/")
    text = re.sub(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/", "", text)
    if not text or len(text) > 200 or text.lower() in ("none", "null", "unknown"):
        return None
    if text[0] in "./~\\" or "\\" in text or text.count("/") > 1 or re.search(r"\s", text):
        return None
    owner, slash, rest = text.partition("/")
    early = _EARLY_OWNERS.get(owner.lower()) if slash else None
    return rest if early is not None and early.fullmatch(rest.lower()) else text


def hub_spellings(name: str) -> list[str]:
    """Names under which the Hub's tags may list a base model: with its owner and without.

    Args:
        name: ``owner/name``, or the bare name of an early model.
    """
    bare = canonical_model(name) or name
    owners = [owner for owner, early in _EARLY_OWNERS.items() if early.fullmatch(bare.lower())]
    owned = [f"{_OWNER_CASE.get(owner, owner)}/{bare}" for owner in owners if "/" not in bare]
    return list(dict.fromkeys([name, *owned, bare]))


@lru_cache(maxsize=65536)
def canonical_dataset(name: str | None, config: str | None = None) -> str | None:
    """A data set's one spelling: ``glue/sst2``, ``imdb``, ``owner/name``; lower case.

    Args:
        name: as stated (``GLUE SST-2``, ``nyu-mll/glue``, ``glue``).
        config: the configuration or arguments stated beside it (``sst2``); it is kept only for
            suites of several data sets (GLUE, SuperGLUE, TweetEval, CLINC).

    Returns:
        The spelling; ``None`` for names that say nothing (``csv``, ``unknown``, ``None``).
    """
    text = re.sub(r"\s+", " ", (name or "").strip().strip("`'\"").lower())
    if not text or len(text) > 200 or text in _NO_DATASET or _UNKNOWN.fullmatch(text):
        return None
    owner, slash, rest = text.partition("/")
    if slash and _EARLY_DATASETS.get(rest) == owner:
        text = rest
    suite, member = _suite_member(text, (config or "").strip().lower())
    if member:
        return f"{suite}/{member}"
    return _SPELLINGS.get(text, text)


def _suite_member(text: str, config: str) -> tuple[str, str | None]:
    for suite, members in _SUITES.items():
        if not text.startswith(suite):
            continue
        rest = text[len(suite) :].strip(" /-_:,()")
        member = _SUITE_SPELLINGS.get(rest or config, rest or config)
        if member in members:
            return suite, member
    return text, None


def suite_member_in_name(suite: str, model_name: str) -> str | None:
    """The one member of a suite that a model's name mentions: ``cola`` in ``bert-cola-3``."""
    members = _SUITES.get(suite, frozenset())
    words = re.split(r"[^a-z0-9]+", model_name.lower().replace("sst-2", "sst2"))
    found = {word for word in words if word in members}
    return found.pop() if len(found) == 1 else None


# --- evaluation sets ----------------------------------------------------------------------------


@dataclass(frozen=True)
class EvalSizes:
    """Sizes of well-known evaluation sets.

    Attributes:
        examples: (data set, split) -> number of examples.
        default: data set -> the split that evaluations use when none is stated.
    """

    examples: Mapping[tuple[str, str], int]
    default: Mapping[str, str]

    def lookup(self, dataset: str | None, split: str | None) -> tuple[int | None, bool]:
        """Size and whether the split was stated rather than assumed.

        A stated ``train`` is the split that the Trainer's data set was loaded by, not the one the
        model was evaluated on, and counts as not stated.
        """
        if dataset is None:
            return None, False
        stated = (split or "").lower()
        if (dataset, stated) in self.examples:
            return self.examples[dataset, stated], True
        if stated not in ("", "train") or dataset not in self.default:
            return None, False
        return self.examples[dataset, self.default[dataset]], False


def read_eval_sizes(path: str | Path) -> EvalSizes:
    """Read ``dataset,split,examples,default`` (default: 1 for one split of each data set).

    Raises:
        UserError: when a row does not fit.
    """
    examples: dict[tuple[str, str], int] = {}
    default: dict[str, str] = {}
    try:
        with Path(path).open(encoding="utf-8", newline="") as handle:
            for number, row in enumerate(csv.DictReader(handle), start=2):
                try:
                    key = (row["dataset"], row["split"])
                    examples[key] = int(row["examples"])
                    if row["default"] == "1":
                        default[row["dataset"]] = row["split"]
                except (KeyError, TypeError, ValueError):
                    raise UserError(
                        "not a size of an evaluation set",
                        where=f"{path}:{number}",
                        expected="dataset,split,examples,default",
                    ) from None
    except FileNotFoundError:
        raise UserError("no such file", where=str(path)) from None
    return EvalSizes(examples, default)


def possible_with(value: float, examples: int) -> bool:
    """Whether a share of ``examples`` can print as ``value`` (the GRIM test).

    The stated digits bound the rounding: 0.9106 of 872 examples is 794 (0.91055), while no whole
    number gives 0.9100. Too coarse digits rule nothing out.

    Source: Brown & Heathers (2017), The GRIM test, Social Psychological and Personality Science 8.
    """
    digits = len(f"{value:.12f}".rstrip("0").partition(".")[2])
    slack = 0.5 * 10.0**-digits * examples + 1e-6
    return slack >= 0.5 or abs(value * examples - round(value * examples)) <= slack


# --- tasks --------------------------------------------------------------------------------------

TEXT_CLASSIFICATION = "text-classification"

_ARCHITECTURES: Mapping[str, str] = {
    "ForSequenceClassification": TEXT_CLASSIFICATION,
    "ForMultiLabelSequenceClassification": TEXT_CLASSIFICATION,
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
    "ForMaskedLM": "fill-mask",
    "ForPreTraining": "fill-mask",
    "LMHeadModel": "text-generation",
    "ForCausalLM": "text-generation",
    "MTModel": "translation",
    "ForConditionalGeneration": "text2text-generation",
    "ForCTC": "automatic-speech-recognition",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "ForImageClassification": "image-classification",
    "ForAudioClassification": "audio-classification",
    "ForObjectDetection": "object-detection",
    "ForSemanticSegmentation": "image-segmentation",
}
_TAGS: Mapping[str, str] = {
    "sentiment-analysis": TEXT_CLASSIFICATION,
    "text-classification": TEXT_CLASSIFICATION,
    "multi-class-classification": TEXT_CLASSIFICATION,
    "multi_class_classification": TEXT_CLASSIFICATION,
    "binary-classification": TEXT_CLASSIFICATION,
    "binary_classification": TEXT_CLASSIFICATION,
    "sentiment-classification": TEXT_CLASSIFICATION,
    "emotion-classification": TEXT_CLASSIFICATION,
    "natural-language-inference": TEXT_CLASSIFICATION,
    "zero-shot-classification": TEXT_CLASSIFICATION,
    "text-scoring": TEXT_CLASSIFICATION,
    "token-classification": "token-classification",
    "named-entity-recognition": "token-classification",
    "entity_extraction": "token-classification",
    "ner": "token-classification",
    "part-of-speech": "token-classification",
    "question-answering": "question-answering",
    "extractive-qa": "question-answering",
    "translation": "translation",
    "machine-translation": "translation",
    "summarization": "summarization",
    "text2text-generation": "text2text-generation",
    "sequence-to-sequence-language-modeling": "text2text-generation",
    "text-generation": "text-generation",
    "causal-lm": "text-generation",
    "conversational": "conversational",
    "fill-mask": "fill-mask",
    "masked-language-modeling": "fill-mask",
    "masked-lm": "fill-mask",
    "language-modeling": "fill-mask",
    "multiple-choice": "multiple-choice",
    "sentence-similarity": "sentence-similarity",
    "feature-extraction": "feature-extraction",
    "sentence-transformers": "sentence-similarity",
    "automatic-speech-recognition": "automatic-speech-recognition",
    "speech-recognition": "automatic-speech-recognition",
    "audio-classification": "audio-classification",
    "image-classification": "image-classification",
    "reinforcement-learning": "reinforcement-learning",
    "deep-reinforcement-learning": "reinforcement-learning",
    "tabular-classification": "tabular-classification",
}
# Weak as a pipeline tag: what the Hub guesses from a base model's files.
_VAGUE = frozenset({"feature-extraction"})
_METRIC_WORDS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), task)
    for pattern, task in (
        (r"rouge.*", "summarization"),
        (r"(sacre)?bleu.*|chrf.*|comet", "translation"),
        (r"wer|cer|word error rate", "automatic-speech-recognition"),
        (r"exact( match)?|em|squad.*|start (logits )?accuracy|end (logits )?accuracy|"
         r"(train|validation)? ?(start|end) logits (loss|accuracy)", "question-answering"),
        (r"seqeval.*|overall (f1|precision|recall|accuracy)|entity f1|"
         r"(ner|pos|per|loc|org|misc) (f1|precision|recall|accuracy)", "token-classification"),
        (r"perplexity", "fill-mask"),
        (r"mean reward|mean_reward", "reinforcement-learning"),
        (r"map@?\d*|ndcg.*|mrr.*|recall@\d+|cosine.*", "sentence-similarity"),
    )
)  # fmt: skip
_DATASET_TASKS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), task)
    for pattern, task in (
        (r"(.*/)?(squad.*|.*squad|newsqa|trivia_?qa.*|natural_questions|adversarial_qa|duorc|"
         r"subjqa|covid_qa.*|tydiqa.*|xquad.*|mlqa.*|cuad.*)", "question-answering"),
        (r"(.*/)?(conll\d*.*|conllpp|wnut.*|wikiann.*|xtreme.*pan-x.*|ncbi_disease|bc\dcdr.*|"
         r"jnlpba|ontonotes.*|.*[_-]ner|ner[_-].*|few-nerd|fewnerd|plod.*|multinerd.*|bc2gm.*|"
         r"mim_gold_ner.*|species_800|linnaeus)", "token-classification"),
        (r"(.*/)?(swag|hellaswag|race|cosmos_qa|super_glue/copa)", "multiple-choice"),
        (r"(.*/)?(xsum|cnn_dailymail|samsum|multi_news|gigaword)", "summarization"),
        (r"(.*/)?(wmt\d+.*|kde4|opus.*)", "translation"),
        (r"(.*/)?(wikitext.*|bookcorpus.*|oscar.*|the_pile.*)", "fill-mask"),
    )
)  # fmt: skip
_NAME_TASKS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(rf"(?:^|[^a-z]){pattern}(?:$|[^a-z])"), task)
    for pattern, task in (
        ("(ner|pos|tokens?|token-?classification|chunk(ing)?)", "token-classification"),
        ("(squad(v?2)?|qa|question-?answering)", "question-answering"),
        ("(mlm|masked-?lm|language-?modeling|clm)", "fill-mask"),
        ("(summari[sz](ation|er)|cnn|xsum)", "summarization"),
        ("(swag|multiple-?choice)", "multiple-choice"),
        ("(sentiment|emotions?|cola|sst-?2|mrpc|hate|sarcasm|spam|toxic|irony|(ctx)?sentence)",
         TEXT_CLASSIFICATION),
    )
)  # fmt: skip
_CLASSIFIER_METRICS = frozenset(METRICS) - {"loss"}

_SEQEVAL = ("precision", "recall", "f1", "accuracy")
_AUDIO = re.compile(r"(Wav2Vec2|WavLM|Hubert|UniSpeech|SEW|Data2VecAudio|Whisper|AST).*")


@dataclass(frozen=True)
class Evidence:
    """What is known of a model's task, strongest first (see :func:`find_task`)."""

    architectures: Sequence[str] = ()
    stated: Sequence[str] = ()
    """Task types of the card's ``model-index``."""
    pipeline_tag: str | None = None
    tags: Sequence[str] = ()
    metric_names: Sequence[str] = ()
    """Names of metrics and of results-table columns, as stated."""
    metrics: Sequence[str] = ()
    """Metric columns of the features table that have a value."""
    datasets: Sequence[str] = ()
    model_name: str = ""


@dataclass(frozen=True)
class Task:
    """A task, what it was found from, and other tasks that weaker evidence pointed to."""

    name: str | None
    source: str
    conflicts: tuple[str, ...] = ()


def find_task(evidence: Evidence) -> Task:
    """Find what a model does, from the strongest evidence that says so.

    In order: the architecture in its config, the task of its evaluation results, the pipeline tag,
    tags, metrics and table columns that only one task has, the data set (which only rules out: many
    a language model is trained on the texts of IMDb), the model's name, the order of its metrics;
    and where none of these speaks, a model that reports classification metrics is taken to classify
    texts (source ``metrics_assumed``).
    """
    architectures = [_from_architecture(name) for name in evidence.architectures]
    pipeline = _TAGS.get(evidence.pipeline_tag or "", evidence.pipeline_tag)
    found: list[tuple[str, str]] = []
    for source, tasks in (
        ("config", architectures),
        ("model_index", [_TAGS.get(_slug(task)) for task in evidence.stated]),
        ("pipeline_tag", [pipeline if pipeline not in _VAGUE else None]),
        ("tags", [_from_tags(tuple(evidence.tags))]),
        ("metrics", _from_metrics(tuple(evidence.metric_names))),
        ("dataset", [_first(_DATASET_TASKS, name) for name in evidence.datasets]),
        ("name", [_search(_NAME_TASKS, evidence.model_name.lower())]),
        ("metric_order", [_from_order(tuple(evidence.metric_names))]),
    ):
        found += [(task, source) for task in tasks if task]
    if not found and pipeline:
        found.append((pipeline, "pipeline_tag"))
    if not found and _CLASSIFIER_METRICS.intersection(evidence.metrics):
        found.append((TEXT_CLASSIFICATION, "metrics_assumed"))
    if not found:
        return Task(None, "none")
    task, source = found[0]
    others = {other for other, _ in found if not _compatible(task, other)}
    return Task(task, source, tuple(sorted(others)))


@lru_cache(maxsize=65536)
def _from_architecture(name: str) -> str | None:
    task = next((task for end, task in _ARCHITECTURES.items() if name.endswith(end)), None)
    if task == TEXT_CLASSIFICATION and _AUDIO.fullmatch(name):
        return "audio-classification"
    return task


@lru_cache(maxsize=65536)
def _from_metrics(names: tuple[str, ...]) -> list[str | None]:
    return [_first(_METRIC_WORDS, name.lower()) for name in names]


@lru_cache(maxsize=65536)
def _from_order(names: tuple[str, ...]) -> str | None:
    """Token classification, from results in the order of the seqeval metric.

    Scripts for token classification print precision, recall, F1, accuracy, in this order; those
    for whole texts begin with the accuracy. Of the models of the snapshot whose architecture is
    known and whose results stand in this order, none classifies texts.
    """
    order = tuple(dict.fromkeys(name.lower() for name in names if name.lower() in _SEQEVAL))
    return "token-classification" if order == _SEQEVAL else None


@lru_cache(maxsize=65536)
def _slug(text: str) -> str:
    return re.sub(r"[\s_]+", "-", text.strip().lower())


@lru_cache(maxsize=65536)
def _from_tags(tags: tuple[str, ...]) -> str | None:
    """The task that tags name; none when they name several."""
    distinct = {task for tag in tags if (task := _TAGS.get(_slug(tag))) and task not in _VAGUE}
    return distinct.pop() if len(distinct) == 1 else None


@lru_cache(maxsize=65536)
def _first(rules: Sequence[tuple[re.Pattern[str], str]], text: str) -> str | None:
    return next((task for pattern, task in rules if pattern.fullmatch(text)), None)


def _search(rules: Sequence[tuple[re.Pattern[str], str]], text: str) -> str | None:
    return next((task for pattern, task in rules if pattern.search(text)), None)


_GENERATION = frozenset(
    {
        "text2text-generation",
        "summarization",
        "translation",
        "text-generation",
        "conversational",
        "question-answering",
    }
)


def _compatible(one: str, other: str) -> bool:
    """Whether two tasks can be one model's: a generator is put to many uses."""
    return one == other or {one, other} <= _GENERATION
