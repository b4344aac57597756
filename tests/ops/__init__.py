# SPDX-License-Identifier: Apache-2.0
"""The generated op suite: every traced op against PyTorch and finite differences."""
