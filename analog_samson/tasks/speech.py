"""Speech: noise removed from recordings, and text from speech."""

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.errors import DataError
from analog_samson.results.metric import PERCENT, Metric
from analog_samson.tasks.measured import MeasuredTask

if TYPE_CHECKING:
    import torchmetrics


@dataclass(frozen=True, kw_only=True)
class SpeechEnhancement(MeasuredTask):
    """Noise removed from a recording; batches (noisy, clean), both (N, samples).

    Metric: scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), the mean over recordings.
    """

    name: ClassVar[str] = "speech_enhancement"
    averaged: ClassVar[tuple[str, ...]] = ("si_sdr_db",)
    metrics: tuple[Metric, ...] = field(init=False, default=(Metric(name="si_sdr_db", title="SI-SDR", unit="dB"),))

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless the network returns as many samples as the clean recordings have."""
        if output.shape != batch[1].shape:
            raise DataError(
                f"speech_enhancement: the network returns {tuple(output.shape)} for clean recordings "
                f"{tuple(batch[1].shape)}; expected one shape"
            )

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """SI-SDR of signals without their mean."""
        from torchmetrics.audio import ScaleInvariantSignalDistortionRatio

        return {"si_sdr_db": ScaleInvariantSignalDistortionRatio(zero_mean=True)}

    def sample_values(self, output: Any, batch: Any) -> dict[str, Tensor]:
        """The ratio of each recording [dB]."""
        from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

        return {"si_sdr_db": scale_invariant_signal_distortion_ratio(output, batch[1], zero_mean=True)}

    def loss(self, output: Any, batch: Any) -> Tensor:
        """The negative ratio [dB]."""
        return -self.sample_values(output, batch)["si_sdr_db"].mean()


@dataclass(frozen=True, kw_only=True)
class SpeechRecognition(MeasuredTask):
    """Text from speech by connectionist temporal classification. The network returns logits (N, T, symbols).

    Targets are the texts of a batch, a list of N strings. The best path is decoded: repeated symbols are joined and
    blanks removed.

    Metric: word error rate.

    Attributes:
        symbols: What each output stands for; "|" is a space, as in Wav2Vec2.
        blank: The output that stands for nothing.
    """

    name: ClassVar[str] = "speech_recognition"
    symbols: tuple[str, ...]
    blank: int = 0
    metrics: tuple[Metric, ...] = field(
        init=False,
        default=(
            Metric(name="wer_percent", title="word error rate", higher_is_better=False, **(PERCENT | {"upper": inf})),
        ),
    )

    def prepare(self, batch: Any) -> tuple[Any, list[str]]:
        """The batch as (inputs, texts). Raises DataError for targets that are no list of texts."""
        inputs, texts = super().prepare(batch)
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise DataError(f"speech_recognition: expected a list of texts as targets, got a {type(texts).__name__}")
        return inputs, list(texts)

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless there are logits for each symbol."""
        if output.ndim != 3 or len(output) != len(batch[1]) or output.shape[2] != len(self.symbols):
            raise DataError(
                f"speech_recognition: the network returns {tuple(output.shape)} for {len(batch[1])} texts; expected "
                f"logits (N, T, {len(self.symbols)})"
            )

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """Word error rate."""
        from torchmetrics.text import WordErrorRate

        return {"wer_percent": WordErrorRate()}

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """Decoded and true texts."""
        return [self.decode(path) for path in output.argmax(2).tolist()], batch[1]

    def decode(self, path: list[int]) -> str:
        """The text of a path of outputs.

        >>> SpeechRecognition(symbols=("_", "a", "b", "|")).decode([1, 1, 0, 1, 3, 2, 2])
        'aa b'
        """
        kept = [place for before, place in zip([-1, *path], path, strict=False) if place not in (before, self.blank)]
        return "".join(self.symbols[place] for place in kept).replace("|", " ").strip()

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean CTC loss [nats]. Raises DataError where a text has a symbol that the network has not."""
        places = {symbol: place for place, symbol in enumerate(self.symbols)}
        texts = [text.replace(" ", "|") if "|" in places else text for text in batch[1]]
        if unknown := sorted({letter for text in texts for letter in text if letter not in places}):
            raise DataError(f"speech_recognition: no output of the network stands for {', '.join(unknown[:10])}")
        device = output.device
        targets = torch.tensor([places[letter] for text in texts for letter in text], device=device)
        lengths = torch.tensor([len(text) for text in texts], device=device)
        steps = torch.full((len(texts),), output.shape[1], device=device)
        scores = output.log_softmax(2).transpose(0, 1)
        return functional.ctc_loss(scores, targets, steps, lengths, blank=self.blank, zero_infinity=True)
