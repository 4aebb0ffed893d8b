"""Mechanisms that give the numbers of unlimited memory in a fraction of it."""
