"""What a person has to do something about."""

from __future__ import annotations


class DeployError(Exception):
    """One message: what is wrong, and what to do."""


class Missing(DeployError):
    """What is asked about is not there."""
