"""Models behind one protocol, loaded from local folders only."""

from longtake.models.adapter import Adapter, SplitAdapter
from longtake.models.loading import load_model
from longtake.models.normalisation import Normalisation

__all__ = ["Adapter", "Normalisation", "SplitAdapter", "load_model"]
