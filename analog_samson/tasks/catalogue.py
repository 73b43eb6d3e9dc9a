"""The tasks by the names that the command line and stored runs use, and which of them a network is made for."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from analog_samson.errors import OptionError, did_you_mean
from analog_samson.tasks.task import Task

_SHIPPED = {
    "classification": "classification:Classification",
    "regression": "regression:Regression",
    "multi_label": "dense:MultiLabel",
    "segmentation": "dense:Segmentation",
    "token_classification": "text:TokenClassification",
    "question_answering": "question_answering:QuestionAnswering",
    "language_modeling": "text:LanguageModeling",
    "sentence_similarity": "pairs:SentenceSimilarity",
    "speaker_verification": "pairs:SpeakerVerification",
    "speech_enhancement": "speech:SpeechEnhancement",
    "speech_recognition": "speech:SpeechRecognition",
}
REGISTERED: dict[str, Callable[..., Task]] = {}
# Endings of class names in Hugging Face's transformers, and what such a network is scored by.
_HEADS = {
    "ForCausalLM": "language_modeling",
    "LMHeadModel": "language_modeling",
    "ForTokenClassification": "token_classification",
    "ForQuestionAnswering": "question_answering",
    "ForSemanticSegmentation": "segmentation",
    "ForCTC": "speech_recognition",
}
_SEGMENTATION = {"DeepLabV3", "FCN", "LRASPP"}  # torchvision


def register_task(name: str, make: Callable[..., Task]) -> None:
    """Let the command line and stored runs know a task by its name.

    Args:
        name: Lower case with underscores.
        make: Gives the task; takes the task's options by name.

    Raises:
        OptionError: Another task has this name.
    """
    if name in _SHIPPED or REGISTERED.get(name, make) is not make:
        raise OptionError(f"register_task: {name!r} is taken; choose another name")
    REGISTERED[name] = make


def task_names() -> tuple[str, ...]:
    """The names that `make_task` knows."""
    return (*_SHIPPED, *REGISTERED)


def make_task(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """The task of a name with its options.

    Raises:
        OptionError: There is no such task, it has no such option, or an option that it needs is missing.

    >>> make_task("regression", {"unit": "mm"}).headline.unit
    'mm'
    """
    if name not in task_names():
        known = ", ".join(task_names())
        raise OptionError(f"task {name!r}: expected one of {known}{did_you_mean(name, task_names())}")
    make: Callable[..., Task]
    if name in REGISTERED:
        make = REGISTERED[name]
    else:
        module, _, kind = _SHIPPED[name].partition(":")
        make = getattr(importlib.import_module(f"analog_samson.tasks.{module}"), kind)
    try:
        return make(**(options or {}))
    except TypeError as error:
        raise OptionError(
            f"task {name}: {str(error).partition('() ')[2] or error}; make the task in Python with them, and name "
            "the function that returns it as package.module:callable"
        ) from error


def guess_task(model: nn.Module) -> str:
    """The name of the task that a network is made for, by its class; "classification" where that says nothing.

    >>> guess_task(nn.Linear(2, 2))
    'classification'
    """
    kind = type(model).__name__
    if kind in _SEGMENTATION:
        return "segmentation"
    return next((task for ending, task in _HEADS.items() if kind.endswith(ending)), "classification")


def options_from(model: nn.Module, name: str) -> dict[str, Any]:
    """What a network's Hugging Face configuration tells of a task's options: the number of classes."""
    config = getattr(model, "config", None)
    labels = getattr(config, "num_labels", None)
    needs_classes = name in ("token_classification", "segmentation", "multi_label")
    return {"classes": labels} if needs_classes and isinstance(labels, int) else {}
