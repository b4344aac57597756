# SPDX-License-Identifier: Apache-2.0

"""Layers that other frameworks gave SambaFlow."""
