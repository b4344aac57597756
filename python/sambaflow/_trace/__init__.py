# SPDX-License-Identifier: Apache-2.0
"""From a PyTorch model to graph text. See `dispatch.py` for how, `program.py` for what comes out."""
