"""Models behind one protocol, loaded from local folders only."""

from longtake.models.loading import load_model
from longtake.models.normalisation import Normalisation
from longtake.models.protocols import ClipModel, ScoreModel, SplitModel, VolumeModel

__all__ = ["ClipModel", "Normalisation", "ScoreModel", "SplitModel", "VolumeModel", "load_model"]
