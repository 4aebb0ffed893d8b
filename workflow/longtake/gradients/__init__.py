"""Where in time and space a video model looks, and whether that has to do with motion."""
