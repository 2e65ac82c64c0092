"""The training loop: what ``transformers.Trainer`` computes, without what it wastes.

Same model, tokens, batches, loss, AdamW settings, decay groups, clipping, schedule, warm-up and
step count (a short last batch is kept). Different is how: packed tokens where the family allows
(see :mod:`tunescape.training.packed`), embedding tables cut to the words that occur (a row that
no row of the task uses has zero gradient for ever), a fused optimizer, and dropout keyed by
(run seed, step), so that a run gives the same numbers alone, in a pack, or resumed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.adamw import adamw

from tunescape.errors import UserError
from tunescape.training import packed
from tunescape.training.data import Tokens
from tunescape.training.metrics import evaluate_logits

BETAS = (0.9, 0.999)
ALIGN = 16  # floats: 64 bytes, so that a kernel's results do not depend on where a tensor lies
NO_DECAY = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")
KEY_PADDED = 0x70616464


class RunFailed(Exception):
    """A run that cannot go on (not a number, out of memory); its neighbours can."""


def resolve_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` means on this machine.

    Raises:
        UserError: when a GPU is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise UserError(f"unknown device '{name}'", expected="auto, cpu, cuda or cuda:N")
    index = int(name.partition(":")[2] or 0)
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise UserError(
            f"no GPU for device '{name}'",
            expected=f"one of {torch.cuda.device_count()} visible GPUs",
            fix="set device: cpu (or auto), or run where a GPU is visible",
        )
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> str:
    """``fp32`` or ``bf16``: ``auto`` means bf16 where the hardware multiplies it natively."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if {"amx_bf16", "avx512_bf16"} & _cpu_flags() else "fp32"


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:  # noqa: PTH123
            for line in handle:
                if line.startswith("flags"):
                    return set(line.partition(":")[2].split())
    except OSError:
        pass
    return set()


@dataclass
class Slot:
    """One contiguous block of trained parameters.

    Attributes:
        parameters: module parameters it holds, joined along the first axis.
        decay: whether weight decay applies.
        rows: rows of the one parameter that are trained, or ``None`` for all.
    """

    parameters: list[nn.Parameter]
    decay: bool
    rows: Tensor | None = None
    leaf: Tensor = field(default_factory=lambda: torch.empty(0))

    def initial(self) -> Tensor:
        """Its starting values."""
        if self.rows is not None:
            return self.parameters[0].detach().index_select(0, self.rows)
        return torch.cat([parameter.detach() for parameter in self.parameters])


class Parameters:
    """Trained parameters and their optimizer state, each in one flat aligned block.

    A module's parameters become views of the block while this object is in use, and get their
    own tensors back on :meth:`release`.
    """

    def __init__(self, slots: Sequence[Slot], device: torch.device, as_leaves: bool) -> None:
        self.slots = sorted(slots, key=lambda slot: not slot.decay)
        self._originals = [(p, p.data) for slot in self.slots for p in slot.parameters]
        starting = [slot.initial() for slot in self.slots]
        sizes = [-(-value.numel() // ALIGN) * ALIGN for value in starting]
        self.values, self.first, self.second = (torch.zeros(sum(sizes)) for _ in range(3))
        if device.type != "cpu":
            self.values, self.first, self.second = (
                block.to(device) for block in (self.values, self.first, self.second)
            )
        self.steps_taken = 0
        self.untouched_factor = 1.0
        self._moments: list[tuple[Tensor, Tensor]] = []
        start = 0
        for slot, value, size in zip(self.slots, starting, sizes, strict=True):
            place = slice(start, start + value.numel())
            view = self.values[place].view(value.shape)
            view.copy_(value)
            moments = (self.first[place], self.second[place])
            self._moments.append((moments[0].view(value.shape), moments[1].view(value.shape)))
            self._share(slot, view, as_leaves)
            start += size
        self._counters = [torch.zeros((), device=device) for _ in self.slots]

    @staticmethod
    def _share(slot: Slot, view: Tensor, as_leaves: bool) -> None:
        if slot.rows is None:
            begin = 0
            for parameter in slot.parameters:
                parameter.data = view[begin : begin + parameter.shape[0]]
                begin += parameter.shape[0]
        slot.leaf = view.detach().requires_grad_(True) if as_leaves else slot.parameters[0]

    def release(self) -> None:
        """Give the module's parameters their own tensors back."""
        for parameter, data in self._originals:
            parameter.data = data
            parameter.grad = None

    def step(self, learning_rate: float, weight_decay: float, epsilon: float, clip: float) -> float:
        """One AdamW update (Loshchilov and Hutter, 2019) after clipping by the global norm.

        Returns:
            The gradients' norm before clipping.
        """
        used = [i for i, slot in enumerate(self.slots) if slot.leaf.grad is not None]
        grads = [grad for i in used if (grad := self.slots[i].leaf.grad) is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        scale = None
        if clip > 0:
            # The fused kernel divides by its scale: clipping costs no pass over the gradients.
            scale = ((norm + 1e-6) / clip).clamp_(min=1.0)
        for decay in (True, False):
            chosen = [k for k, i in enumerate(used) if self.slots[i].decay == decay]
            if not chosen:
                continue
            adamw(
                [self.slots[used[k]].leaf.data for k in chosen],
                [grads[k] for k in chosen],
                [self._moments[used[k]][0] for k in chosen],
                [self._moments[used[k]][1] for k in chosen],
                [],
                [self._counters[used[k]] for k in chosen],
                fused=True,
                grad_scale=scale,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=learning_rate,
                weight_decay=weight_decay if decay else 0.0,
                eps=epsilon,
                maximize=False,
            )
        for slot in self.slots:
            slot.leaf.grad = None
        self.steps_taken += 1
        self.untouched_factor *= 1.0 - learning_rate * weight_decay
        return float(norm)

    def tensors(self) -> dict[str, Tensor]:
        """The whole state as CPU tensors (not copies where they lie on the CPU)."""
        blocks = {"values": self.values, "first": self.first, "second": self.second}
        counts = [float(counter) for counter in self._counters]
        extra = [float(self.steps_taken), self.untouched_factor, *counts]
        return {
            **{name: block.detach().cpu() for name, block in blocks.items()},
            "scalars": torch.tensor(extra, dtype=torch.float64),
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a state from :meth:`tensors` of the same run specification."""
        with torch.no_grad():
            self.values.copy_(tensors["values"])
            self.first.copy_(tensors["first"])
            self.second.copy_(tensors["second"])
        steps, self.untouched_factor, *counts = tensors["scalars"].tolist()
        self.steps_taken = int(steps)
        for counter, count in zip(self._counters, counts, strict=True):
            counter.fill_(count)


def decay_applies(name: str, owner: nn.Module) -> bool:
    """Whether weight decay applies to a parameter, by ``Trainer``'s rule."""
    return not isinstance(owner, nn.LayerNorm) and not NO_DECAY.search(name.lower())


@dataclass
class Evaluation:
    """Metrics of the evaluation rows, their standard errors, and the class of each row."""

    metrics: dict[str, float]
    errors: dict[str, float]
    predicted: npt.NDArray[np.int64]


class Learner:
    """One run in training: parameters, optimizer, and the batches of its seed."""

    def __init__(
        self,
        spec: dict[str, Any],
        model: nn.Module,
        train: Tokens,
        evaluation: Tokens,
        device: torch.device,
        run_packed: bool | None = None,
    ) -> None:
        """Prepare a run at step 0.

        Args:
            spec: canonical specification.
            model: a ``transformers`` classifier, or a PEFT model of one, with its head drawn.
            train: exactly the rows to train on.
            evaluation: the rows to evaluate on.
            device: from :func:`resolve_device`.
            run_packed: ``False`` runs the padded forward; ``None`` packs where the family allows.
        """
        self.spec, self.model, self.device = spec, model, device
        self.train_tokens, self.evaluation_tokens = train, evaluation
        self.precision = resolve_precision(spec["precision"], device)
        self.losses: list[float] = []
        config: Any = model.config
        layout = packed.layout_of(config) if run_packed in (None, True) else None
        self.packed = layout is not None
        self._pad_id = int(getattr(config, "pad_token_id", None) or 0)
        self._takes_types = getattr(config, "type_vocab_size", 0) > 1
        self._remap: npt.NDArray[np.int64] | None = None
        self._cached_evaluation: list[tuple[Any, npt.NDArray[np.int64]]] | None = None
        room = getattr(config, "max_position_embeddings", None)
        if room is not None and self._longest() > room:
            raise UserError(
                f"a text has {self._longest()} tokens, but the model reads {room} at most",
                fix=f"set max_length: {room} or lower",
            )
        model.to(device)
        if layout is not None:
            slots = self._packed_slots(layout)
            self.parameters = Parameters(slots, device, as_leaves=True)
            self._classifier = self._bind(layout)
        else:
            slots = [
                Slot([parameter], decay_applies(name, owner))
                for name, parameter, owner in _named_trained(model)
            ]
            self.parameters = Parameters(slots, device, as_leaves=False)

    @property
    def steps_done(self) -> int:
        """Optimizer steps taken so far."""
        return self.parameters.steps_taken

    def _longest(self) -> int:
        splits = (self.train_tokens, self.evaluation_tokens)
        return max(int(split.lengths.max()) for split in splits)

    # Parameters of the packed forward ---------------------------------------------------------

    def _base(self) -> nn.Module:
        peft_base = getattr(self.model, "get_base_model", None)
        base = self.model if peft_base is None else peft_base()
        assert isinstance(base, nn.Module)
        return base

    def _packed_slots(self, layout: packed.Layout) -> list[Slot]:
        base = self._base()
        trained = {id(p): (name, p, owner) for name, p, owner in _named_trained(self.model)}
        slots = []
        for layer in layout.layers:
            paths = (layer.query, layer.key, layer.value)
            parts = [base.get_submodule(path) for path in paths]
            if any(id(getattr(part, "weight", None)) not in trained for part in parts):
                continue
            for kind in ("weight", "bias"):
                joined = [getattr(part, kind) for part in parts]
                slots.append(Slot(joined, decay=kind == "weight"))
                for parameter in joined:
                    del trained[id(parameter)]
        embeddings = base.get_submodule(layout.embeddings)
        word = embeddings.get_submodule("word_embeddings").weight
        position = embeddings.get_submodule("position_embeddings").weight
        assert isinstance(word, nn.Parameter) and isinstance(position, nn.Parameter)
        if id(word) in trained:
            tokens = np.concatenate([self.train_tokens.ids, self.evaluation_tokens.ids])
            occurring = np.unique(tokens).astype(np.int64)
            self._remap = np.zeros(word.shape[0], dtype=np.int64)
            self._remap[occurring] = np.arange(len(occurring))
            rows = torch.from_numpy(occurring).to(self.device)
            slots.append(Slot([word], decay=True, rows=rows))
            del trained[id(word)]
        if id(position) in trained:
            rows = torch.arange(self._longest(), device=self.device)
            slots.append(Slot([position], decay=True, rows=rows))
            del trained[id(position)]
        slots += [Slot([p], decay_applies(name, owner)) for name, p, owner in trained.values()]
        return slots

    def _bind(self, layout: packed.Layout) -> packed.PackedClassifier:
        base = self._base()
        leaves = {id(slot.parameters[0]): slot.leaf for slot in self.parameters.slots}

        def live(parameter: Tensor) -> Tensor:
            return leaves.get(id(parameter), parameter)

        def norm(path: str) -> packed.Norm:
            module = base.get_submodule(path)
            assert isinstance(module, nn.LayerNorm)
            return packed.Norm(live(module.weight), live(module.bias), module.eps)

        def linear(path: str) -> packed.Projection:
            weight, bias, update = _linear_parts(base.get_submodule(path))
            updates = () if update is None else (_low_rank(update, 0, live),)
            return packed.Projection(live(weight), live(bias), updates)

        def joined(paths: Sequence[str]) -> packed.Projection:
            parts = [_linear_parts(base.get_submodule(path)) for path in paths]
            if id(parts[0][0]) in leaves:
                return packed.Projection(live(parts[0][0]), live(parts[0][1]))
            starts = np.cumsum([0, *(part[0].shape[0] for part in parts)])
            updates = tuple(
                _low_rank(update, int(start), live)
                for start, (_, _, update) in zip(starts, parts, strict=False)
                if update is not None
            )
            return packed.Projection(
                torch.cat([part[0].detach() for part in parts]),
                torch.cat([part[1].detach() for part in parts]),
                updates,
            )

        embeddings = base.get_submodule(layout.embeddings)

        def table(name: str) -> Tensor:
            weight = embeddings.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            return live(weight)

        return packed.PackedClassifier(
            layout=layout,
            word=table("word_embeddings"),
            position=table("position_embeddings"),
            types=table("token_type_embeddings") if layout.has_types else None,
            embedding_norm=norm(f"{layout.embeddings}.LayerNorm"),
            layers=tuple(
                packed.Layer(
                    qkv=joined((layer.query, layer.key, layer.value)),
                    attention_output=linear(layer.attention_output),
                    attention_norm=norm(layer.attention_norm),
                    inner=linear(layer.inner),
                    outer=linear(layer.outer),
                    output_norm=norm(layer.output_norm),
                )
                for layer in layout.layers
            ),
            pooler=linear(layout.pooler),
            classifier=linear("classifier"),
        )

    # Training and evaluation ------------------------------------------------------------------

    def epoch_order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Order of the training rows in an epoch (from 0): accelerate's seeded sampler's."""
        generator = torch.Generator().manual_seed(self.spec["seed"] + epoch)
        return torch.randperm(len(self.train_tokens), generator=generator).numpy()

    def train(
        self,
        until: int,
        factors: npt.NDArray[np.float64],
        on_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Train up to a step.

        Args:
            until: number of optimizer steps after which to stop.
            factors: learning-rate factor of each step.
            on_epoch: called after an epoch's last step with the number of epochs done.

        Raises:
            RunFailed: when the loss is not finite, or memory runs out.
        """
        size = self.spec["train_batch_size"]
        per_epoch = -(-len(self.train_tokens) // size)
        while self.steps_done < until:
            epoch, begin = divmod(self.steps_done, per_epoch)
            order = self.epoch_order(epoch)
            for index in range(begin, min(per_epoch, begin + until - self.steps_done)):
                rows = order[index * size : (index + 1) * size]
                self._train_step(rows, float(factors[self.steps_done]))
            if on_epoch is not None and self.steps_done % per_epoch == 0:
                on_epoch(self.steps_done // per_epoch)

    def _train_step(self, rows: npt.NDArray[np.int64], factor: float) -> None:
        step, spec = self.steps_done, self.spec
        try:
            with self._autocast():
                logits, labels = self._train_forward(rows, step)
                loss = F.cross_entropy(logits.float(), labels)
            value = float(loss.detach())
            if not np.isfinite(value):
                raise RunFailed(
                    f"the training loss is {value} at step {step + 1} "
                    f"(learning_rate {spec['learning_rate']:g})"
                )
            loss.backward()  # type: ignore[no-untyped-call]
            self.losses.append(value)
            self.parameters.step(
                spec["learning_rate"] * factor,
                spec["weight_decay"],
                spec["adam_epsilon"],
                spec["max_grad_norm"],
            )
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise RunFailed(self._memory_message()) from error
        except RuntimeError as error:
            if re.search("not enough memory|out of memory|can't allocate memory", str(error)):
                raise RunFailed(self._memory_message()) from error
            raise

    def _memory_message(self) -> str:
        return (
            f"out of memory on {self.device} with train_batch_size {self.spec['train_batch_size']} "
            f"and max_length {self.spec['max_length']}"
        )

    def _train_forward(self, rows: npt.NDArray[np.int64], step: int) -> tuple[Tensor, Tensor]:
        seed = self.spec["seed"]
        if self.packed:
            batch, _ = packed.pack(self.train_tokens, rows, self.device, self._remap)
            return self._classifier(batch, packed.Masks(seed, step, self.device)), batch.labels
        key = np.random.SeedSequence([KEY_PADDED, seed, step]).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(key >> np.uint64(1)))
        self.model.train()
        inputs, labels = self._pad(self.train_tokens, rows)
        return self.model(**inputs).logits, labels

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=True
        )

    def _pad(self, tokens: Tokens, rows: npt.NDArray[np.int64]) -> tuple[dict[str, Tensor], Tensor]:
        part = tokens.take(rows)
        real = np.arange(int(part.lengths.max()))[None, :] < part.lengths[:, None]
        ids = np.full(real.shape, self._pad_id, dtype=np.int64)
        ids[real] = part.ids
        arrays = {"input_ids": ids, "attention_mask": real.astype(np.int64)}
        if self._takes_types:
            types = np.zeros_like(ids)
            types[real] = part.types
            arrays["token_type_ids"] = types
        inputs = {key: torch.from_numpy(array).to(self.device) for key, array in arrays.items()}
        return inputs, torch.from_numpy(part.labels).to(self.device)

    def logits(self, tokens: Tokens) -> npt.NDArray[np.float32]:
        """Logits of rows without dropout, in their order, shape (n, classes).

        The training generator and dropout masks are not touched.
        """
        result: npt.NDArray[np.float32] | None = None
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            for batch, rows in self._evaluation_batches(tokens):
                if self.packed:
                    values = self._classifier(batch)
                else:
                    values = self.model(**batch).logits.float()
                if result is None:
                    result = np.empty((len(tokens), values.shape[1]), dtype=np.float32)
                result[rows] = values.cpu().numpy()
        assert result is not None
        return result

    def _evaluation_batches(self, tokens: Tokens) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        if tokens is self.evaluation_tokens and self._cached_evaluation is not None:
            yield from self._cached_evaluation
            return
        order = np.argsort(tokens.lengths, kind="stable")
        size = self.spec["eval_batch_size"]
        batches: list[tuple[Any, npt.NDArray[np.int64]]] = []
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            if self.packed:
                batches.append(packed.pack(tokens, rows, self.device, self._remap))
            else:
                batches.append((self._pad(tokens, rows)[0], rows))
            yield batches[-1]
        if tokens is self.evaluation_tokens:
            self._cached_evaluation = batches

    def evaluate(self) -> Evaluation:
        """Metrics of the evaluation rows.

        Raises:
            RunFailed: when a logit is not finite, or memory runs out.
        """
        try:
            logits = self.logits(self.evaluation_tokens)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise RunFailed(self._memory_message()) from error
        if not np.isfinite(logits).all():
            raise RunFailed(f"the evaluation logits are not finite after step {self.steps_done}")
        measured = evaluate_logits(logits, self.evaluation_tokens.labels)
        return Evaluation(*measured, logits.argmax(axis=1))

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the model's tensors by their ``transformers`` (or PEFT) names, on the CPU."""
        tensors = {name: value.detach() for name, value in self.model.state_dict().items()}
        names = {id(p): name for name, p in self.model.named_parameters()}
        for slot in self.parameters.slots:
            if slot.rows is not None:
                name = names[id(slot.parameters[0])]
                factor = self.parameters.untouched_factor if slot.decay else 1.0
                full = tensors[name] * factor
                tensors[name] = full.index_copy_(0, slot.rows, slot.leaf.detach())
        return {name: value.to("cpu", copy=True) for name, value in tensors.items()}

    def close(self) -> None:
        """Give the shared model its own parameters back."""
        self.parameters.release()


def _named_trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter, model.get_submodule(name.rpartition(".")[0])


def _linear_parts(module: nn.Module) -> tuple[Tensor, Tensor, nn.Module | None]:
    """Weight, bias and LoRA update of a linear layer, as PEFT may have wrapped it."""
    saved = getattr(module, "modules_to_save", None)
    if isinstance(saved, nn.ModuleDict):
        return _linear_parts(saved["default"])
    base = getattr(module, "base_layer", None)
    if isinstance(base, nn.Linear):
        return base.weight, base.bias, module
    assert isinstance(module, nn.Linear)
    return module.weight, module.bias, None


def _low_rank(module: Any, start: int, live: Callable[[Tensor], Tensor]) -> packed.LowRank:
    return packed.LowRank(
        start=start,
        a=live(module.lora_A["default"].weight),
        b=live(module.lora_B["default"].weight),
        scale=float(module.scaling["default"]),
        rate=float(getattr(module.lora_dropout["default"], "p", 0.0)),
    )
