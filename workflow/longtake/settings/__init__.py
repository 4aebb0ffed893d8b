"""Settings and sheets: what users write, checked before any job.

Each analysis keeps its own beside its code: ``options.py`` for its section of the settings, ``sheet.py`` for its sheet.
Parsed with the Snakefile in every job, so nothing here loads more than Snakemake itself has loaded by then.
"""
