"""Models behind one protocol, loaded from local folders only."""

from longtake.models.adapter import Adapter, SplitAdapter
from longtake.models.loading import load_model

__all__ = ["Adapter", "SplitAdapter", "load_model"]
