"""Unpadded execution of BERT- and DistilBERT-type classifiers on the same random batches.

A batch's tokens lie one after another without padding, so embeddings, projections, feed-forward
layers and normalisations touch real tokens only; attention runs on groups of similar length. Two
more savings are exact: the last layer computes what the classifier reads (the first token) and
nothing else, and dropout masks come from a cheap generator keyed by (run seed, step). The logits
equal those of the padded ``transformers`` forward up to rounding.

The parameters are those of the ``transformers`` (or PEFT) module; this file only runs them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from tunescape.training.data import Tokens
from tunescape.training.models import dropout_rates

# Cost of an attention group on a CPU core, in microseconds: call, score element row, token.
GROUP_COST, SCORE_COST, TOKEN_COST = 300.0, 0.12, 2.0
KEY_DROPOUT = 0x64726F70


@dataclass(frozen=True)
class LayerPaths:
    """Module paths of one encoder layer."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    inner: str
    outer: str
    output_norm: str


@dataclass(frozen=True)
class Layout:
    """Where a model family keeps its parts, and how it joins them.

    The dropout rates: after the embeddings, on attention probabilities, after the attention
    output, after the feed-forward output, before the classifier.
    """

    embeddings: str
    has_types: bool
    layers: tuple[LayerPaths, ...]
    pooler: str
    pooler_activation: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    heads: int
    embedding_rate: float
    attention_rate: float
    projection_rate: float
    output_rate: float
    classifier_rate: float


def layout_of(config: Any) -> Layout | None:
    """The layout of a model, or ``None`` when its family is run padded instead.

    Args:
        config: a ``transformers`` configuration.
    """
    from transformers.activations import ACT2FN

    rates = dropout_rates(config)
    if config.model_type == "bert":
        if config.is_decoder or config.add_cross_attention:
            return None
        hidden = rates["hidden_dropout_prob"]
        return Layout(
            embeddings="bert.embeddings",
            has_types=True,
            layers=tuple(_bert_layer(i) for i in range(config.num_hidden_layers)),
            pooler="bert.pooler.dense",
            pooler_activation=torch.tanh,
            activation=ACT2FN[config.hidden_act],
            heads=config.num_attention_heads,
            embedding_rate=hidden,
            attention_rate=rates["attention_probs_dropout_prob"],
            projection_rate=hidden,
            output_rate=hidden,
            classifier_rate=rates.get("classifier_dropout", hidden),
        )
    if config.model_type == "distilbert":
        return Layout(
            embeddings="distilbert.embeddings",
            has_types=False,
            layers=tuple(_distilbert_layer(i) for i in range(config.n_layers)),
            pooler="pre_classifier",
            pooler_activation=torch.relu,
            activation=ACT2FN[config.activation],
            heads=config.n_heads,
            embedding_rate=rates["dropout"],
            attention_rate=rates["attention_dropout"],
            projection_rate=0.0,
            output_rate=rates["dropout"],
            classifier_rate=rates["seq_classif_dropout"],
        )
    return None


def _bert_layer(index: int) -> LayerPaths:
    root = f"bert.encoder.layer.{index}"
    return LayerPaths(
        query=f"{root}.attention.self.query",
        key=f"{root}.attention.self.key",
        value=f"{root}.attention.self.value",
        attention_output=f"{root}.attention.output.dense",
        attention_norm=f"{root}.attention.output.LayerNorm",
        inner=f"{root}.intermediate.dense",
        outer=f"{root}.output.dense",
        output_norm=f"{root}.output.LayerNorm",
    )


def _distilbert_layer(index: int) -> LayerPaths:
    root = f"distilbert.transformer.layer.{index}"
    return LayerPaths(
        query=f"{root}.attention.q_lin",
        key=f"{root}.attention.k_lin",
        value=f"{root}.attention.v_lin",
        attention_output=f"{root}.attention.out_lin",
        attention_norm=f"{root}.sa_layer_norm",
        inner=f"{root}.ffn.lin1",
        outer=f"{root}.ffn.lin2",
        output_norm=f"{root}.output_layer_norm",
    )


@dataclass(frozen=True)
class Group:
    """Sequences of similar length: packed rows ``start:stop`` as a padded block.

    Attributes:
        count, length: the block's shape; ``count * length`` positions.
        gather: packed row of each position (padding points at ``start``), or ``None`` when no
            position is padding.
        scatter: block position of each packed row.
        bias: 0 or -inf for each key, shape (count, 1, 1, length), or ``None``.
    """

    start: int
    stop: int
    count: int
    length: int
    gather: Tensor | None
    scatter: Tensor | None
    bias: Tensor | None


@dataclass(frozen=True)
class PackedBatch:
    """Tokens of a batch without padding, sequences ordered by length.

    Attributes:
        ids, types, positions: shape (tokens,).
        first: packed row of each sequence's first token, shape (sequences,).
        labels: shape (sequences,).
        groups: attention blocks that cover all rows in order.
        whole: all sequences as one block, for the last layer.
    """

    ids: Tensor
    types: Tensor
    positions: Tensor
    first: Tensor
    labels: Tensor
    groups: tuple[Group, ...]
    whole: Group


def pack(
    tokens: Tokens,
    rows: npt.NDArray[np.int64],
    device: torch.device,
    remap: npt.NDArray[np.int64] | None = None,
) -> tuple[PackedBatch, npt.NDArray[np.int64]]:
    """Pack some rows of a split.

    Args:
        tokens: the split.
        rows: row numbers, shape (sequences,).
        device: where the batch goes.
        remap: token id -> row of a compacted embedding table.

    Returns:
        The batch, and the rows in the batch's own order.
    """
    order = rows[np.argsort(tokens.lengths[rows], kind="stable")]
    part = tokens.take(order)
    lengths = part.lengths
    positions = np.arange(len(part.ids)) - np.repeat(part.offsets[:-1], lengths)
    ids = part.ids.astype(np.int64) if remap is None else remap[part.ids]
    cuts = _cut(lengths) if device.type == "cpu" else [0, len(lengths)]
    groups = tuple(
        _group(lengths, part.offsets, low, high, device) for low, high in itertools.pairwise(cuts)
    )
    whole = groups[0] if len(groups) == 1 else _group(lengths, part.offsets, 0, len(order), device)

    def put(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array.astype(np.int64)).to(device)

    batch = PackedBatch(
        ids=put(ids),
        types=put(part.types),
        positions=put(positions),
        first=put(part.offsets[:-1]),
        labels=put(part.labels),
        groups=groups,
        whole=whole,
    )
    return batch, order


def _cut(lengths: npt.NDArray[np.int64]) -> list[int]:
    """Cut sorted lengths into groups of least total cost (dynamic programming)."""
    ends = np.flatnonzero(np.append(np.diff(lengths) > 0, True)) + 1
    best, previous = [0.0], [0]
    starts = np.concatenate([[0], ends])
    for k, end in enumerate(ends, start=1):
        longest = int(lengths[end - 1])
        block = SCORE_COST * longest * longest + TOKEN_COST * longest
        cost = np.array(best) + GROUP_COST + (end - starts[:k]) * block
        choice = int(cost.argmin())
        best.append(float(cost[choice]))
        previous.append(choice)
    cuts, k = [len(lengths)], len(ends)
    while k:
        k = previous[k]
        cuts.append(int(starts[k]))
    return cuts[::-1]


def _group(
    lengths: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    low: int,
    high: int,
    device: torch.device,
) -> Group:
    count, longest = high - low, int(lengths[high - 1])
    start, stop = int(offsets[low]), int(offsets[high])
    if lengths[low] == longest:
        return Group(start, stop, count, longest, None, None, None)
    real = np.arange(longest)[None, :] < lengths[low:high, None]
    gather = np.where(real, np.arange(longest)[None, :] + offsets[low:high, None], start)
    bias = np.where(real, 0.0, -np.inf).astype(np.float32)[:, None, None, :]
    return Group(
        start,
        stop,
        count,
        longest,
        torch.from_numpy(gather.reshape(-1)).to(device),
        torch.from_numpy(np.flatnonzero(real)).to(device),
        torch.from_numpy(bias).to(device),
    )


class Masks:
    """Dropout masks of one training step, the same wherever and with whatever it is trained.

    Sixteen random bits decide each element, so a rate is met to 1/65536. The generator is keyed
    by (seed, step) and masks are drawn in the order in which the forward asks for them.
    """

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self._device = device
        if device.type == "cpu":
            self._bits = np.random.Generator(
                np.random.SFC64(np.random.SeedSequence([KEY_DROPOUT, seed, step]))
            )
        else:
            state = np.random.SeedSequence([KEY_DROPOUT, seed, step]).generate_state(1, np.uint64)
            self._generator = torch.Generator(device).manual_seed(int(state[0] >> np.uint64(1)))

    def draw(self, shape: Sequence[int], rate: float) -> Tensor | None:
        """Factors 0 or 1/(1 - rate) of the given shape; ``None`` when nothing is dropped."""
        if rate == 0.0:
            return None
        scale = 1.0 / (1.0 - rate)
        if self._device.type != "cpu":
            noise = torch.rand(*shape, generator=self._generator, device=self._device)
            return (noise >= rate).to(torch.float32).mul_(scale)
        count = int(np.prod(shape))
        words = np.frombuffer(self._bits.bytes(2 * count), dtype=np.int16)
        threshold = round(rate * 65536) - 32768
        kept = torch.from_numpy(np.greater_equal(words, threshold))
        return kept.to(torch.float32).mul_(scale).view(*shape)


class _GroupedAttention(torch.autograd.Function):
    """Self-attention of packed queries, keys and values, group by group.

    Forward and backward are written out: the blocks stay small, and autograd would spend more on
    bookkeeping than the arithmetic costs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        groups: tuple[Group, ...],
        heads: int,
        masks: Sequence[Tensor | None],
    ) -> Tensor:
        """Args: qkv of shape (tokens, 3 * width); returns (tokens, width)."""
        width = qkv.shape[1] // 3
        size = width // heads
        scale = size**-0.5
        output = qkv.new_empty(qkv.shape[0], width)
        saved: list[Tensor | None] = []
        for group, mask in zip(groups, masks, strict=True):
            query, key, value = _blocks(qkv, group, 3, heads)
            scores = torch.bmm(query, key.transpose(1, 2)).float().mul_(scale)
            shape = (group.count, heads, group.length, group.length)
            if group.bias is not None:
                scores.view(shape).add_(group.bias)
            probabilities = torch.softmax(scores, -1)
            dropped = probabilities if mask is None else probabilities * mask.view_as(scores)
            block = torch.bmm(dropped.to(value.dtype), value)
            _unblock(block, group, heads, output)
            saved += [query, key, value, probabilities, dropped, mask]
        ctx.save_for_backward(*saved)
        ctx.groups, ctx.heads, ctx.width = groups, heads, width
        return output

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient with respect to ``qkv``."""
        grad = grad_outputs[0].contiguous()
        heads, width = ctx.heads, ctx.width
        scale = (width // heads) ** -0.5
        result = grad.new_empty(grad.shape[0], 3 * width)
        saved = ctx.saved_tensors
        for index, group in enumerate(ctx.groups):
            query, key, value, probabilities, dropped, mask = saved[6 * index : 6 * index + 6]
            (upstream,) = _blocks(grad, group, 1, heads)
            if group.bias is not None:
                upstream = upstream.masked_fill_(
                    (group.bias.view(group.count, 1, group.length, 1) < 0)
                    .expand(group.count, heads, group.length, 1)
                    .reshape(-1, group.length, 1),
                    0.0,
                )
            grad_value = torch.bmm(dropped.to(upstream.dtype).transpose(1, 2), upstream)
            grad_scores = torch.bmm(upstream, value.transpose(1, 2)).float()
            if mask is not None:
                grad_scores.mul_(mask.view_as(grad_scores))
            grad_scores = torch._softmax_backward_data(
                grad_scores, probabilities, -1, torch.float32
            ).mul_(scale)
            grad_scores = grad_scores.to(query.dtype)
            grad_query = torch.bmm(grad_scores, key)
            grad_key = torch.bmm(grad_scores.transpose(1, 2), query)
            _unblock(torch.stack((grad_query, grad_key, grad_value)), group, heads, result)
        return result, None, None, None


def _blocks(packed: Tensor, group: Group, parts: int, heads: int) -> Tensor:
    """Packed rows as (parts, count * heads, length, size) blocks."""
    rows = (
        packed[group.start : group.stop]
        if group.gather is None
        else packed.index_select(0, group.gather)
    )
    size = packed.shape[1] // (parts * heads)
    shaped = rows.view(group.count, group.length, parts, heads, size).permute(2, 0, 3, 1, 4)
    return shaped.reshape(parts, group.count * heads, group.length, size)


def _unblock(blocks: Tensor, group: Group, heads: int, output: Tensor) -> None:
    """Write (parts, count * heads, length, size) blocks back to packed rows of ``output``."""
    parts = 1 if blocks.dim() == 3 else blocks.shape[0]
    size = blocks.shape[-1]
    shaped = blocks.view(parts, group.count, heads, group.length, size).permute(1, 3, 0, 2, 4)
    target = output[group.start : group.stop]
    if group.scatter is None:
        target.view(group.count, group.length, parts, heads, size).copy_(shaped)
    else:
        flat = shaped.reshape(group.count * group.length, parts * heads * size)
        torch.index_select(flat, 0, group.scatter, out=target)


@dataclass(frozen=True)
class LowRank:
    """A LoRA update of some output rows of a projection: ``scale * (x A^T) B^T``."""

    start: int
    a: Tensor
    b: Tensor
    scale: float
    rate: float


@dataclass(frozen=True)
class Projection:
    """A linear layer, possibly several fused by rows, possibly with low-rank updates."""

    weight: Tensor
    bias: Tensor
    updates: tuple[LowRank, ...] = ()

    def __call__(self, x: Tensor, masks: Masks | None) -> Tensor:
        """Apply to rows ``x``, shape (rows, in) -> (rows, out)."""
        y = F.linear(x, self.weight, self.bias)
        if not self.updates:
            return y
        pieces, end = [], 0
        for update in self.updates:
            stop = update.start + update.b.shape[0]
            dropped = _drop(x, masks, update.rate)
            delta = F.linear(F.linear(dropped, update.a), update.b) * update.scale
            pieces += [y[:, end : update.start], y[:, update.start : stop] + delta]
            end = stop
        return torch.cat([*pieces, y[:, end:]], dim=1)

    def rows(self, start: int, stop: int) -> Projection:
        """The projection onto some of the outputs; updates lie wholly inside or outside."""
        inside = tuple(
            LowRank(update.start - start, update.a, update.b, update.scale, update.rate)
            for update in self.updates
            if start <= update.start < stop
        )
        return Projection(self.weight[start:stop], self.bias[start:stop], inside)


@dataclass(frozen=True)
class Norm:
    """Layer normalisation."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class Layer:
    """One encoder layer's live parameters."""

    qkv: Projection
    attention_output: Projection
    attention_norm: Norm
    inner: Projection
    outer: Projection
    output_norm: Norm


@dataclass(frozen=True)
class PackedClassifier:
    """A classifier's live parameters, ready to run on packed batches."""

    layout: Layout
    word: Tensor
    position: Tensor
    types: Tensor | None
    embedding_norm: Norm
    layers: tuple[Layer, ...]
    pooler: Projection
    classifier: Projection

    def __call__(self, batch: PackedBatch, masks: Masks | None = None) -> Tensor:
        """Logits in float32, shape (sequences, classes), in the batch's own order.

        Args:
            batch: from :func:`pack`.
            masks: the step's dropout masks, or ``None`` to evaluate.
        """
        layout = self.layout
        x = F.embedding(batch.ids, self.word) + F.embedding(batch.positions, self.position)
        if self.types is not None:
            x = x + F.embedding(batch.types, self.types)
        x = _drop(self.embedding_norm(x), masks, layout.embedding_rate)
        for layer in self.layers[:-1]:
            drawn = [_attention_mask(masks, layout, group) for group in batch.groups]
            attended: Tensor = _GroupedAttention.apply(  # type: ignore[no-untyped-call]
                layer.qkv(x, masks), batch.groups, layout.heads, drawn
            )
            x = self._finish(layer, x, attended, masks)
        last = self.layers[-1]
        first = x.index_select(0, batch.first)
        x = self._finish(last, first, self._attend_first(last, x, first, batch, masks), masks)
        pooled = layout.pooler_activation(self.pooler(x, masks))
        logits: Tensor = self.classifier(_drop(pooled, masks, layout.classifier_rate), masks)
        return logits.float()

    def _finish(self, layer: Layer, x: Tensor, attended: Tensor, masks: Masks | None) -> Tensor:
        layout = self.layout
        projected = _drop(layer.attention_output(attended, masks), masks, layout.projection_rate)
        x = layer.attention_norm(x + projected)
        inner = layout.activation(layer.inner(x, masks))
        return layer.output_norm(x + _drop(layer.outer(inner, masks), masks, layout.output_rate))

    def _attend_first(
        self, layer: Layer, x: Tensor, first: Tensor, batch: PackedBatch, masks: Masks | None
    ) -> Tensor:
        """Attention of each sequence's first token alone, shape (sequences, width)."""
        heads, group = self.layout.heads, batch.whole
        width = layer.attention_output.weight.shape[1]
        size = width // heads
        query = layer.qkv.rows(0, width)(first, masks)
        query = query.view(group.count * heads, 1, size)
        key, value = _blocks(layer.qkv.rows(width, 3 * width)(x, masks), group, 2, heads)
        scores = torch.bmm(query, key.transpose(1, 2)).float() * size**-0.5
        scores = scores.view(group.count, heads, 1, group.length)
        if group.bias is not None:
            scores = scores + group.bias
        probabilities = torch.softmax(scores, -1)
        if masks is not None:
            mask = masks.draw(scores.shape, self.layout.attention_rate)
            probabilities = probabilities if mask is None else probabilities * mask
        weights = probabilities.view(group.count * heads, 1, group.length).to(value.dtype)
        return torch.bmm(weights, value).view(group.count, width)


def _drop(x: Tensor, masks: Masks | None, rate: float) -> Tensor:
    mask = None if masks is None else masks.draw(x.shape, rate)
    return x if mask is None else x * mask.to(x.dtype)


def _attention_mask(masks: Masks | None, layout: Layout, group: Group) -> Tensor | None:
    if masks is None:
        return None
    shape = (group.count, layout.heads, group.length, group.length)
    return masks.draw(shape, layout.attention_rate)
