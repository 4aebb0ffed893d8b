from longtake.demo.swimmers import render_swimmer
from longtake.job import job

with job(snakemake) as job:
    render_swimmer(job.wildcards["video"], job.output[0], progress=job.progress)
