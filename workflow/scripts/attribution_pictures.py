import json
from pathlib import Path

from longtake.attribution.pictures import write_pictures
from longtake.job import job
from longtake.store.atomic import write_json

with job(snakemake) as job:
    out = Path(job.output.made).parents[2]
    made = write_pictures(
        row=job.params.row,
        folder=Path(job.input.results).parent,
        facts=json.loads(Path(job.input.facts).read_text()),
        scale=json.loads(Path(job.input.findings).read_text())["scale"],
        options=job.params.options,
        export=out / "export",
        figures=out / "figures" / "attribution",
    )
    write_json(job.output.made, made)
