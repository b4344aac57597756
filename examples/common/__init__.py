# SPDX-License-Identifier: Apache-2.0
"""What the example programs share: data, command-line options, loops, checkpoints, comparison, timing."""
