"""What makes training and prediction quick: a number format, and much that a CPU alone needs.

Training calls `prepare_training` before a stage and `training_step` around each micro-batch,
prediction calls `prepare_prediction`.
"""

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import architecture_of, encoder_of, place_of, plain_model
from nlp_adapt.modeling.trunk import Given, swapped

# A batch whose states fit into a processor's cache is read fastest; a GPU wants to be filled.
TOKENS_PER_BATCH = {"cpu": 1024, "other": 4096}

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4

_STEPS = 1 << 16
_LOWEST = -(1 << 15)
_torchs_dropout = F.dropout


def choose_precision(wanted: str, device: torch.device) -> str:
    """Resolve `auto` to `fp32` or `bf16`, and refuse what the device cannot do.

    On a GPU `auto` takes bf16 where the hardware has it. On a CPU it times one layer-sized product
    in both formats: processors without bf16 instructions emulate them, many times slower.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 needs a GPU; on a CPU use fp32, bf16 or auto.")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu":
        return "fp32"
    seconds = _layer_seconds((torch.float32, torch.bfloat16))
    return "bf16" if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Mixed precision on `device`; nothing for fp32."""
    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


def prepare_training(task_model: Any, config: AdaptationConfig, device: torch.device) -> None:
    """Keep freed memory for the next step, and write attention with dropout out.

    PyTorch's fused attention has no dropout on a CPU and falls back to something slower than single
    operations. The option `attn_implementation` decides where it is set.
    """
    if device.type != "cpu":
        return
    keep_freed_memory()
    model = plain_model(task_model)
    names = architecture_of(model.config).attention_dropout
    dropped = any(getattr(model.config, name, 0.0) for name in names)
    if config.attn_implementation is not None or config.torch_compile or not dropped:
        return
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")


@contextmanager
def training_step(
    task_model: Any,
    passes: Sequence[tuple[int, int]],
    config: AdaptationConfig,
    device: torch.device,
) -> Iterator[None]:
    """For the forward and backward pass of a micro-batch: quicker dropout, and less padding.

    Args:
        passes: Rows and width of each part of the batch, see `in_passes`.
    """
    quick = quick_dropout() if wants_passes(config, device) else nullcontext()
    with in_passes(task_model, passes), quick:
        yield


def wants_passes(config: AdaptationConfig, device: torch.device) -> bool:
    """Whether a batch should be divided, see `in_passes`: a GPU is rather waited for than filled."""
    return device.type == "cpu" and not config.torch_compile


def prepare_prediction(device: torch.device) -> int:
    """Keep freed memory for the next batch; returns how many tokens a batch should have."""
    if device.type != "cpu":
        return TOKENS_PER_BATCH["other"]
    keep_freed_memory()
    return TOKENS_PER_BATCH["cpu"]


@cache
def keep_freed_memory() -> bool:
    """From now on this process reuses what it frees; its memory stays at its highest mark.

    Each step allocates and frees the same hundreds of megabytes. By default glibc maps every large
    block anew, and the system hands it over page by page, each filled with zeros first: up to a
    tenth of a step's time. Other C libraries, and allocators that are preloaded in the place of
    glibc's, go their own way.

    Returns:
        Whether glibc took the settings.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))


@contextmanager
def quick_dropout() -> Iterator[None]:
    """Inside, `torch.nn.functional.dropout`, which `nn.Dropout` calls too, takes the quick way.

    The backward pass belongs inside too: checkpointed activations are then recomputed with the
    masks they had.
    """
    outside = F.dropout
    F.dropout = dropout
    try:
        yield
    finally:
        F.dropout = outside


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """As `torch.nn.functional.dropout`, in a third of the time; elsewhere it is that function.

    PyTorch spends its time on a random number for each value that may be dropped. Sixteen random
    bits decide as well, with a probability that is right to 1/131,072, and one call of the
    generator gives four times sixteen. The values that stay are scaled by the probability as
    rounded, so that their mean is exact.
    """
    dropped = round(p * _STEPS)
    if not training or input.device.type != "cpu" or inplace or not 0 < dropped < _STEPS:
        return _torchs_dropout(input, p, training, inplace)
    size = input.numel()
    draws = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[:size].view(input.shape)
    kept = (bits >= _LOWEST + dropped).to(input.dtype)
    return input * kept.mul_(_STEPS / (_STEPS - dropped))


@contextmanager
def in_passes(task_model: Any, passes: Sequence[tuple[int, int]]) -> Iterator[None]:
    """Inside, the encoder runs in parts on batches of the rows and the width that `passes` add up to.

    Time goes with the tokens, padding included, and where the texts of one domain are longer than
    those of the other, half of a batch is mostly padding. The parts run one after the other, each
    at its own width, and their outputs are put together again. The word embeddings are looked up
    once, for the whole batch: their gradient is as large as the vocabulary. Whoever watches or
    changes the embeddings' output, the encoder's output or anything above it sees the whole batch,
    once. Other batches, such as those of one side alone, go through the encoder as they are.

    Args:
        passes: Rows and width of each part, in the order of the batch's rows; what lies beyond a
            part's width must be padding. A single part changes nothing.
    """
    if len(passes) < 2:
        yield
        return
    encoder = encoder_of(task_model)
    shape = (sum(rows for rows, _ in passes), max(width for _, width in passes))
    own, whole = encoder.__dict__.get("forward"), encoder.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        ids = options["input_ids"] if "input_ids" in options else arguments[0]
        if ids is None or tuple(ids.shape) != shape:
            return whole(*arguments, **options)
        return _joined(_run(encoder, whole, ids, passes, arguments, options), shape[1])

    encoder.forward = forward
    try:
        yield
    finally:
        del encoder.forward
        if own is not None:
            encoder.forward = own


def _run(
    encoder: Any,
    whole: Callable[..., Any],
    ids: Tensor,
    passes: Sequence[tuple[int, int]],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> list[Any]:
    """The outputs of each part."""
    embeddings = encoder.get_input_embeddings()
    holder, name = place_of(embeddings, encoder)
    facts = architecture_of(encoder.config)
    embedded = embeddings(ids.T).transpose(0, 1) if facts.tokens_first else embeddings(ids)
    given, first = Given(), 0
    outputs = []
    # I-BERT's embeddings come with a scale, Longformer's with more padding: parts look up their own.
    shared = isinstance(embedded, Tensor) and not facts.pads_further
    with swapped([(holder, name, given)] if shared else []):
        for rows, width in passes:
            part = slice(first, first + rows)

            def cut(value: Any, part: slice = part, width: int = width) -> Any:
                fits = isinstance(value, Tensor) and value.shape[:2] == ids.shape
                return value[part, :width] if fits else value

            if shared:
                states = embedded[part, :width]
                given.states = states.transpose(0, 1) if facts.tokens_first else states
            outputs.append(
                whole(*map(cut, arguments), **{key: cut(value) for key, value in options.items()})
            )
            first += rows
    return outputs


def _joined(outputs: Sequence[Any], width: int) -> Any:
    """Token states and pooled rows of all parts; token states are zero beyond a part's width."""
    found: dict[str, Tensor] = {}
    for name, value in outputs[0].items():
        if not isinstance(value, Tensor):
            continue
        values = [output[name] for output in outputs]
        if value.dim() == 3:
            values = [F.pad(value, (0, 0, 0, width - value.shape[1])) for value in values]
        found[name] = torch.cat(values)
    return type(outputs[0])(**found)


@cache
def _layer_seconds(
    formats: tuple[torch.dtype, ...], size: int = 768, rows: int = 256, repeats: int = 9
) -> dict[torch.dtype, float]:
    """Best time of one layer's product in each format, measured once in a process.

    An emulated format needs seconds for all rows: if a few of them take several times as long as in
    the first format, their times are the answer.
    """
    few = _best_seconds(formats, size, rows // 16, repeats=3)
    if max(few.values()) > 4 * few[formats[0]]:
        return few
    return _best_seconds(formats, size, rows, repeats)


def _best_seconds(
    formats: tuple[torch.dtype, ...], size: int, rows: int, repeats: int
) -> dict[torch.dtype, float]:
    """Best time of a product in each format, taken in turn: the machine may be busy."""
    inputs = {kind: torch.ones(rows, size, dtype=kind) for kind in formats}
    weights = {kind: torch.ones(size, 4 * size, dtype=kind) for kind in formats}
    best = dict.fromkeys(formats, float("inf"))
    with torch.inference_mode():
        for _ in range(repeats):
            for kind in formats:
                start = time.perf_counter()
                inputs[kind] @ weights[kind]
                best[kind] = min(best[kind], time.perf_counter() - start)
    return best
