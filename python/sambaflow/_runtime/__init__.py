# SPDX-License-Identifier: Apache-2.0
"""A traced program compiled, and a PEF loaded and run: its symbols, its inputs and outputs, several batches."""
