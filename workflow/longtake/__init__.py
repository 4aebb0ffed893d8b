"""longtake: long video and big volumes in bounded memory, with the numbers that unlimited memory would give."""

__version__ = "0.1.0"
