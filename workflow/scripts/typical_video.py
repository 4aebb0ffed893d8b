from longtake.job import job
from longtake.store.atomic import write_json

with job(snakemake) as it:
    facts = {"status": "ok", "width": 1920, "height": 1080, "pixel_format": "yuv420p"}
    write_json(it.output.summary, {"video": it.wildcards["name"], **facts})
