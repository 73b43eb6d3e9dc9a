"""`analog-samson train`: a network from scratch or from a checkpoint, with SGD, SAM, ASAM, SAMSON or RWP."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analog_samson.cli.interruption import INTERRUPTED
from analog_samson.cli.processes import told_once

if TYPE_CHECKING:
    from analog_samson.training import TrainResult
    from analog_samson.training.job import PreparedTraining

EXAMPLE = """Example:

analog-samson train --model digits_cnn --data digits --method samson --rho 0.5 --clip 0.2 --out runs/digits

In several processes, which divide each batch among them:

torchrun --nproc-per-node 2 -m analog_samson train --model digits_cnn --data digits --method samson --out runs/digits
"""


def _option(*flags: str, help: str, default: str | None = None, **limits: Any) -> Any:
    """An option; `default` says what None, its default in the code, stands for."""
    return typer.Option(*flags, help=help, show_default=True if default is None else default, **limits)


def _by_data(digits: object, scratch: object, tuning: object) -> str:
    return f"by data: digits {digits}; from scratch {scratch}; from a checkpoint {tuning}"


Text = str | None
Number = float | None
Count = int | None
Model = Annotated[
    Text, _option(help="NAME, torchvision:NAME, timm:NAME or module:callable.", default="the checkpoint's")
]
Data = Annotated[str, _option(help="digits, cifar10:DIR, cifar100:DIR, folder:DIR, npz:FILE or module:callable.")]
Out = Annotated[Path, _option(help="Folder of this training; the same command continues one that was stopped.")]
TestData = Annotated[Text, _option(help="Test images, named as --data.", default="the test part of --data")]
HoldOut = Annotated[
    Number,
    _option(
        help="Share of the training images to test on instead.", default="0.1 if --data has one part", min=0, max=1
    ),
]
Limit = Annotated[Count, _option(help="Use the first N training images.", default="all", min=1)]
Method = Annotated[str, _option(help="sgd, sam, asam, samson or rwp (random weight perturbation).")]
Rho = Annotated[
    Number,
    _option(
        help="Radius of the neighbourhood, dimensionless (sam, rwp: in units of the weights).",
        default="sam 0.05, asam and samson 0.5, rwp by --sigma",
    ),
]
P = Annotated[Number, _option(help="Norm of SAMSON: a number of 1 or more, or inf.", default="inf")]
Eta = Annotated[Number, _option(help="Added to |w| in the scale of ASAM and SAMSON.", default="by --selection")]
Selection = Annotated[
    Text, _option(help="What is perturbed: weights_only, paper or reference.", default="weights_only")
]
Sigma = Annotated[
    Number, _option(help="RWP: standard deviation of each weight's move, in units of the weights.", default="0.01")
]
PerturbedShare = Annotated[
    Number,
    _option(
        help="RWP: share of the perturbed gradient; below 1 the rest is the clean one, for a second pass.", default="1"
    ),
]
Ramp = Annotated[Number, _option(help="Epochs in which rho or sigma grows from 0 to its full size.", default="off")]
Every = Annotated[Count, _option(help="Climb in every k-th step only; the steps between use its eps.", default="1")]
Fraction = Annotated[Number, _option(help="Climb along the gradient of this part of each batch.", default="1")]
Sync = Annotated[
    bool, _option("--ascent-sync", help="torchrun: every process climbs by the whole batch, not by its own part of it.")
]
Clip = Annotated[Number, _option(help="Cut weights to +-c after each update (the paper: 0.2).", default="off")]
ClipStd = Annotated[
    Number,
    _option(
        "--clip-std",
        "--alpha",
        help="Cut weights to so many standard deviations of their layer (the paper: 2).",
        default="off",
    ),
]
Noise = Annotated[
    Text, _option(help="Weight noise sigma_G / G_max in every forward (the paper: 0.94/25).", default="off")
]
NoiseSigma = Annotated[
    Number,
    _option("--noise-sigma-c", help="Each weight times N(1, sigma_c^2) in every forward (eq. 8).", default="off"),
]
NoisePreset = Annotated[
    Text,
    _option(
        help="Hardware preset, by name or TOML file: every forward sees the weights of another chip.", default="off"
    ),
]
NoiseTime = Annotated[
    Text, _option(help="Time since those chips were programmed (units s m h d w y).", default="1d, if weights drift")
]
Ema = Annotated[
    Number, _option(help="Keep the moving average of the weights, with this decay a step (0.999).", default="off")
]
Distill = Annotated[
    Path | None,
    _option(help="Checkpoint or zoo:NAME of a teacher, whose answers are learnt too.", default="no teacher"),
]
DistillModel = Annotated[Text, _option(help="Network of the teacher.", default="its checkpoint's, else --model")]
DistillWeight = Annotated[
    Number, _option(help="Weight of the teacher's answers, the rest is the labels'.", default="0.5")
]
DistillTemperature = Annotated[Number, _option(help="Softens the answers of both networks.", default="4")]
Epochs = Annotated[Count, _option(help="Passes over the images.", default=_by_data(30, 200, 10))]
BatchSize = Annotated[Count, _option(help="Images a step.", default=_by_data(64, 128, 128))]
Rate = Annotated[Number, _option("--lr", help="Highest learning rate.", default=_by_data(0.05, 0.1, 0.02))]
Schedule = Annotated[
    Text, _option(help="constant, step, cosine or onecycle.", default=_by_data("cosine", "step", "onecycle"))
]
Warmup = Annotated[float, _option(help="Epochs of linear rise before the schedule.")]
StepEpochs = Annotated[Count, _option(help="Step schedule: epochs between steps.", default="a quarter of all")]
StepFactor = Annotated[float, _option(help="Step schedule: factor of a step.")]
Momentum = Annotated[float, _option(help="Of SGD.")]
Nesterov = Annotated[bool, _option("--nesterov/--no-nesterov", help="Nesterov momentum.")]
Decay = Annotated[float, _option(help="Weight decay of SGD, on every parameter.")]
Smoothing = Annotated[float, _option(help="Label smoothing, from 0 (off) to 1.")]
Augment = Annotated[bool, _option("--augment/--no-augment", help="Random crops and flips (colour images only).")]
Seed = Annotated[int, _option(help="Names every random draw: initial weights, order, augmentation, noise.")]
Start = Annotated[
    Path | None,
    _option(help="Begin at these weights: .safetensors, .pt, .pth, .th or zoo:NAME.", default="random weights"),
]
Norm = Annotated[
    Text,
    _option(
        help="Of the input: imagenet, cifar10, cifar100, digits, unit, half, rgb255 or m1,m2,m3/s1,s2,s3.",
        default="the checkpoint's, the model's or the data's",
    ),
]
Bf16 = Annotated[bool, _option("--bf16/--no-bf16", help="Compute in bfloat16 (autocast).")]
ChannelsLast = Annotated[bool, _option("--channels-last/--no-channels-last", help="Memory layout; faster with --bf16.")]
Device = Annotated[str, _option(help="cpu, cuda, cuda:N or auto.")]
Threads = Annotated[
    Count,
    _option(help="CPU threads of a process.", default="torch's own choice; torchrun: cores / processes", min=1),
]


def train(
    model: Model = None,
    data: Data = "digits",
    out: Out = Path("runs/train"),
    test_data: TestData = None,
    holdout: HoldOut = None,
    limit: Limit = None,
    method: Method = "samson",
    rho: Rho = None,
    p: P = None,
    eta: Eta = None,
    selection: Selection = None,
    sigma: Sigma = None,
    perturbed_share: PerturbedShare = None,
    ramp_epochs: Ramp = None,
    ascent_every: Every = None,
    ascent_fraction: Fraction = None,
    ascent_sync: Sync = False,
    clip: Clip = None,
    clip_std: ClipStd = None,
    noise: Noise = None,
    noise_sigma_c: NoiseSigma = None,
    noise_preset: NoisePreset = None,
    noise_time: NoiseTime = None,
    ema_decay: Ema = None,
    distill: Distill = None,
    distill_model: DistillModel = None,
    distill_weight: DistillWeight = None,
    distill_temperature: DistillTemperature = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: Rate = None,
    schedule: Schedule = None,
    warmup_epochs: Warmup = 0.0,
    step_epochs: StepEpochs = None,
    step_factor: StepFactor = 0.1,
    momentum: Momentum = 0.9,
    nesterov: Nesterov = False,
    weight_decay: Decay = 5e-4,
    label_smoothing: Smoothing = 0.0,
    augment: Augment = True,
    seed: Seed = 0,
    from_checkpoint: Start = None,
    normalization: Norm = None,
    bf16: Bf16 = False,
    channels_last: ChannelsLast = False,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    given = {name: value for name, value in locals().items() if value is not None}  # every option by its name
    from analog_samson.training.distributed import joined_processes
    from analog_samson.training.job import TrainJob, prepare_training

    given.pop("out")
    with told_once(), joined_processes() as context:
        _run(context.on_every_process(lambda: prepare_training(TrainJob.from_text(given), context)), out)


train.__doc__ = f"Train a network from scratch, or fine-tune a checkpoint.\n\n{EXAMPLE}"


def _run(prepared: "PreparedTraining", out: Path) -> None:
    if not prepared.context.is_main:
        prepared.run(out)
        return
    from analog_samson.cli.train_progress import training_progress
    from analog_samson.training.folder import finished_epochs

    epochs = prepared.options.epochs
    print(_heading(prepared))
    try:
        with training_progress(epochs) as show:
            result = prepared.run(out, show)
    except KeyboardInterrupt:
        done = finished_epochs(out)
        print(
            f"\nstopped after epoch {done} of {epochs}, which is kept in {out}; the same command resumes",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    print(_summary(result))


def _heading(prepared: "PreparedTraining") -> str:
    """What is going to be trained, with everything that was decided for the user."""
    options = {name: value for name, value in prepared.options.resolved().items() if value is not None}
    for name in ("normalization", "noise_preset_sha256"):  # the former is among the notes, with its origin
        options.pop(name, None)
    parameters = sum(parameter.numel() for parameter in prepared.model.parameters())
    lines = [
        f"{prepared.metadata['model']}: {parameters:,} parameters, {len(prepared.train_set):,} training images of "
        f"{prepared.train_set.name}, {prepared.train_set.num_classes} classes",
        *prepared.notes,
        "options: " + ", ".join(f"{name} {_text(value)}" for name, value in options.items()),
    ]
    return "\n".join(lines)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _summary(result: "TrainResult") -> str:
    from analog_samson.sharpness.perturbation_breakdown import format_breakdown

    evaluation, best = result.evaluation, result.best
    lines = (
        [f"the training in that folder was continued after epoch {result.resumed_after}"]
        if result.resumed_after
        else []
    )
    lines += [
        f"test accuracy {evaluation.accuracy_percent:.2f} % of {evaluation.count} images, loss {evaluation.loss:.4f} "
        f"after epoch {len(result.history)} (highest: {best.test_accuracy_percent:.2f} % after epoch {best.epoch})"
    ]
    if result.perturbation_breakdown is not None:
        lines.append(f"first step, {format_breakdown(result.perturbation_breakdown)}")
    return "\n".join([*lines, f"checkpoint: {result.checkpoint}"])
