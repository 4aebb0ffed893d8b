from longtake.demo.render import render_demo
from longtake.job import job

with job(snakemake) as job:
    render_demo(job.wildcards["video"], job.output.video, progress=job.progress)
