"""Write a saved model as ONNX, for serving without PyTorch.

The file computes what the model computes, which is checked. --int8 stores weights in 8 bits: a
quarter of the size, faster on most CPUs, with small differences that are reported.
"""

import argparse

from nlp_adapt.cli import console
from nlp_adapt.errors import ConfigError

HELP = "write a saved model as ONNX"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt export`."""
    parser.add_argument("model", metavar="MODEL", help="run folder, model folder or Hub id")
    parser.add_argument("--onnx", action="store_true", help="the format to write")
    parser.add_argument("--int8", action="store_true", help="weights in 8 bits")
    parser.add_argument("--output_dir", required=True, metavar="FOLDER", help="folder to write")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Export, then say how large the file is and how close its logits are."""
    if not args.onnx:
        raise ConfigError("name the format to write: --onnx.")
    from nlp_adapt.prediction.export import export_onnx

    with console.stdout_for_results(args.json):
        result = export_onnx(args.model, args.output_dir, int8=args.int8)
    console.show(
        args,
        result,
        lambda found: (
            f"{found['file']}: {found['bytes'] / 2**20:.1f} MiB, logits within "
            f"{found['difference']:.1g} of PyTorch's."
        ),
    )
    return 0
