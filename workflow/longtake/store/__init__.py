"""Tables and arrays on disk: declared schemas, whole files by rename, validation on read."""
