# SPDX-License-Identifier: Apache-2.0
"""What `make demo` runs: LeNet compiled, trained, tested and used for inference from its PEF, then timed.

    python examples/demo.py [--data-dir FOLDER_OF_IDX_FILES]

Every step is a command that a user would type; it is shown before it runs. The last line sums up: accuracy on the
test images, and the median time of a training step from the PEF and in eager PyTorch, which take turns.
"""

import argparse
import glob
import json
import os
import shlex
import shutil
import subprocess
import sys

from common.options import whole

HERE = os.path.dirname(os.path.abspath(__file__))
TRAINING_PEF, INFERENCE_PEF = "lenet-demo", "lenet-demo-inference"


def lenet(*arguments):
    """Runs one command of lenet.py; leaves with its exit status if it fails."""
    # As it can be typed again, by name where that is this python.
    python = "python" if shutil.which("python") == sys.executable else os.path.relpath(sys.executable)
    shown = [python, os.path.relpath(os.path.join(HERE, "lenet.py")), *arguments]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    status = subprocess.run([sys.executable, os.path.join(HERE, "lenet.py"), *arguments]).returncode
    if status:
        sys.exit(status)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of IDX files; without it scikit-learn's digits are used")
    parser.add_argument("--output-folder", default="out", help="where PEFs, checkpoints and results go")
    parser.add_argument(
        "-e", "--num-epochs", type=whole(1), help="default: 5 with --data-dir, else 20 (digits are few)"
    )
    args = parser.parse_args()

    os.makedirs(args.output_folder, exist_ok=True)
    training = os.path.join(args.output_folder, TRAINING_PEF)
    inference = os.path.join(args.output_folder, INFERENCE_PEF)
    training_pef = os.path.join(training, f"{TRAINING_PEF}.pef")
    inference_pef = os.path.join(inference, f"{INFERENCE_PEF}.pef")
    epochs = (5 if args.data_dir else 20) if args.num_epochs is None else args.num_epochs
    where = ["--output-folder", args.output_folder]
    data = ["--data-dir", args.data_dir] if args.data_dir else []
    checkpoints, results = os.path.join(training, "checkpoints"), os.path.join(inference, "results")
    timing = os.path.join(training, "performance.json")

    lenet("compile", "--pef-name", TRAINING_PEF, *where)
    lenet("compile", "--pef-name", INFERENCE_PEF, "--inference", *where)
    lenet("run", "--pef", training_pef, "-e", str(epochs), "--ckpt-dir", checkpoints, *data)
    checkpoint = max(glob.glob(os.path.join(checkpoints, "*.pt")), key=os.path.getmtime)
    lenet("run", "--pef", training_pef, "--test", "--init-ckpt-path", checkpoint, *data)
    lenet(
        "run", "--pef", inference_pef, "--inference", "--init-ckpt-path", checkpoint, "--results-path", results, *data
    )
    lenet("measure-performance", "--pef", training_pef, "--json", timing)

    with open(os.path.join(results, "summary.json"), encoding="utf-8") as stream:
        accuracy = json.load(stream)["accuracy"]
    with open(timing, encoding="utf-8") as stream:
        times = json.load(stream)
    print(
        f"\ndemo: test accuracy {accuracy:.2f} %, training step {times['pef_us']:.1f} us, "
        f"PyTorch {times['pytorch_us']:.1f} us"
    )


if __name__ == "__main__":
    main()
