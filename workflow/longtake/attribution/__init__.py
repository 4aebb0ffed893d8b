"""Where a classifier of volumes looks: maps of the full graph in bounded memory, with the geometry of the file."""
