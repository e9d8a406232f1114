"""``config.json``: what a model's tensors do not say, each entry checked where it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tropattn.attention.blocks import ACTIVATIONS
from tropattn.errors import InvalidInput
from tropattn.files import read_json

__all__ = ["Config"]

_RESTORE = "restore the file that came with the weights."


@dataclass(frozen=True, slots=True, eq=False)
class Config:
    """The entries of a configuration; ``where`` names it in messages, ``given`` says if it exists.

    Examples
    --------
    >>> config = Config("config.json", {"n_layer": 2, "model_type": "gpt2"})
    >>> config.count("n_layer"), config.number("eps", 1e-5), config.family
    (2, 1e-05, 'gpt2')
    """

    where: str
    values: dict[str, Any]

    @classmethod
    def beside(cls, folder: Path) -> Config:
        """Read ``config.json`` in a folder; empty where there is none."""
        path = folder / "config.json"
        return cls(str(path), read_json(path) or {})

    @property
    def family(self) -> str | None:
        """``model_type``, or None."""
        value = self.values.get("model_type")
        return value if isinstance(value, str) else None

    def count(self, name: str, default: int | None = None) -> int | None:
        """Return a positive integer, ``default`` where it is missing or null."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise InvalidInput(
                f"{self.where}: a positive integer as {name} needed, got {str(value)[:40]!r}; "
                + _RESTORE
            )
        return value

    def needed(self, name: str) -> int:
        """Return a positive integer that must be there."""
        value = self.count(name)
        if value is None:
            raise InvalidInput(f"{self.where}: an entry {name} needed, got none; " + _RESTORE)
        return value

    def number(self, name: str, default: float) -> float:
        """Return a positive number, ``default`` where it is missing."""
        return self.positive(name, self.values.get(name, default))

    def positive(self, name: str, value: Any) -> float:
        """Check a number that was found elsewhere in the configuration."""
        try:
            good = not isinstance(value, bool) and 0 < float(value) < float("inf")
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good or isinstance(value, str):
            raise InvalidInput(
                f"{self.where}: a positive number as {name} needed, got {str(value)[:40]!r}; "
                + _RESTORE
            )
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a truth value, ``default`` where it is missing or null."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InvalidInput(
                f"{self.where}: true or false as {name} needed, got {str(value)[:40]!r}; "
                + _RESTORE
            )
        return value

    def activation(self, name: str, default: str) -> str:
        """Return the name of an activation that ``MLP`` evaluates."""
        value = self.values.get(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise InvalidInput(
                f"{self.where}: one of {', '.join(ACTIVATIONS)} as {name} needed, got "
                f"{str(value)[:40]!r}; other activations are not evaluated."
            )
        return value

    def refuse(self, entries: dict[str, tuple[Any, ...]], why: str) -> None:
        """Raise ``InvalidInput`` for an entry that is there with a value not listed as harmless."""
        for name, harmless in entries.items():
            value = self.values.get(name)
            if value is not None and value not in harmless:
                wanted = " or ".join(str(v) for v in harmless) or "no entry"
                raise InvalidInput(
                    f"{self.where}: {wanted} as {name} needed, got {str(value)[:40]!r}; {why}."
                )
