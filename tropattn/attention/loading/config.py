"""``config.json``: what a model's tensors do not say, each entry checked where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tropattn.attention.evaluated.blocks import ACTIVATIONS
from tropattn.errors import InvalidInput
from tropattn.files import read_json

__all__ = ["Config", "Entries"]

_RESTORE = "restore the file that came with the weights."


_CHANGED: dict[str, tuple[Any, ...]] = {
    "quantization_config": (),
    "attn_logit_softcapping": (),
    "use_qk_norm": (False,),
    "qk_layernorm": (False,),
}
"""Entries that change the scores or the weights in every family; no other value is read."""

_TRAINING = """
_name_or_path architectures attention_dropout attention_probs_dropout_prob attn_pdrop bos_token_id
classifier_dropout classifier_dropout_prob decoder_start_token_id dtype embd_pdrop eos_token_id
finetuning_task gradient_checkpointing hidden_dropout_prob initializer_range layer_norm_type
mask_token_id model_type pretraining_tp reorder_and_upcast_attn resid_pdrop sep_token_id
tokenizer_class torch_dtype torchscript transformers_version use_bfloat16 use_cache
"""
_HEADS = """
encoder_stride id2label label2id num_labels pooler_act pooler_fc_size pooler_hidden_size
pooler_num_attention_heads pooler_num_fc_layers pooler_output_size pooler_size_per_head pooler_type
prefix problem_type summary_activation summary_first_dropout summary_proj_to_labels summary_type
summary_use_proj task_specific_params
"""
_RUNNING = """
_attn_implementation bad_words_ids begin_suppress_tokens chunk_size_feed_forward
cross_attention_hidden_size directionality diversity_penalty do_sample early_stopping
encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id
forced_eos_token_id is_encoder_decoder length_penalty max_length min_length n_ctx
no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_attentions
output_hidden_states output_past output_scores remove_invalid_values repetition_penalty return_dict
return_dict_in_generate suppress_tokens temperature tf_legacy_loss tie_encoder_decoder top_k top_p
typical_p
"""
_IDLE = frozenset(f"{_TRAINING} {_HEADS} {_RUNNING}".split())
"""Entries that change no state and no score: of training and bookkeeping, of heads behind the last
layer, and of how numbers are computed or returned and text is generated."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of a family's configuration that change numbers, and what is done with each.

    Attributes
    ----------
    read : those that are honoured, with the value that the family's reference takes where the entry
        is missing; None stands for a size that the tensors tell, or for "no such thing".
    fixed : those that would change the computation, with the values under which it is the one that
        is implemented; any other value is refused.
    names : other names under which the reference knows an entry.
    """

    read: Mapping[str, Any]
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Config:
    """The entries of a configuration; ``where`` names it in messages.

    ``unread`` are the names of entries that nobody knows, for the record; ``family`` is the
    ``model_type`` under which it is read.

    Examples
    --------
    >>> config = Config("config.json", {"n_layer": 2, "new": 3})
    >>> config = config.under(Entries({"n_layer": None, "eps": 1e-5}))
    >>> config.count("n_layer"), config.number("eps"), config.unread
    (2, 1e-05, ('new',))
    """

    where: str
    values: dict[str, Any]
    unread: tuple[str, ...] = ()
    family: str = ""

    @classmethod
    def beside(cls, folder: Path) -> Config:
        """Read ``config.json`` in a folder; empty where there is none."""
        path = folder / "config.json"
        return cls(str(path), read_json(path) or {})

    def under(self, entries: Entries) -> Config:
        """Return the configuration as a family reads it: its own names and its own defaults.

        Raises ``InvalidInput`` for an entry whose value changes the computation to one that is not
        implemented, and for one entry given twice under two names with two values.
        """
        values = dict(self.values)
        for other, name in entries.names.items():
            if other in values:
                value = values.pop(other)
                if values.setdefault(name, value) != value:
                    raise InvalidInput(
                        f"{self.where}: one value of {name} and {other}, which are one entry, "
                        f"needed, got {values[name]!r} and {value!r}; remove one of them."
                    )
        given = Config(self.where, values)
        changed = {name: ok for name, ok in _CHANGED.items() if name not in entries.read}
        given.refuse({**changed, **entries.fixed}, "other scores or weights are not read")
        known = {*entries.read, *entries.fixed, *_CHANGED, *_IDLE}
        unread = tuple(sorted(str(name)[:60] for name in values if name not in known))
        for name, value in values.items():
            if value is None and entries.read.get(name) is False:
                values[name] = False
        return Config(self.where, {**entries.read, **values}, unread, self.family)

    def broken(self, wanted: str, name: str, value: Any, why: str = _RESTORE) -> InvalidInput:
        """What to raise for an entry of another kind than is wanted."""
        got = str(value)[:40]
        return InvalidInput(f"{self.where}: {wanted} as {name} needed, got {got!r}; {why}")

    def count(self, name: str) -> int | None:
        """Return a positive integer, None where it is missing or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise self.broken("a positive integer", name, value)
        return value

    def needed(self, name: str) -> int:
        """Return a positive integer that must be there."""
        value = self.count(name)
        if value is None:
            raise InvalidInput(f"{self.where}: an entry {name} needed, got none; " + _RESTORE)
        return value

    def number(self, name: str) -> float:
        """Return a positive number."""
        return self.positive(name, self.values.get(name))

    def positive(self, name: str, value: Any) -> float:
        """Check a number that was found elsewhere in the configuration."""
        try:
            good = not isinstance(value, bool) and 0 < float(value) < float("inf")
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good or isinstance(value, str):
            raise self.broken("a positive number", name, value)
        return float(value)

    def flag(self, name: str) -> bool:
        """Return a truth value; null is refused unless it is the default, false."""
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise self.broken("true or false", name, value)
        return value

    def causal(self) -> bool:
        """Return ``is_causal``; the reference takes null for false."""
        return self.values["is_causal"] is not None and self.flag("is_causal")

    def activation(self, name: str) -> str:
        """Return the name of an activation that ``MLP`` evaluates."""
        value = self.values.get(name)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            wanted, why = f"one of {', '.join(ACTIVATIONS)}", "other activations are not evaluated."
            raise self.broken(wanted, name, value, why)
        return value

    def token(self, name: str) -> int | None:
        """Return a token's id, None where it is missing or null."""
        value = self.values.get(name)
        if value is not None and (type(value) is not int or not 0 <= value < 2**31):
            raise self.broken("a token's id >= 0", name, value)
        return value

    def refuse(self, entries: dict[str, tuple[Any, ...]], why: str) -> None:
        """Raise ``InvalidInput`` for an entry that is there with a value not listed as harmless."""
        for name, harmless in entries.items():
            value = self.values.get(name)
            # In JSON 1 and true are two values; Python takes them for one.
            if value is not None and repr(value) not in map(repr, harmless):
                wanted = " or ".join(str(v) for v in harmless) or "no entry"
                raise self.broken(wanted, name, value, why + ".")
