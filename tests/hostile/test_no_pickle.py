"""No pickle is loaded and no code of a model is run: by reading our code, and by trying."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from tunescape.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))

from tiny_models import save_model, spec_of  # noqa: E402

CODE = [
    *(path for folder in ("scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
]
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
CALLS = {
    "torch.load",
    "np.load",
    "numpy.load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.load_all",
    "os.system",
    "os.popen",
    "eval",
    "exec",
    "compile",
    "__import__",
}
LOADERS = {"_Loader"}
"""Subclasses of PyYAML's safe loaders, the only ones that ``yaml.load`` is given."""


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Every call of a file with the dotted name that is called."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(ast.unparse(n.func), n) for n in ast.walk(tree) if isinstance(n, ast.Call)]


def test_no_module_or_function_that_loads_pickles_is_used() -> None:
    assert len(CODE) > 150
    for path in CODE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not {name.split(".")[0] for name in names} & MODULES, path
        for name, call in calls(path):
            assert name not in CALLS, (path, call.lineno)
            stated = {k.arg: ast.unparse(k.value) for k in call.keywords if k.arg}
            assert stated.get("allow_pickle", "False") == "False", path
            assert stated.get("trust_remote_code", "False") == "False", path
            assert stated.get("shell", "False") == "False", path
            if name == "yaml.load":
                assert stated.get("Loader") in LOADERS, (path, call.lineno)
            if name.endswith("from_pretrained") and path.is_relative_to(ROOT / "scripts"):
                own = "peft" in name.lower()  # an adapter of ours, beside its base
                assert own or stated.get("trust_remote_code") == "False", (path, call.lineno)


def test_yaml_loaders_are_safe_ones() -> None:
    import yaml
    from tunescape import plain
    from tunescape.cards import frontmatter

    assert issubclass(plain._Loader, yaml.SafeLoader)
    assert issubclass(frontmatter._Loader, yaml.CBaseLoader | yaml.BaseLoader)


class Bait:
    """Touches a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model", "distilbert")


def train(folder: Path, tmp_path: Path) -> dict[str, Any]:
    from tunescape.training.run import train_run

    spec = spec_of(folder, tmp_path, num_epochs=1, train_size=8)
    return train_run(spec, tmp_path / "out", tmp_path / "work")


def bait(folder: Path, target: Path, *names: str) -> None:
    """Put a pickle that touches ``target`` under each of these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Bait(target)))


def test_the_bait_works(tmp_path: Path) -> None:
    bait(tmp_path, tmp_path / "pwned", "x.pkl")
    pickle.loads((tmp_path / "x.pkl").read_bytes())
    assert (tmp_path / "pwned").exists()


def test_a_model_in_a_pickle_alone_is_refused(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    bait(model, tmp_path / "pwned", "pytorch_model.bin")
    with pytest.raises(UserError, match="no safetensors weights"):
        train(model, tmp_path)
    assert not (tmp_path / "pwned").exists() and not (tmp_path / "out").exists()


def test_an_index_that_leads_to_a_pickle_is_refused(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").rename(model / "model-00001-of-00001.safetensors")
    bait(model, tmp_path / "pwned", "evil.bin")
    weights = {"distilbert.embeddings.word_embeddings.weight": "evil.bin"}
    index = {"metadata": {}, "weight_map": weights}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="the index names other files"):
        train(model, tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_pickles_beside_a_model_and_in_our_own_folders_are_not_opened(
    model: Path, tmp_path: Path
) -> None:
    names = ("pytorch_model.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "vocab.pkl")
    bait(model, tmp_path / "pwned", *names, "training_args.bin")
    bait(tmp_path / "work", tmp_path / "pwned", *(f"states/{n}" for n in names), "cache.pkl")
    assert train(model, tmp_path)["status"] == "ok"
    assert not (tmp_path / "pwned").exists()
    left = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left <= {".json", ".csv", ".md", ".safetensors", ".txt"}


def test_a_state_that_is_a_pickle_is_made_anew(model: Path, tmp_path: Path) -> None:
    """Caches and saved states under their own names hold a pickle: told or made anew, never run."""
    assert train(model, tmp_path)["status"] == "ok"
    for path in list((tmp_path / "work").rglob("*.safetensors")):
        path.write_bytes(pickle.dumps(Bait(tmp_path / "pwned")))
    shutil.rmtree(tmp_path / "out")
    try:
        assert train(model, tmp_path)["status"] == "ok"
    except UserError:
        assert not (tmp_path / "out").exists()
    assert not (tmp_path / "pwned").exists()


CUSTOM = "import pathlib\npathlib.Path({target!r}).touch()\n"


@pytest.mark.parametrize("what", ["model", "tokenizer", "config"])
def test_code_that_comes_with_a_model_is_not_run(what: str, model: Path, tmp_path: Path) -> None:
    (model / "custom.py").write_text(
        CUSTOM.format(target=str(tmp_path / "pwned"))
        + "from transformers import DistilBertConfig as Own\n"
    )
    config_path = model / ("tokenizer_config.json" if what == "tokenizer" else "config.json")
    config = json.loads(config_path.read_text())
    maps = {
        "model": {"AutoModelForSequenceClassification": "custom.Own"},
        "config": {"AutoConfig": "custom.Own"},
        "tokenizer": {"AutoTokenizer": ["custom.Own", "custom.Own"]},
    }
    config["auto_map"] = maps[what]
    if what != "model":
        config["tokenizer_class" if what == "tokenizer" else "model_type"] = "own-kind"
    config_path.write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
        patch.setattr("builtins.input", lambda *_: pytest.fail("it asks whether to run code"))
        try:
            assert train(model, tmp_path)["status"] == "ok"
        except UserError as error:
            assert f"{model}: " in str(error) and "trust_remote_code=True" not in str(error)
    assert not (tmp_path / "pwned").exists()
