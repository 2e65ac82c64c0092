"""Runs in packs: one process, shared imports, tokens and base weights, one result a run.

A run's files are ``spec.json``, ``metrics.json``, ``history.csv``, ``timing.json``, the folder
``model``, and in the store ``predictions.csv``. All but ``timing.json`` (seconds, examples a
second, the device's name) hold the same bytes whenever the run is repeated on the same kind of
machine. They are made in the work folder and appear in the output folder when the run is complete.

The work folder is what makes a killed pack cheap: finished runs stay in ``finished`` until the
whole pack is, and a run in training leaves its state in ``states`` between epochs. Both are keyed
by the specification, the code and the versions that ``metrics.json`` states.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescape.digests import digest, file_digest
from tunescape.errors import UserError, storage_failure
from tunescape.receipts import is_whole, seal
from tunescape.tables import PARTIAL, atomic, write_json, write_table, write_text
from tunescape.training import data, models, packing, runspec, schedules, trackers
from tunescape.training.metrics import METRICS
from tunescape.training.model_card import failure_card, model_card

if TYPE_CHECKING:
    import torch

    from tunescape.training.engine import Evaluation, Learner

logger = logging.getLogger("tunescape.training")

RUN_FILES = ("spec.json", "metrics.json", "history.csv", "timing.json")
MODEL_FOLDER = "model"
PREDICTIONS = "predictions.csv"
"""``label`` and ``prediction`` of each evaluation row, in order; kept in the store."""
INPUT, TRAINING = "input", "training"
"""What a failed run failed for: its data or model, or what happened in training."""
HISTORY_COLUMNS = ("epoch", "step", "learning_rate", "train_loss", *METRICS)


@dataclass(frozen=True)
class PackOptions:
    """How a pack is executed; nothing here changes a metric on the same device.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads; one a worker and as many workers as cores is fastest.
        cache_dir: shared cache of tokens and Arrow files; ``work_dir/cache`` when ``None``.
        state_seconds: a state is written at an epoch's end when the last is at least this old.
        keep_states: keep the last state of constant and wsd schedules, so that the same run with
            more epochs continues it (exactly) instead of starting again.
        keep_finished: keep finished runs in ``work_dir``, where a later pack finds them.
        record_failures: write a failed run's error as its ``metrics.json`` (``status: failed``)
            and end well, instead of ending with an error that names it.
        report_to: ``tensorboard``, ``wandb``, ``trackio``.
        log_dir: TensorBoard's folder; ``work_dir/tensorboard`` when ``None``.
        run_packed: ``False`` runs the padded forward of ``transformers`` (for comparison).
    """

    device: str = "auto"
    threads: int = 1
    cache_dir: str | None = None
    state_seconds: float = 15.0
    keep_states: bool = False
    keep_finished: bool = False
    record_failures: bool = False
    report_to: tuple[str, ...] = ()
    log_dir: str | None = None
    run_packed: bool | None = None


@dataclass
class _Run:
    spec: dict[str, Any]
    run_id: str
    out_dirs: list[Path]
    cost: float


@dataclass
class _Clock:
    """Seconds and rows of a trajectory that this process spent, for ``timing.json``."""

    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    rows_trained: int = 0
    resumed_from: int = 0


@dataclass
class _Progress:
    total: float
    runs: int
    done: float = 0.0
    finished: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, cost: float, line: str, level: int = logging.INFO) -> None:
        self.done += cost
        self.finished += 1
        share = self.done / self.total if self.total else 1.0
        spent = time.monotonic() - self.started
        left = spent * (1 - share) / share if share else 0.0
        bar = "#" * round(20 * share)
        logger.log(level, "%s", line)
        logger.info(
            "[%-20s] %3.0f %%  %d/%d runs, %s left",
            bar,
            100 * share,
            self.finished,
            self.runs,
            f"{int(left) // 60}:{int(left) % 60:02d}",
        )


def train_pack(
    specs: Sequence[Mapping[str, Any]],
    out_dirs: Sequence[str | Path] | None,
    work_dir: str | Path,
    options: PackOptions | None = None,
) -> list[dict[str, Any]]:
    """Train several runs in this process and put each run's files into its own folder.

    A failing run (bad data, missing model, loss not a number, out of memory) leaves the others
    unharmed: they are trained and published before the failure is reported.

    Args:
        specs: specifications (:func:`tunescape.training.runspec.normalise` is applied).
        out_dirs: one output folder a specification; ``None`` with ``keep_finished``, when the
            files stay in :func:`finished_folder`.
        work_dir: folder for caches and states; safe to share between packs that run at once.
        options: how to execute.

    Returns:
        The content of each run's ``metrics.json``, in the order of ``specs``.

    Raises:
        UserError: when a run failed, with each one's id and reason, after the others finished.
    """
    options = options or PackOptions()
    if out_dirs is not None and len(specs) != len(out_dirs):
        raise UserError(f"{len(specs)} specifications, but {len(out_dirs)} output folders")
    trackers.check_trackers(options.report_to)
    runs: dict[str, _Run] = {}
    order = []
    for index, raw in enumerate(specs):
        spec = runspec.normalise(raw, f"runs[{index}]")
        run = runspec.run_id(spec)
        known = runs.setdefault(
            digest(spec, 32), _Run(spec, run, [], packing.predict_seconds(spec))
        )
        if out_dirs is not None:
            known.out_dirs.append(Path(out_dirs[index]))
        order.append(known)
    pack = _Pack(list(runs.values()), Path(work_dir), options)
    results = pack.train()
    if pack.failures and not options.record_failures:
        listed = "; ".join(f"run {run}: {why}" for run, why in sorted(pack.failures.items()))
        raise UserError(f"{len(pack.failures)} of {len(runs)} runs failed: {listed}")
    return [results[id(run)] for run in order]


def train_run(
    spec: Mapping[str, Any],
    out_dir: str | Path,
    work_dir: str | Path,
    options: PackOptions | None = None,
) -> dict[str, Any]:
    """Train one run: a pack of one (see :func:`train_pack`)."""
    return train_pack([spec], [out_dir], work_dir, options)[0]


def finished_folder(work_dir: str | Path, spec: Mapping[str, Any], device: str = "auto") -> Path:
    """Where a finished run's files lie in the work folder.

    The name is a digest of the canonical specification, the training code, the versions that
    ``metrics.json`` states and the device asked for: what a run depends on.
    """
    return Path(work_dir) / "finished" / _token(spec, device)


def _is_settled(folder: Path) -> bool:
    """Whether a run need not be tried (again): a missing model may be there the next time."""
    if not is_whole(folder):
        return False
    return bool(json.loads((folder / "metrics.json").read_text("utf-8")).get("cause") != INPUT)


def _token(spec: Mapping[str, Any], device: str) -> str:
    return digest([dict(spec), _code_version(), device], 24)


class _Pack:
    def __init__(self, runs: list[_Run], work_dir: Path, options: PackOptions) -> None:
        self.runs, self.work, self.options = runs, work_dir, options
        self.failures: dict[str, str] = {}
        self._results: dict[int, dict[str, Any]] = {}
        self._progress = _Progress(sum(run.cost for run in runs), len(runs))
        self._cache = Path(options.cache_dir) if options.cache_dir else work_dir / "cache"
        self._tasks: dict[str, data.TokenisedTask] = {}
        self._models: dict[str, tuple[Any, tuple[str, ...]]] = {}

    def train(self) -> dict[int, dict[str, Any]]:
        pending = []
        for run in self.runs:
            if _is_settled(self._finished(run)):
                self._publish(run)
                self._progress.advance(run.cost, f"run {run.run_id}: finished before")
            else:
                pending.append(run)
        if pending:
            self._train_pending(pending)
        wanted = self.options.keep_finished
        if not wanted and (not self.failures or self.options.record_failures):
            for run in self.runs:
                shutil.rmtree(self._finished(run), ignore_errors=True)
        return self._results

    def _train_pending(self, pending: list[_Run]) -> None:
        import torch

        from tunescape.training.engine import resolve_device

        device = resolve_device(self.options.device)
        if device.type == "cpu":
            torch.set_num_threads(self.options.threads)
        groups: dict[str, list[_Run]] = {}
        for run in pending:
            shared = schedules.shared_steps(run.spec, 1000) > 0
            key = packing.trajectory_id(run.spec) if shared else run.run_id
            groups.setdefault(digest([key, run.spec["eval_strategy"]]), []).append(run)
        for group in groups.values():
            group.sort(key=lambda run: (run.spec["num_epochs"], run.spec["keep"]))
            with self._claimed(group) as unfinished:
                self._train_group(unfinished, device)

    @contextmanager
    def _claimed(self, group: list[_Run]) -> Iterator[list[_Run]]:
        """Hold the runs of a group against other processes; yields those still unfinished.

        A process whose workflow was killed goes on training. What it trains is waited for, and
        not trained a second time. A lock ends with its process.
        """
        from filelock import FileLock

        with ExitStack() as held:
            for token in sorted(self.token(run.spec) for run in group):
                path = self.work / "locks" / f"{token}.lock"
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(NotImplementedError):  # The file system has no locks.
                    held.enter_context(FileLock(path))
            unfinished = []
            for run in group:
                if _is_settled(self._finished(run)):
                    self._publish(run)
                    self._progress.advance(run.cost, f"run {run.run_id}: finished meanwhile")
                else:
                    unfinished.append(run)
            yield unfinished

    # One trajectory ---------------------------------------------------------------------------

    def _train_group(self, group: list[_Run], device: torch.device) -> None:
        """Train runs that differ in epochs alone, each step of what they share only once."""
        from tunescape.training.engine import RunFailed

        left = list(group)
        if not left:
            return
        trajectory = None
        try:
            trajectory = _Trajectory(self, group[0].spec, device)
            while left:
                metrics = trajectory.finish(left[0], more=len(left) > 1)
                run = left.pop(0)
                self._publish(run)
                self._progress.advance(run.cost, _result_line(run, metrics))
            trajectory.drop_states()
        except RunFailed as error:
            self._fail(left, str(error), TRAINING)
        except Exception as error:
            if storage_failure(error):  # Not the runs' own failure: nothing to keep of it.
                raise
            if isinstance(error, UserError):
                self._fail(left, str(error), INPUT)
                return
            logger.error("%s", traceback.format_exc())
            self._fail(left, f"unexpected {type(error).__name__}: {error}", TRAINING)
        finally:
            if trajectory is not None:
                trajectory.close()

    def _fail(self, runs: list[_Run], why: str, cause: str) -> None:
        for run in runs:
            self.failures[run.run_id] = why
            self._progress.advance(run.cost, f"run {run.run_id}: FAILED: {why}", logging.ERROR)
            if not self.options.record_failures:
                continue
            metrics = {
                "schema": 1,
                "run_id": run.run_id,
                "status": "failed",
                "error": why,
                "cause": cause,
            }
            with _FreshFolder(self._finished(run)) as folder:
                _write_outputs(folder, run.spec, metrics, [], {})
                write_text(failure_card(run.spec, why), folder / MODEL_FOLDER / "README.md")
            self._publish(run)

    # Shared inputs ----------------------------------------------------------------------------

    def task(self, spec: Mapping[str, Any], folder: Path) -> data.TokenisedTask:
        key = digest([spec["task"], str(folder), spec["max_length"]])
        if key not in self._tasks:
            self._tasks[key] = data.tokenised_task(spec, folder, self._cache)
        return self._tasks[key]

    def base(self, spec: Mapping[str, Any], folder: Path, names: list[str]) -> Any:
        """A classifier with its head drawn from the run's seed (an adapter on top for LoRA)."""
        key = digest([str(folder), names, spec["dropout"]])
        if key not in self._models:
            self._models.clear()
            self._models[key] = models.load_classifier(folder, names, spec["dropout"])
        model, new = self._models[key]
        models.initialise_head(model, new, spec["seed"])
        if spec["method"] == "lora":
            from tunescape.training.lora import add_adapter

            return add_adapter(model, new, spec)
        return model

    # Files ------------------------------------------------------------------------------------

    def token(self, spec: Mapping[str, Any]) -> str:
        """Names a run's files in the work folder."""
        return _token(spec, self.options.device)

    def _finished(self, run: _Run) -> Path:
        return finished_folder(self.work, run.spec, self.options.device)

    def finished_folder(self, run: _Run) -> Path:
        """Where a run's complete outputs are collected."""
        return self._finished(run)

    def _publish(self, run: _Run) -> None:
        folder = self._finished(run)
        for out in run.out_dirs:
            copy_outputs(folder, out)
        self._results[id(run)] = json.loads((folder / "metrics.json").read_text("utf-8"))


class _Trajectory:
    """A learner and its history, moved along the steps that several runs share."""

    def __init__(self, pack: _Pack, spec: dict[str, Any], device: torch.device) -> None:
        self._pack, self._spec, self._device = pack, spec, device
        self._folder = models.locate(spec["model"])
        task = pack.task(spec, self._folder)
        self._train = _training_rows(task.train, spec)
        self._task = task
        self._clock = _Clock()
        self._history: list[dict[str, Any]] = []
        self._learner: Learner | None = None
        self._evaluated: tuple[int, Evaluation] | None = None
        self._saved = time.monotonic()
        name = digest([packing.trajectory_id(spec), spec["eval_strategy"], pack.token({})], 24)
        self._trunk_file = pack.work / "states" / f"trunk-{name}.safetensors"

    @property
    def learner(self) -> Learner:
        """The learner, made at step 0 when there is none."""
        from tunescape.training.engine import Learner

        if self._learner is None:
            model = self._pack.base(self._spec, self._folder, self._task.label_names)
            self._learner = Learner(
                self._spec,
                model,
                self._train,
                self._task.evaluation,
                self._device,
                self._pack.options.run_packed,
            )
        return self._learner

    def finish(self, run: _Run, more: bool) -> dict[str, Any]:
        """Train a run to its end and collect its outputs.

        Args:
            run: not shorter than the runs finished before.
            more: whether longer runs of the trajectory follow.
        """
        spec = run.spec
        per_epoch, total = runspec.step_counts(
            len(self._train), spec["train_batch_size"], spec["num_epochs"]
        )
        factors = schedules.lr_factors(spec, total)
        share = schedules.shared_steps(spec, total)
        own_file = self._pack.work / "states" / f"run-{self._pack.token(spec)}.safetensors"
        trunk = None
        resumed = self._load(own_file, total)
        if not resumed:
            if share and self.learner.steps_done == 0:
                self._load(self._trunk_file, share)
            if self.learner.steps_done > share:
                self._restart()
            self._advance(share, factors, per_epoch, self._trunk_file)
            if share and self._pack.options.keep_states:
                self._save(self._trunk_file)
            if share < total and more:
                trunk = self._snapshot()
        if self.learner.steps_done < total:
            state_file = own_file if share < total else self._trunk_file
            self._advance(total, factors, per_epoch, state_file)
        metrics = self._collect(run, factors, per_epoch, total)
        own_file.unlink(missing_ok=True)
        if trunk is not None:
            self._restore(*trunk)
        elif resumed and more:
            self._restart()
        return metrics

    def drop_states(self) -> None:
        """Remove the shared state of finished runs, unless it is to be kept."""
        if not self._pack.options.keep_states:
            self._trunk_file.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the shared base model back."""
        if self._learner is not None:
            self._learner.close()
            self._learner = None

    def _restart(self) -> None:
        self.close()
        self._history, self._evaluated = [], None

    def _advance(self, until: int, factors: Any, per_epoch: int, state_file: Path) -> None:
        learner = self.learner

        def on_epoch(_epoch: int) -> None:
            evaluate = self._spec["eval_strategy"] == "epoch"
            self._history.append(self._row(factors, per_epoch, evaluate))
            due = time.monotonic() - self._saved >= self._pack.options.state_seconds
            if due and learner.steps_done < until:
                self._save(state_file)

        begun, evaluated = time.perf_counter(), self._clock.eval_seconds
        first = learner.steps_done
        learner.train(until, factors, on_epoch)
        inside = self._clock.eval_seconds - evaluated
        self._clock.train_seconds += time.perf_counter() - begun - inside
        size, rows = self._spec["train_batch_size"], len(self._train)
        self._clock.rows_trained += sum(
            min(size, rows - (step % per_epoch) * size) for step in range(first, until)
        )

    def _evaluate(self) -> Evaluation:
        begun = time.perf_counter()
        evaluation = self.learner.evaluate()
        self._clock.eval_seconds += time.perf_counter() - begun
        self._evaluated = (self.learner.steps_done, evaluation)
        return evaluation

    def _row(self, factors: Any, per_epoch: int, evaluate: bool) -> dict[str, Any]:
        step = self.learner.steps_done
        begin = (step - 1) // per_epoch * per_epoch
        measured = self._evaluate().metrics if evaluate else {}
        epoch = step / per_epoch
        return {
            "epoch": int(epoch) if epoch == int(epoch) else epoch,
            "step": step,
            "learning_rate": self._spec["learning_rate"] * float(factors[step - 1]),
            "train_loss": float(np.mean(self.learner.losses[begin:step])),
            **{name: measured.get(name) for name in METRICS},
        }

    def _collect(self, run: _Run, factors: Any, per_epoch: int, total: int) -> dict[str, Any]:
        from tunescape.training.checkpoints import save_model

        learner = self.learner
        history = [row for row in self._history if row["step"] <= total]
        if self._evaluated is not None and self._evaluated[0] == total:
            evaluation = self._evaluated[1]
        else:
            evaluation = self._evaluate()
        if not history or history[-1]["step"] < total:
            history.append(self._row(factors, per_epoch, False))
        history[-1] = {**history[-1], **evaluation.metrics}
        metrics = self._metrics(run, evaluation, total)
        clock = self._clock
        seconds = clock.train_seconds + clock.eval_seconds
        timing = {
            "seconds": seconds,
            "train_seconds": clock.train_seconds,
            "eval_seconds": clock.eval_seconds,
            "examples_per_second": clock.rows_trained / max(clock.train_seconds, 1e-9),
            "resumed_from_step": clock.resumed_from,
            "threads": self._pack.options.threads,
            "device": _device_name(self._device),
        }
        with _FreshFolder(self._pack.finished_folder(run)) as folder:
            _write_outputs(folder, run.spec, metrics, history, timing)
            card = model_card(run.spec, metrics, history, total)
            write_text(card, folder / MODEL_FOLDER / "README.md")
            _write_predictions(self._task, evaluation, folder / PREDICTIONS)
            save_model(
                learner, run.spec, self._folder, self._task.label_names, folder / MODEL_FOLDER
            )
        if self._pack.options.report_to:
            log_dir = self._pack.options.log_dir or self._pack.work / "tensorboard"
            trackers.report_run(
                self._pack.options.report_to,
                Path(log_dir),
                run.run_id,
                run.spec,
                history,
                learner.losses[:total],
            )
        return metrics

    def _metrics(self, run: _Run, evaluation: Evaluation, total: int) -> dict[str, Any]:
        learner = self.learner
        return {
            "schema": 1,
            "run_id": run.run_id,
            "status": "ok",
            "error": None,
            **evaluation.metrics,
            "train_loss": float(np.mean(learner.losses[:total])),
            "standard_errors": evaluation.errors,
            "n_train": len(self._train),
            "n_eval": len(self._task.evaluation),
            "n_labels": len(self._task.label_names),
            "steps": total,
            "seed": run.spec["seed"],
            "weights_sha256": models.weights_sha256(self._folder),
            "train_digest": self._train.digest(),
            "eval_digest": self._task.evaluation.digest(),
            "trained_parameters": sum(p.numel() for p in _trained(learner)),
            "device": self._device.type,
            "numeric_precision": learner.precision,
            "packed": learner.packed,
            "versions": _versions(),
        }

    # States -----------------------------------------------------------------------------------

    def _snapshot(self) -> tuple[dict[str, Any], list[float], list[dict[str, Any]]]:
        tensors = {name: t.clone() for name, t in self.learner.parameters.tensors().items()}
        return tensors, list(self.learner.losses), list(self._history)

    def _restore(
        self, tensors: dict[str, Any], losses: list[float], history: list[dict[str, Any]]
    ) -> None:
        self.learner.parameters.restore(tensors)
        self.learner.losses = list(losses)
        self._history = list(history)
        self._evaluated = None

    def _save(self, path: Path) -> None:
        import torch
        from safetensors.torch import save_file

        tensors, losses, history = self._snapshot()
        tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
        told = json.dumps(history)
        check = str(_checksum(tensors, told))
        with atomic(path) as temporary:
            save_file(tensors, str(temporary), metadata={"history": told, "check": check})
        self._saved = time.monotonic()

    def _load(self, path: Path, latest: int) -> bool:
        """Continue from a saved state that lies at or before step ``latest``."""
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            return False
        learner = self.learner
        try:
            with safe_open(str(path), "pt") as handle:
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
                told = handle.metadata() or {}
            history = json.loads(told["history"])
            if told["check"] != str(_checksum(tensors, told["history"])):
                raise ValueError("its checksum is wrong")
            steps = int(tensors["scalars"][0])
            fits = tensors["values"].shape == learner.parameters.values.shape
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            logger.warning("the state %s is unreadable (%s): starting again", path.name, error)
            path.unlink(missing_ok=True)
            return False
        if not fits or steps > latest or steps <= learner.steps_done:
            return False
        self._restore(tensors, tensors["losses"].tolist(), history)
        self._clock.resumed_from = steps
        logger.info("continuing from step %d", steps)
        return True


def _checksum(tensors: Mapping[str, Any], told: str) -> int:
    """Of a state, whose file format tells its length but not whether its numbers are right."""
    import torch

    check = zlib.crc32(told.encode())
    for name in sorted(tensors):
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        check = zlib.crc32(flat.view(torch.uint8).numpy(), check)
    return check


def _training_rows(rows: data.Tokens, spec: Mapping[str, Any]) -> data.Tokens:
    """The rows of a run; that a run cannot have them is its own failure, not the data set's."""
    from tunescape.training.engine import RunFailed

    try:
        index = data.subset_index(len(rows), spec["train_size"], spec["seed"])
    except UserError as error:
        raise RunFailed(str(error)) from error
    chosen = rows.take(index)
    if len(np.unique(chosen.labels)) < 2:
        raise RunFailed(
            f"the {len(index)} training rows of seed {spec['seed']} have one class. "
            "Raise train_size"
        )
    return chosen


def _trained(learner: Learner) -> list[torch.nn.Parameter]:
    return [parameter for parameter in learner.model.parameters() if parameter.requires_grad]


def _result_line(run: _Run, metrics: Mapping[str, Any]) -> str:
    spec = run.spec
    return (
        f"run {run.run_id}: learning_rate {spec['learning_rate']:g}, "
        f"batch {spec['train_batch_size']}, epochs {spec['num_epochs']:g}, seed {spec['seed']}: "
        f"loss {metrics['loss']:.4f}, accuracy {metrics['accuracy']:.4f}, f1 {metrics['f1']:.4f}"
    )


@cache
def _code_version() -> str:
    files = {path.name: file_digest(path) for path in sorted(Path(__file__).parent.glob("*.py"))}
    return digest([files, _versions()])


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("transformers", "torch", "datasets", "tokenizers", "numpy")
    return {name: version(name) for name in names}


def _device_name(device: torch.device) -> str:
    import platform

    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class _FreshFolder:
    """A folder that appears under its name complete, or not at all."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temporary = target.with_name(f".{target.name}.{os.getpid()}{PARTIAL}")

    def __enter__(self) -> Path:
        shutil.rmtree(self._temporary, ignore_errors=True)
        (self._temporary / MODEL_FOLDER).mkdir(parents=True)
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is None:
            seal(self._temporary)
            shutil.rmtree(self._target, ignore_errors=True)
            self._temporary.rename(self._target)
        shutil.rmtree(self._temporary, ignore_errors=True)


def _write_outputs(
    folder: Path,
    spec: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    timing: Mapping[str, Any],
) -> None:
    write_json(dict(spec), folder / "spec.json")
    write_json(dict(metrics), folder / "metrics.json")
    write_json(dict(timing), folder / "timing.json")
    lines = [",".join(HISTORY_COLUMNS)]
    lines += [
        ",".join("" if row[name] is None else repr(row[name]) for name in HISTORY_COLUMNS)
        for row in history
    ]
    write_text("\n".join(lines) + "\n", folder / "history.csv")


def _write_predictions(task: data.TokenisedTask, evaluation: Evaluation, path: Path) -> None:
    import pandas as pd

    names = task.label_names
    columns = {"label": task.evaluation.labels, "prediction": evaluation.predicted}
    table = pd.DataFrame({key: [names[i] for i in found] for key, found in columns.items()})
    write_table(table, path, {"label": "str", "prediction": "str"})


def publish(folder: Path, out: Path) -> None:
    """Put a finished run's files from the store into an output folder.

    Raises:
        UserError: the store does not have the run as it was written; it is removed there, so that
            it is trained again when the packs are made again.
    """
    if not is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            "the finished run is not there as it was written",
            where=str(folder),
            fix="delete the folders results/experiments/*/packs and results/experiments/*/*/packs "
            "and run again: this run alone is trained again",
        )
    copy_outputs(folder, out)


def copy_outputs(folder: Path, out: Path) -> None:
    """Put a finished run's files into an output folder, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    staged = out / f".{MODEL_FOLDER}.{os.getpid()}{PARTIAL}"
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(folder / MODEL_FOLDER, staged, copy_function=_link)
    shutil.rmtree(out / MODEL_FOLDER, ignore_errors=True)
    staged.rename(out / MODEL_FOLDER)
    for name in (*(n for n in RUN_FILES if n != "metrics.json"), "metrics.json"):
        with atomic(out / name) as temporary:
            shutil.copyfile(folder / name, temporary)


def _link(source: str, target: str) -> str:
    """Hard link where the file system allows, copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
