from longtake.job import job
from longtake.store.atomic import write_json

with job(snakemake) as job:
    facts = {"status": "ok", "width": 1920, "height": 1080, "pixel_format": "yuv420p"}
    write_json(job.output.summary, {"video": job.wildcards["name"], **facts})
