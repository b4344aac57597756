# SPDX-License-Identifier: Apache-2.0

"""Arguments of compile and run as pydantic models."""
