# SPDX-License-Identifier: Apache-2.0
"""Tensors that have a name on the device."""
