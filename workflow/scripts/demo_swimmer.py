from longtake.demo.swimmers import render_swimmer
from longtake.job import job

with job(snakemake) as it:
    render_swimmer(it.wildcards["video"], it.output[0], progress=it.progress)
