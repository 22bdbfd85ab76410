"""A model as an ONNX file, in float32 or with 8-bit weights, for serving without PyTorch.

The folder holds `model.onnx`, the model's configuration and its tokenizer. Inputs are `input_ids`
and `attention_mask` `[rows, width]`, int64; the output `logits` is `[rows, classes]`, or
`[rows, width, classes]` of a tagger. Rows and width are free.
"""

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlp_adapt.errors import ConfigError, ModelError, RunError, first_line
from nlp_adapt.files import write_folder
from nlp_adapt.modeling.tokenizers import save_tokenizer
from nlp_adapt.prediction.opening import EnsemblePredictor, load_predictor
from nlp_adapt.prediction.predictor import Predictor

ONNX_FILE = "model.onnx"
OPSET = 18
TOLERANCE = 1e-3


class _Logits(nn.Module):
    """The task model with tensors in and a tensor out, as ONNX wants it."""

    def __init__(self, task_model: nn.Module) -> None:
        super().__init__()
        self.task_model = task_model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.task_model(input_ids=input_ids, attention_mask=attention_mask).logits


def export_onnx(model: str | Path, folder: str | Path, *, int8: bool = False) -> dict[str, Any]:
    """Write a saved model as ONNX, and check that it computes the same.

    Args:
        folder: Where to; must not be there yet.
        int8: Quantise the weights of linear maps to 8 bits, and activations as they come.

    Returns:
        `file`, its `bytes`, and the largest `difference` of logits from those of PyTorch on probe
        rows of several shapes.

    Raises:
        ConfigError: If the packages for it are not installed.
        ModelError: If the model cannot be exported, or the float32 export computes something else.
        RunError: If the folder is there already.
    """
    _require_packages("onnx", "onnxscript", "onnxruntime")
    out = Path(folder)
    if out.exists():
        raise RunError(f"{out}: is there already; choose another folder.")
    predictor = load_predictor(model, device="cpu")
    if isinstance(predictor, EnsemblePredictor):
        raise ModelError(f"{model}: an ensemble has no one graph; distil it first, or make a soup.")
    differences = []

    def write(staged: Path) -> None:
        _write_graph(predictor, staged / ONNX_FILE)
        differences.append(_difference(predictor, staged / ONNX_FILE))
        if not differences[0] <= TOLERANCE:
            raise ModelError(
                f"{model}: the ONNX graph gives logits that are {differences[0]:.2g} off; the "
                "architecture cannot be exported with these versions."
            )
        if int8:
            _quantise(staged / ONNX_FILE)
            differences.append(_difference(predictor, staged / ONNX_FILE))
        predictor.task_model.config.save_pretrained(staged)
        save_tokenizer(predictor.tokenizer, staged, predictor.max_length)

    write_folder(out, write)
    file = out / ONNX_FILE
    return {"file": str(file), "bytes": file.stat().st_size, "difference": differences[-1]}


class OnnxModel:
    """Runs a folder that `export_onnx` wrote, with onnxruntime.

    Args:
        folder: The folder, or its ONNX file.
        threads: Threads of a matrix product; default: one for each core.

    Raises:
        ConfigError: If onnxruntime is not installed.
        ModelError: If the file cannot be opened.
    """

    def __init__(self, folder: str | Path, threads: int | None = None) -> None:
        _require_packages("onnxruntime")
        import onnxruntime

        path = Path(folder)
        file = path if path.suffix == ".onnx" else path / ONNX_FILE
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own
            raise ModelError(
                f"{file}: cannot be opened as an ONNX model ({first_line(error)})"
            ) from error

    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Logits of a batch `[rows, width]`."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        (logits,) = self._session.run(None, inputs)
        return logits


def _write_graph(predictor: Predictor, file: Path) -> None:
    ids, mask = _probe(predictor, 3, 11)
    names = ["input_ids", "attention_mask"]
    dimensions = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with _quiet():
            program = torch.onnx.export(
                _Logits(predictor.task_model).eval(),
                (torch.from_numpy(ids), torch.from_numpy(mask)),
                input_names=names,
                output_names=["logits"],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=dict.fromkeys(names, dimensions),
            )
            assert program is not None
    except Exception as error:  # the exporter raises many kinds
        kind = type(predictor.task_model).__name__
        raise ModelError(f"{kind} cannot be exported to ONNX ({first_line(error)})") from error
    program.save(str(file), external_data=False)


def _quantise(file: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(str(file))
    # The exporter's optimiser transposes weights, and leaves their old shapes in these notes.
    del graph.graph.value_info[:]
    onnx.save(graph, str(file))
    small = file.with_name("int8.onnx")
    with _quiet():
        quantize_dynamic(file, small, weight_type=QuantType.QInt8)
    small.replace(file)


def _difference(predictor: Predictor, file: Path) -> float:
    """Largest difference of logits from PyTorch's, over several shapes and with padding."""
    graph, worst = OnnxModel(file), 0.0
    for rows, width in ((1, 5), (3, 11), (4, 16)):
        ids, mask = _probe(predictor, rows, min(width, predictor.max_length))
        with torch.no_grad():
            wanted = predictor.task_model.eval()(
                input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
            ).logits.numpy()
        seen = mask.astype(bool) if wanted.ndim == 3 else slice(None)
        worst = max(worst, float(np.abs(graph.logits(ids, mask) - wanted)[seen].max()))
    return worst


def _probe(predictor: Predictor, rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Random token ids, every second row padded."""
    generator = np.random.default_rng(0)
    special = set(predictor.tokenizer.all_special_ids)
    plain = [one for one in range(predictor.task_model.config.vocab_size) if one not in special]
    ids = generator.choice(plain, (rows, width)).astype(np.int64)
    mask = np.ones_like(ids)
    mask[1::2, width - 2 :] = 0
    ids[mask == 0] = predictor.tokenizer.pad_token_id or 0
    return ids, mask


def _require_packages(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f'ONNX needs the package {name}: run `pip install "nlp-adapt[onnx]"`.'
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress and the quantiser logs hints: neither is for users."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
