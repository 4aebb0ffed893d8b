"""Volumes of any format, read slice by slice, with axes that the user declared; maps go back in the file's order."""
