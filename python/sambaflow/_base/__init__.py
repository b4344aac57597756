# SPDX-License-Identifier: Apache-2.0
"""What everything else stands on: libleat with its errors and tables, options, messages, files. Knows no tensors."""
