# SPDX-License-Identifier: Apache-2.0

"""Inference behind a queue of a cloud provider: not part of this implementation; see `sn_sqs_handler`."""
