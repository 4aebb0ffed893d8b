"""Synthetic pond scenes with known truth, and the small models that are trained on them."""
