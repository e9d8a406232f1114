"""Rotary embeddings as configurations describe them: plain, scaled in one of five ways, or partial.

The angles are those of the reference, in doubles. Where they change with the length of the context
(``dynamic``, ``longrope``) the length up to which they do not is the longest context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tropattn._types import Floats
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.loading.config import Config
from tropattn.errors import InvalidInput

__all__ = ["kind", "layered_groups", "longest", "rope_group", "rotation"]

_TRAINED = "original_max_position_embeddings"
_COMMON = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
_KINDS = {
    "default": set(),
    "linear": {"factor"},
    "dynamic": {"factor"},
    "llama3": {"factor", "low_freq_factor", "high_freq_factor", _TRAINED},
    "yarn": {
        *("factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"),
        *("truncate", _TRAINED),
    },
    "longrope": {"factor", "attention_factor", "short_factor", "long_factor", _TRAINED},
}
"""The entries that each kind of rotation reads; those of the others change nothing in it."""

_KNOWN = _COMMON.union(*_KINDS.values())


def rope_group(config: Config, older: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The entries of the rotation: ``rope_scaling`` if it says anything, else ``rope_parameters``.

    ``older`` gives the kinds that other names stand for.
    Raises ``InvalidInput`` for groups of another kind, and for entries that nobody knows.
    """
    groups = [config.values[name] for name in ("rope_scaling", "rope_parameters")]
    for group in groups:
        if group is not None and not isinstance(group, dict):
            raise config.broken("a JSON object", "rope_parameters", group)
    chosen = dict(groups[0] or groups[1] or {})
    if older and kind(chosen) in older:
        chosen["rope_type"] = older[kind(chosen)]
    _check(config, chosen)
    return chosen


def layered_groups(
    config: Config, thetas: tuple[str, str], both: bool = False
) -> dict[str, dict[str, Any]]:
    """The entries of the rotations of full and of sliding layers (Gemma 3, ModernBERT).

    ``thetas`` are older names of their bases; ``both``: whether ``rope_scaling`` is of both.
    """
    kinds = ("full_attention", "sliding_attention")
    nested, scaling = config.values["rope_parameters"], config.values["rope_scaling"]
    if nested is not None and (not isinstance(nested, dict) or not set(nested) <= {*kinds}):
        raise config.broken(f"an object of {' and '.join(kinds)}", "rope_parameters", nested)
    values: dict[str, dict[str, Any]] = {}
    for name, theta in zip(kinds, thetas, strict=True):
        groups = {"rope_parameters": (nested or {}).get(name), "rope_scaling": None}
        values[name] = {"rope_theta": config.values[theta]}
        values[name] |= rope_group(Config(config.where, groups))
        if scaling is not None and (both or name == "full_attention"):
            values[name] |= rope_group(Config(config.where, {**groups, "rope_scaling": scaling}))
        # The reference does not look for it in the rotations of one kind of layers.
        Config(config.where, values[name]).refuse({"truncate": (True,)}, "no other is read here")
        if values[name].get("truncate", True) is None:
            del values[name]["truncate"]
    return values


def _check(config: Config, group: Mapping[str, Any]) -> None:
    unknown = [name for name in group if name not in _KNOWN]
    if kind(group) not in _KINDS or unknown:
        got = str(unknown or kind(group))[:40]
        raise InvalidInput(
            f"{config.where}: rope_type {', '.join(map(repr, _KINDS))} needed, got {got!r}; other "
            "rotary embeddings are not read."
        )


def kind(group: Mapping[str, Any]) -> Any:
    """The name of a rotation's kind.

    >>> kind({"type": "linear"}), kind({})
    ('linear', 'default')
    """
    return group.get("rope_type", group.get("type", "default"))


def rotation(
    config: Config, group: Mapping[str, Any], width: int, partial: bool = False
) -> RotaryEmbedding:
    """Return the rotation of heads of a width, of the entries that ``rope_group`` gives.

    ``partial``: whether the reference of the family can rotate the first coordinates only.
    """
    _check(config, group)
    theta = group["rope_theta"] if "rope_theta" in group else config.values["rope_theta"]
    theta = config.positive("rope_theta", theta)
    share = group.get("partial_rotary_factor", config.values["partial_rotary_factor"])
    share = config.positive("partial_rotary_factor", share)
    if share > 1 or (share != 1 and not partial):
        raise InvalidInput(
            f"{config.where}: partial_rotary_factor 1 needed, got {share}; "
            "partly rotated heads are not read."
        )
    if share == 1 and kind(group) in ("default", "dynamic"):
        return RotaryEmbedding(theta, "half")
    entries = Config(config.where, dict(group))
    rotated = int(width * share)
    plain = theta ** -(np.arange(0, rotated, 2) / rotated) if rotated else np.empty(0)
    turns, factor = plain, 1.0
    if kind(group) == "linear":
        turns = plain / entries.number("factor")
    elif kind(group) == "llama3":
        turns = _llama3(entries, plain, _trained(config, group))
    elif kind(group) == "yarn":
        if rotated % 2:
            # The reference then blends all pairs as it should blend the first.
            whole = "a share that turns an even number of coordinates"
            raise config.broken(whole, "partial_rotary_factor", share)
        turns = _yarn(entries, theta, plain, rotated, _trained(config, group))
        factor = _yarn_factor(entries)
    elif kind(group) == "longrope":
        turns = plain / _factors(entries, "short_factor", len(plain))
        _factors(entries, "long_factor", len(plain))
        factor = _long_factor(config, entries, _trained(config, group))
    return RotaryEmbedding(theta, "half", tuple(turns.tolist()), factor)


def longest(config: Config, group: Mapping[str, Any]) -> int | None:
    """The longest context over which a rotation is one and the same."""
    limit = config.count("max_position_embeddings")
    if kind(group) == "dynamic" and limit is None:
        return config.needed("max_position_embeddings")
    if kind(group) != "longrope":
        return limit
    trained = _trained(config, group)
    return trained if limit is None else min(limit, trained)


def _trained(config: Config, group: Mapping[str, Any]) -> int:
    """The length that the model was first trained with; beside the group it comes first (Phi-3)."""
    if config.values.get(_TRAINED) is not None:
        return config.needed(_TRAINED)
    if _TRAINED in group:
        return Config(config.where, dict(group)).needed(_TRAINED)
    return config.needed("max_position_embeddings")


def _llama3(entries: Config, plain: Floats, trained: int) -> Floats:
    low, high = entries.number("low_freq_factor"), entries.number("high_freq_factor")
    factor = entries.number("factor")
    if low >= high:
        raise entries.broken("a number below high_freq_factor", "low_freq_factor", low)
    waves = 2 * math.pi / plain
    smooth = (trained / waves - low) / (high - low)
    between = (1 - smooth) * plain / factor + smooth * plain
    turns = np.where(waves > trained / low, plain / factor, plain)
    return np.where((waves >= trained / high) & (waves <= trained / low), between, turns)


def _yarn(entries: Config, theta: float, plain: Floats, width: int, trained: int) -> Floats:
    def place(rotations: float) -> float:
        return width * math.log(trained / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    fast, slow = (
        entries.positive(name, entries.values.get(name) or usual)
        for name, usual in (("beta_fast", 32.0), ("beta_slow", 1.0))
    )
    if theta == 1:
        raise entries.broken("a number other than 1", "rope_theta", theta)
    low, high = place(fast), place(slow)
    if entries.values.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    ramp = (np.arange(len(plain)) - low) / (high - low if high != low else 0.001)
    kept = 1 - np.clip(ramp, 0, 1)
    return plain / entries.number("factor") * (1 - kept) + plain * kept


def _yarn_factor(entries: Config) -> float:
    """What queries and keys are lengthened by."""
    if entries.values.get("attention_factor") is not None:
        return entries.number("attention_factor")
    factor = entries.number("factor")

    def length(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0

    scales = [entries.values.get(name) for name in ("mscale", "mscale_all_dim")]
    if all(scales):
        upper, lower = (entries.positive("mscale", scale) for scale in scales)
        return length(upper) / length(lower)
    return length(1.0)


def _factors(entries: Config, name: str, count: int) -> Floats:
    """One number a pair."""
    given = entries.values.get(name)
    if not isinstance(given, list) or len(given) != count:
        raise entries.broken(f"a list of {count} numbers", name, given)
    return np.array([entries.positive(name, value) for value in given])


def _long_factor(config: Config, entries: Config, trained: int) -> float:
    if entries.values.get("attention_factor") is not None:
        return entries.number("attention_factor")
    if entries.values.get("factor") is not None:
        factor = entries.number("factor")
    else:
        factor = config.needed("max_position_embeddings") / trained
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(trained))
