"""Loggers that a config chooses by one word: ``trainer.logger: tensorboard``."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

from equipot.errors import problem, unknown

WORDS: dict[str, str] = {"csv": "", "tensorboard": "tensorboard", "wandb": "wandb"}
"""Each word, and the package that it needs."""


def logger_words(given: Any) -> list[str] | None:
    """The words of ``trainer.logger``, None if it is anything else.

    Args:
        given: A word or a list of words, resolved.

    Example:
        >>> logger_words("wandb"), logger_words(["csv", "tensorboard"]), logger_words(True)
        (['wandb'], ['csv', 'tensorboard'], None)
    """
    words = given if isinstance(given, list) else [given]
    return words if words and all(type(word) is str for word in words) else None


def logger_problems(given: Any) -> Iterator[str]:
    """Find words that are unknown, and packages that are not installed.

    Args:
        given: What ``trainer.logger`` is.
    """
    for word in logger_words(given) or ():
        if word not in WORDS:
            hint = f"write {', '.join(WORDS)}, or a mapping with _target_"
            yield unknown("trainer.logger", word, WORDS, "logger", hint=hint)
        elif WORDS[word] and importlib.util.find_spec(WORDS[word]) is None:
            package = WORDS[word]
            yield problem("trainer.logger", f"{word} needs the package {package}", hint=f"pip install {package}")
