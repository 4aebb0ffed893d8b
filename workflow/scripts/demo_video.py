from longtake.demo.render import render_demo
from longtake.job import job

with job(snakemake) as it:
    render_demo(it.wildcards["video"], it.output.video, progress=it.progress)
