"""Figures as files, and the page that holds them."""
