"""Model ids of the Hugging Face Hub: what one looks like, its file name, its bucket."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tunescape.errors import UserError

NAME_LIMIT = 200
"""Most bytes of a file name stem; leaves room for suffixes under the usual limit of 255."""

CACHE = Path("work/hub")
"""What is kept between calls; no output of any rule, which Snakemake deletes before the job."""

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


def owner_of(model_id: str) -> str | None:
    """The owner of ``owner/name``; ``None`` for the early ids that have none (``gpt2``)."""
    owner, slash, _ = model_id.partition("/")
    return owner if slash else None


def name_of(model_id: str) -> str:
    """The id without its owner."""
    return model_id.partition("/")[2] or model_id


def is_hub_id(text: str) -> bool:
    """Whether ``text`` could be a model id on the Hub: ``name`` or ``owner/name``.

    The Hub's own rule (``huggingface_hub.utils.validate_repo_id``): letters, digits, ``-``, ``_``
    and ``.``; at most 96 characters; neither ``--`` nor ``..``; no ``-`` or ``.`` at either end.
    """
    return (
        len(text) <= 96
        and _PLAIN.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
        and all(part[-1] not in "-." for part in text.split("/"))
    )


def bucket_names(buckets: int) -> list[str]:
    """Names of all buckets, zero-padded to one width: ``["00", ..., "15"]`` for 16.

    Raises:
        UserError: when ``buckets`` is below 1.
    """
    if buckets < 1:
        raise UserError(f"cannot split models into {buckets} buckets", expected="1 or more")
    width = len(str(buckets - 1))
    return [f"{number:0{width}d}" for number in range(buckets)]


def bucket_of(model_id: str, buckets: int) -> str:
    """The bucket of a model: a stable, even hash of its id, whatever else is in the study.

    Args:
        model_id: any text.
        buckets: how many buckets there are (at least 1).
    """
    if buckets < 1:
        raise UserError(f"cannot split models into {buckets} buckets", expected="1 or more")
    number = int.from_bytes(_sha256(model_id)[:8], "big") % buckets
    return f"{number:0{len(str(buckets - 1))}d}"


def safe_name(model_id: str) -> str:
    """A file name stem for a model id: ``owner--name``, one stem an id, on every file system.

    An id of lower-case letters, digits, ``.``, ``_`` and ``-`` is itself, with ``--`` for the
    slash. An id with capitals gets ``~`` and the hexadecimal mask of their places, so that stems
    differ even where case does not count, and can be read back. Anything else (``..``, ``--``,
    further slashes, control characters, names of devices, other scripts, overlong ids) keeps what
    is readable and gets ``~x`` and 128 bits of its SHA-256.

    Args:
        model_id: any text; never trusted.

    Returns:
        1 to 200 characters of ``A-Za-z0-9._~-`` that do not begin with a dot or a dash, hence
        never a path outside a folder nor an option.
    """
    if is_hub_id(model_id) and not _DEVICES.fullmatch(model_id):
        mask = sum(1 << place for place, letter in enumerate(model_id) if letter.isupper())
        stem = model_id.replace("/", "--") + (f"~{mask:x}" if mask else "")
        if len(stem) <= NAME_LIMIT:
            return stem
    readable = _UNSAFE.sub("-", model_id[:120]).replace("..", "-").strip(".-") or "model"
    if _DEVICES.fullmatch(readable):
        readable = f"model-{readable}"
    return f"{readable}~x{_sha256(model_id).hex()[:32]}"


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
