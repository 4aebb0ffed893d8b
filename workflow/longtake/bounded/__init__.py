"""Mechanisms that give the numbers of unlimited memory in a fraction of it."""

from longtake.bounded.automatic import Gradient, gradient

__all__ = ["Gradient", "gradient"]
