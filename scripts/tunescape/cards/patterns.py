"""The patterns that the card reader tries, each linear in its input.

Repetitions are bounded, possessive where they could backtrack; patterns for sentences are tried
around their key words only (see ``sentences``).
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBER = (
    r"(?:[1-9]\d{0,2}(?:,\d{3})++(?![\d,])"
    r"|0,0\d{1,20}(?![\d,])"
    r"|(?:\d{1,6}(?:\.\d{1,20})?\s{0,2}(?:[·×⋅]|\\times|\\cdot|[*x]\s?(?=10\b|10[\^{*-]))\s{0,2})"
    r"10\s?(?:\^|\*\*)?\s?[{(]?[-−–]?\d{1,3}[)}]?"
    r"|10\s?\^\s?[{(]?[-−–]\d{1,3}[)}]?"
    r"|[-+]?(?:\d{1,12}(?:\.\d{0,20})?|\.\d{1,20})"
    r"(?:\s?[eE]\s?\^?[{(]?\s?[-−–+]?\s?\d{1,3}[)}]?(?![\w.]*\s(?:epoch|batch)))?)"
)
VALUE = re.compile(NUMBER)
COUNT_WORD = (
    r"(?:a single|single|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty)"
)

# A name, then marks and link words, then a value: `lr: 2e-5`, `batch size of 16`, `"epochs": 3`.
HYPER = re.compile(
    r"""(?<![A-Za-z0-9_])(?:
      (?P<learning_rate>(?:(?:initial|init|peak|base|max(?:imum)?|constant|fixed|default)[ _-])?
        (?:learning[\s_-]{0,9}rates?|lr|l_r)(?![A-Za-z0-9_-]))
    | (?P<batch>(?:(?:total|tot\.?|effective|eff\.?|global|instantaneous|per[ _-]device
      |per[ _-]gpu|train(?:ing)?
        |eval(?:uation)?|valid(?:ation)?|val|dev|test|mini)[ _-]{0,2}){0,4}
        (?:batch[\s_-]{0,9}sizes?(?:[ _]per[ _](?:device|gpu))?)(?![A-Za-z0-9_]))
    | (?P<epochs>(?:(?:num(?:ber)?|no\.?|n|nb|max(?:imum)?|total|train(?:ing)?|fine-?tun(?:e
      |ing)|of)[ _-]{1,2}){0,3}
        epochs?(?![A-Za-z0-9_]))
    | (?P<seed>(?:random[ _-]|manual[ _-]|training[ _-])?seed(?![A-Za-z0-9_]))
    | (?P<warmup>(?:num[ _-]|number[ ]of[ ]|lr[ _-](?:scheduler[ _-])?
      |learning[ ]rate[ ])?warm[ _-]?up
        (?:[ _-](?:steps?|updates|ratio|proportion|fraction|step[ _]ratio))?(?![A-Za-z0-9_]))
    | (?P<accumulation>grad(?:ient)?s?[ _-]accum(?:ulation)?s?(?:[ _-]steps?)?(?![A-Za-z0-9_]))
    | (?P<decay>weight[ _-]decay(?:[ _-]rate)?(?![A-Za-z0-9_]))
    | (?P<epsilon>adam[ _-]eps(?:ilon)?(?![A-Za-z0-9_]))
    | (?P<clip>max[ _-]grad(?:ient)?[ _-]norm(?![A-Za-z0-9_]))
    | (?P<dropout>(?<!attention[ _])(?:embeds[ _]|hidden[ _])?dropout(?:[ _-](?:rate
      |prob(?:ability)?))?(?![A-Za-z0-9_]))
    | (?P<length>max(?:imum)?\.?[ _-](?:seq(?:uence)?|token
      |input)?[ _-]?len(?:gth)?(?![A-Za-z0-9_])
        |sequence[ ]length(?![A-Za-z0-9_]))
    | (?P<lora>lora[ _-](?:r|rank|alpha|dropout)(?![A-Za-z0-9_]))
    )""",
    re.I | re.X,
)
LINK = re.compile(
    r"""(?:[\s"'`*_\\)\]$:=|~>]|\((?:lr|bs|w\.[^)\n]{0,60})\)|(?:of|is|was|were|are|to|at|as|set
  |equals?|being|value
    |used|about|around|approximately|up|fixed|constant|max(?:imum)?|peak|initial
      |with)(?![A-Za-z0-9_]))*+""",
    re.I | re.X,
)
MORE = re.compile(
    r"\s{0,3}(?:(?:,|/|;|\||\bor\b|\band\b|\bto\b|~|–|—|\.\.\.?)\s{0,3}(?:(?:or"
    r"|and)\s)?\s{0,2}[\"'`]?(" + NUMBER + r"))",
    re.I,
)
OPEN_SET = re.compile(r"\s{0,2}[\[{(]\s{0,2}['\"]?(" + NUMBER + r")")
AFTER_NAME = re.compile(
    r"[\s`*\"']{0,4}(?:=|:)|\s{1,2}\S{0,4}(?:batch|learning|lr|epoch|seed|step|warm|gpu|tpu"
    r"|image|%)",
    re.I,
)
# A value, then a name: `32 batch size`, `5e-5 learning rate`, `for three epochs`.
BEFORE = re.compile(
    r"(?<![\w.,])("
    + NUMBER
    + r"|"
    + COUNT_WORD
    + r")[`*_\"']{0,3}[ -](?:(?:full|complete|training|fine-?tuning|train|total|more"
    r"|additional)[ -]){0,2}\Z",
    re.I,
)
OPTIMIZER_NAME = re.compile(
    r"(?:8-bit[ ]|fused[ _]?|paged[ _])?(?:Adam[Ww](?:eight[ _]?[Dd]ecay)?(?:[ _]?(?:8bit|torch"
    r"|hf|bnb))?|ADAMW|adamw(?:_\w{1,20})?|AdaFactor|Adafactor|adafactor|ADAFACTOR"
    r"|AdamWeightDecay|Nadam|NAdam|RAdam|AdaBelief|Adadelta|Adagrad|AdaGrad|RMSprop|RMSProp"
    r"|rmsprop|LAMB|Lamb|lamb|Lion|SGD|sgd|Adamax|Adam|ADAM|adam)"
    r"(?![A-Za-z])"
)
OPTIMIZER_WORD = re.compile(r"optimi[sz](?:er|ed|ation)|\boptim\b", re.I)
SCHEDULE = re.compile(
    r"(?:(?:lr|learning[ _-]rate)[ _-]?(?:scheduler?|decay)(?:[ _-]type)?"
    r"|(?<![A-Za-z_])scheduler?(?:[ _-]type)?)"
    r"(?![A-Za-z])[\"'`*\s]{0,4}(?:[:=|]|is\b|was\b|of\b|with\b|used\b)?\s{0,3}[\"'`*\s"
    r"|]{0,4}([A-Za-z][\w.() -]{2,60})",
    re.I,
)
SCHEDULE_BEFORE = re.compile(
    r"(?<![A-Za-z])(linear|cosine|constant|polynomial|inverse square root|exponential)(?:ly)?[ -]"
    r"(?:warm[ -]?up[ ])?(?:(?:decay(?:ing|ed)?|annealing|lr|learning[ -]rate|warm[ -]?up"
    r"|schedule[rd]?|with|and|of|the)[ -]?){0,5}"
    r"(?:lr|learning[ -]rate|schedule[rd]?)(?![A-Za-z])",
    re.I,
)

METRIC = re.compile(
    r"""(?<![A-Za-z0-9_@.])(
      (?:(?:eval(?:uation)?|test(?:ing)?|valid(?:ation)?|val|dev|macro|micro|weighted
        |train(?:ing)?|overall|final|average[d]?|avg\.?|mean
        |balanced|unbalanced|top-?\d|exact|cross[ -]entropy|token|sentence|word|best|span|joint
          |pos|tag|entity)[ _-]{1,2}){0,3}
      (?:accuracy|acc|f1|f-?score|precision|recall|loss|(?:roc[ _-]?)?auc|auroc|mcc
        |matthew'?s?[ _](?:correlation|corr\w{0,4})(?:[ ]coefficient)?|pearsonr?|spearmanr?)
      (?:[ _-](?:score|macro|micro|weighted|avg|average|thresh|correlation|coefficient)){0,2}
    )(?![A-Za-z0-9_@])""",
    re.I | re.X,
)
METRIC_LINK = re.compile(
    r"""(?:[\s"'`*_\\)\]$:=~>|]|\((?:macro|micro|weighted|%|in[ ]%|test|dev|val|validation
  |eval)[^)\n]{0,20}\)|(?:of|is|was|were|are|at|to|as|equals?
    |score|value|around|about|approximately|nearly|over|reached|achieved|reaches
      |on[ ]the[ ](?:test|dev|eval|evaluation|validation)[ ]set)(?![A-Za-z0-9_]))*+""",
    re.I | re.X,
)
METRIC_BEFORE = re.compile(
    r"(?<![\w.,])(\d{1,3}(?:\.\d{1,18})?\s?%?|0?\.\d{1,18})[`*_]{0,3}\s(?:(?:overall|test"
    r"|validation|eval|evaluation)\s)?\Z",
    re.I,
)
CUT = re.compile(
    r"for comparison|in comparison|compared (?:to|with)|comparable|instead of|whereas|as opposed"
    r"|relative to|than the|better than|worse than"
    r"|less than|more than|at least|difference|baseline|improve|degrad|increase|drop of|teacher"
    r"|original model|e\.g\.|for example|such as",
    re.I,
)
REPORT_ROW = re.compile(
    r"[\s|]*accuracy[\s|*-]+(0?\.\d{1,6}|1\.0{1,6}|\d{1,3}\.\d{1,4})[\s|*]+\d[\d,]*[\s|*]*$", re.I
)
REPORT_HEAD = re.compile(r"precision[\s|*]+recall[\s|*]+f1[- ]?score", re.I)

ITEM = re.compile(r"[ \t]*(?:[-*+•·–]|\d{1,2}[.)])[ \t]+")
PAIR = re.compile(
    r"""[*_`"']{0,4}([A-Za-z0-9][\w .()/@%+-]{0,58}?)[*_`"']{0,4}"""
    r"""[ \t]{0,8}(?::(?!//)|=)[*_`"' \t]{0,8}(\S.*)?$"""
)
# What most items look like; PAIR would say the same, more slowly.
PLAIN_PAIR = re.compile(r"([A-Za-z0-9][A-Za-z0-9_]{0,56}[A-Za-z0-9]): ([^\s*_`\"'].*)$")
FRAMEWORK = re.compile(
    r"[-*]\s{1,3}[*`]{0,2}([A-Za-z][\w .-]{0,30}?)[*`]{0,2}[ :=]{1,3}[*` ]{0,3}v?(\d[\w.+-]{0,38"
    r"})[*`]{0,2}\s*$"
)
RULE_ROW = re.compile(r"[\s|:+-]*-[\s|:+-]*$")
KEY_LINE = re.compile(
    r"""[\s#$>{(,*-]{0,40}(?:--?)?["'`]?[A-Za-z_][\w.-]{0,40}(?:\s[A-Za-z][\w.-]{0,20}){0,2}["'`]?"""
    r"""\s{0,24}(?:[:=]|\s)\s{0,24}[\[{"'`]{0,2}[\w.+-]{1,40}["'`\]}]{0,2}\s{0,4}[,;)}\\]{0,3}"""
    r"""\s*(?:\#.*|//.*)?\\?$"""
)
CODE_HINT = re.compile(
    r"Arguments\(|(?:^|\s)--\w|^\s*[{\"']|^\s*\(['\"]|OrderedDict|Trainer\(|fit\(|\.train\("
    r"|config",
    re.I,
)
USAGE = re.compile(
    r"\.map\(|generate\(|pipeline\(|encode\(|decode\(|DataLoader\(|from_pretrained|tokenizer\("
    r"|predict|padding=|\.sample\("
)
OTHER_MODEL = re.compile(
    r"(?:instead of|rather than|compared (?:to|with)|unlike)[^.\n]{0,40}\Z", re.I
)
INFERENCE = re.compile(
    r"calibrat|time metrics|latency|throughput|inference|speed (?:is|of)|benchmark(?:ed|ing)"
    r"|sampling size|per second|of GPU memory was|memory requirement",
    re.I,
)
SD_PROMPT = re.compile(r"sampler:|cfg scale|guidance", re.I)

RESULTS_LEAD = re.compile(
    r"results? on (?:the |an? |our |its )?(?:[\w-]{1,20} ){0,3}(?:set|split|data)|(?:achieves"
    r"|achieved|obtains|reaches) (?:the )?following results?",
    re.I,
)
SECTION = re.compile(
    r"#{2,4} (?:Training|Evaluation|Eval|Framework|Model|Intended|Limitations|Results"
    r"|Performance|Architecture)\b"
)
HEADING = re.compile(r"#{1,6}\s+(.*)")
MD_LINK = re.compile(r"\[([^\]\n]{0,200})\]\(\s*<?([^)\s>]{0,300})>?[^)\n]{0,100}\)")
HUB_URL = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?!datasets/|spaces/|models\b|docs|blog"
    r"|transformers|papers)([^\s?#]+)"
)
DATASET_URL = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/([^\s?#)]+)")
HUB_ID = re.compile(r"(?:\./)?[A-Za-z0-9][\w.-]{0,95}(?:/[\w.-]{1,95}){0,8}\Z")
LOOKS_MODEL = re.compile(
    r"(?:[\w.-]+/)?[\w.]*(?:bert|gpt|t5|bart|xlm|xlnet|electra|wav2vec|hubert|whisper|pegasus"
    r"|mpnet|minilm|opt-|bloom|vit|swin|beit|convnext|resnet|longformer|bigbird|flan|mbart"
    r"|marian|opus|albert|deberta|camembert|layoutlm|luke|perceiver|funnel|fnet|data2vec"
    r"|segformer|mobilenet|ernie|llama|falcon|pythia|stable-diffusion)[\w.-]*\Z",
    re.I,
)
MODEL = (
    r"(?:\[([^\]\n]{0,200})\](?:\(\s?([^)\s]{0,300})[^)\n]{0,60}\))?"
    r"|[*_`\"'“]{1,3}([\w./ -]{1,120})[*_`\"'”]{1,3}|((?=[\w.]{0,40}[-/\d])[\w./-]{2,120}))"
)
MODEL_RE = re.compile(MODEL, re.I)
TUNED = r"(?:fine-?\s?tun\w{1,5}|further\s(?:pre-?)?train\w{1,3})"

ARTICLES = (
    r"\s{0,3}[*_`]{0,2}\s?(?:(?:the|a|an|is|our|pre-?trained|original|model|checkpoint"
    r"|HuggingFace's|public|of)\s){0,5}"
)
# (key words, characters before one, pattern), in order of weight: the fine-tuning sentence beats a
# conversion heading beats the rest. A pattern is tried around its key words only.
BASE_PATTERNS: tuple[tuple[tuple[str, ...], int, re.Pattern[str]], ...] = tuple(
    (words, before, re.compile(rf"(?P<lead>[\s\S]{{0,{before}}}?)(?:{core})", re.I))
    for words, before, core in (
        (
            ("version of", "checkpoint of", "versions of", "variant of", "copy of"),
            50,
            TUNED + r"\s(?:[\w-]{1,14}\s){0,3}(?:version|checkpoint|variant"
            r"|copy)s?\sof\s{1,3}(?:the\s|a\s)?(?:model\s)?" + MODEL,
        ),
        (
            ("dapter",),
            1,
            r"adapter\]?(?:\([^)\n]{0,200}\))?\s(?:\S{1,80}\s)?for\s(?:the\s)?" + MODEL,
        ),
        (
            ("tune", "tuning"),
            6,
            r"(?<![\w-])"
            + TUNED
            + r"\s(?:of\s|the\s|an?\s|our\s|this\s)?(?:(?!on\b|for\b|with\b|version|checkpoint"
            r"|to\b|in\b|model\b)[\w-]{1,20}\s){0,3}(?:model\s)?(?=[\[`*]"
            r"|[\w.-]{0,60}[-/][\w.-]{1,60})" + MODEL,
        ),
        (
            (" from ", "starting with", "on top of"),
            160,
            r"(?:tuned|tuning|trained|quanti[sz]ed|pruned|distilled|converted|exported|adapted"
            r"|derived|obtained|comes)\s(?:[\w/,()-]{1,30}\s){0,12}?(?:from|starting with"
            r"|on top of)\s(?:the\s|a\s)?(?:(?:fine-?tuned|pre-?trained|original|public|model"
            r"|checkpoint|weights|of|FP32)\s){0,4}\(?" + MODEL,
        ),
        (
            (
                "ased on",
                "ased upon",
                "version of",
                "versions of",
                "extract of",
                "export of",
                "checkpoint of",
                "weights of",
                "weights from",
                "nitiali",
                "tarting from",
                "tarting point",
                "uilt on",
                "uilt upon",
            ),
            1,
            r"(?<![\w-])(?:(?:version|checkpoint|variant|copy|extract|export)s?\sof"
            r"|based\s(?:up)?on|weights\s(?:of|from)|initiali[sz]ed\s(?:from|with|using)"
            r"|starting\s(?:from|point)|built\s(?:up)?on)" + ARTICLES + MODEL,
        ),
        (
            (
                "ase model",
                "ase Model",
                "ase_model",
                "base_LM_model",
                "anguage model",
                "tudent",
                "name_or_path",
                "rained model",
                "rained Model",
                "ase architecture",
            ),
            8,
            r"(?:base[ _]?(?:LM_)?model|language model|student(?: model)?|pre-?trained model"
            r"|(?:model_)?name_or_path|base architecture)[*_`'\"]{0,3}\s?[*_]{0,2}[ :=|]{1,4}"
            + ARTICLES
            + MODEL,
        ),
        (
            (" pretrained ", " pre-trained "),
            14,
            r"(?:trained|used|using|uses|utili[sz]\w{2,3})\s(?:the\s"
            r"|a\s)?pre-?trained\s(?:model\s)?(?:from\s)?" + ARTICLES + MODEL,
        ),
        (("\n# ", "\n## "), 0, r"\n\#{1,3}\s[^\n\[]{3,80}:\s" + MODEL),
    )
)
# `GPT-2` and `BART` are families; `bert-base-cased`, `t5-small` and `gpt2` name a checkpoint.
CHECKPOINT_NAME = re.compile(
    r"[-_](?:base|large|small|medium|tiny|mini|xl|xxl|huge|cased|uncased|\d+[mb]\b|v\d|xlsr|8bit"
    r"|multilingual)|\A(?:distil)?gpt2\Z",
    re.I,
)
# Words between a model's name and the verb: `X model that was later fine-tuned`.
FILLERS = _words(
    "model checkpoint transformer which that and is was has been base later then further fine "
    "fine- finely it"
)
TEXTATTACK = re.compile(r"and the ([\w/-]{2,60}) dataset loaded", re.I)
SCRATCH = re.compile(r"trained from scratch\s", re.I)
ADJECTIVES = (
    r"(?:(?:the|an?|all|very|of|our|subset|version|translated|small|full|part|portion|from|official"
    r"|public|benchmark|large|balanced|combined|English-speaking|following|entire|filtered"
    r"|original|popular|concatenation|smaller|train|training|split|UPOS|tags|own|new"
    r"|well-known)\s{1,3}){0,7}"
)
LINKED = r"\[[^\]\n]{1,120}\]\([^)\s]{1,300}\)"
DATASET_AFTER = re.compile(
    r"[^\n]{0,4}?\s?\bon\s{1,3}"
    + ADJECTIVES
    + r"("
    + LINKED
    + r"|[^\n\[]{1,120}?(?=\s*(?:[Dd]ata\s?-?[Ss]ets?\b|[.](?=\s|$)|\n|$)))"
)
PROPER = r"[A-Z][\w.]{0,40}(?:[ -](?:v?\d[\w.]{0,10}|[A-Z][\w.]{0,30})){0,4}"
QUOTED = r"[`\"'*_]{1,3}[\w./-][\w./ -]{0,58}[\w./-][`\"'*_]{1,3}"
CODE_NAME = r"[A-Za-z]{1,30}[\w.]{0,30}[_/\d-][\w/.-]{0,40}"
TRAINED_VERB = (
    r"(?:[Tt]rained|tuned|[Tt]raining|tuning),?\s{1,3}(?:[\w-]{1,20},?\s{1,3}){0,8}?(?:on|using"
    r"|over|with)\s{1,3}" + ADJECTIVES
)
SET_WORD = (
    r"[`\"'*_]{0,3}\s{1,3}(?:\w{1,20}\s){0,1}(?:[Dd]ata\s?-?[Ss]ets?|DATASET|[Cc]orpus"
    r"|[Cc]orpora|[Bb]enchmark)\b"
)
TRAINED_ON = re.compile(
    TRAINED_VERB
    + r"("
    + LINKED
    + r"|(?:"
    + QUOTED
    + r"|"
    + PROPER
    + r"|"
    + CODE_NAME
    + r")(?="
    + SET_WORD
    + r"))"
)
TUNED_ON = re.compile(
    r"tuned\s(?:on|for)\s" + ADJECTIVES + r"((?:[A-Z][A-Za-z]*[A-Z\d][\w.-]*|[A-Z]{2,}[\w.-]*"
    r"|[A-Za-z]+[-_]?\d[\w.-]*)(?:\s(?:v?\d[\d.]*))?)(?=\s(?:as|using|with|and|dataset)\b"
    r"|[.,;\n (]|$)"
)
TRAINING_DATA = re.compile(
    r"(?:[Tt]raining [Dd]ata(?:set)?|[Dd]atasets?)[*_`]{0,3}\s?[:=][*_` ]{0,5}("
    + LINKED
    + r"|"
    + QUOTED
    + r"|"
    + PROPER
    + r"|"
    + CODE_NAME
    + r")"
)
DATASET_PATTERNS: tuple[tuple[tuple[str, ...], int, re.Pattern[str]], ...] = (
    (("and the ",), 0, TEXTATTACK),
    (("rained", "tuned", "raining", "tuning"), 1, re.compile(r"\W?" + TRAINED_ON.pattern)),
    (("tuned on", "tuned for"), 0, TUNED_ON),
    (("raining data", "raining Data", "ataset"), 1, TRAINING_DATA),
)
# A name that stands without the word `dataset` behind it must be a proper one.
BARE_DATASET = re.compile(
    r"[A-Za-z]*[A-Z][\w.]*[A-Z\d][\w.-]*(?: (?:v?\d[\w.]*|[A-Z][\w.]*))*\Z"
    r"|[A-Za-z]+[\w.]*[_/][\w/.-]+\Z"
)
COLLECTED = re.compile(
    r"datasets?\s(?:collected\s)?(?:from|of|including|includes|are|such as|:)\s{0,2}(?=\[|_\w|`)"
)
LISTED_NAME = re.compile(r",[ ]{1,2}([A-Z][\w-]{1,40})(?=,|\s*(?:\n|$))")
NEXT_NAME = re.compile(
    r"(?:,\s{0,2}|\s{1,2})(?:and\s|&\s)?(" + LINKED + r"|[_`]{1,2}[\w./-]{2,60}[_`]{1,2})"
)
LANGUAGES = _words(
    "english chinese german french spanish italian russian japanese korean arabic dutch "
    "portuguese turkish polish hindi swedish finnish danish norwegian wolof sanskrit persian "
    "urdu bengali marathi tamil telugu thai vietnamese czech ukrainian romanian hungarian "
    "greek hebrew indonesian swahili yoruba hausa igbo catalan basque galician estonian "
    "latvian lithuanian croatian serbian slovak slovenian bulgarian nepali python java "
    "javascript cloud tpu gpu google nvidia tesla v100 a100 ner qa mlm nli nlp asr qg link "
    "here smaller large sequence github colab kaggle"
)
UNNAMED = _words(
    "a the this our own additional around about approximately over various several many "
    "multiple custom private unknown unkown none null hugging huggingface trainer muril "
    "sentence sequence text question token"
)
NO_DATASET = frozenset(
    {
        "unknown",
        "unkown",
        "none",
        "null",
        "unknow",
        "a",
        "the",
        "",
        "custom",
        "mysterious",
        "private",
    }
)

MEASURED = re.compile(
    r"score[^.\n]{0,60}\swas\s(\d{1,2}(?:\.\d{1,20})?%?),?\s[^.]{0,30}?measured\sby\sthe\s{1,12}"
    r"(?:(?:eval|test|validation|dev)\s{1,12}(?:set\s{1,12})?)?([A-Za-z][\w -]{1,30}?)(?=[,.\n])",
    re.I,
)
DICT_NUMBER = re.compile(r"'([\w -]{1,40})'\s?:\s?(-?\d[\d.e-]{0,30})")
TUPLE = re.compile(r"['\"]\s?,\s{0,2}['\"]?(lin_)?(?=[\d.])")
METRIC_VALUE = re.compile(
    r"[-+]?(?:\d{1,7}(?:[.,]\d{1,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,3})?(?:\s?%)?(?![\w])"
)
KERAS_NAME = re.compile(r"['\"](?:name|class_name)['\"]\s?:\s?['\"](\w{2,40})['\"]")
KERAS_CLASS = re.compile(r"['\"]class_name['\"]\s?:\s?['\"](\w{2,40})['\"]")
KERAS_NUMBER = re.compile(
    r"['\"](initial_learning_rate|learning_rate|lr|epsilon|weight_decay_rate|weight_decay"
    r"|warmup_steps|decay_steps|clipnorm|global_clipnorm)['\"]"
    r"\s?:\s?(-?\d[\d.]{0,24}(?:e-?\d{1,3})?)"
)
DIGIT = re.compile(r"\d")
OWN_NAMES = frozenset(
    {
        "ours",
        "our",
        "our_model",
        "this_model",
        "overall",
        "all",
        "total",
        "int8",
        "int8_model",
        "quantized",
        "quantized_model",
    }
)
CLASS_HEADERS = frozenset(
    {
        "tag",
        "label",
        "labels",
        "class",
        "classes",
        "entity",
        "entities",
        "type",
        "ne_type",
        "emotion",
        "emotions",
        "category",
        "entity_type",
    }
)
