import json
from pathlib import Path

from longtake.attribution.pictures import write_pictures
from longtake.job import job
from longtake.store.atomic import write_json

with job(snakemake) as it:
    out = Path(it.output.made).parents[2]
    made = write_pictures(
        row=it.params.row,
        folder=Path(it.input.results).parent,
        facts=json.loads(Path(it.input.facts).read_text()),
        scale=json.loads(Path(it.input.findings).read_text())["scale"],
        options=it.params.options,
        export=out / "export",
        figures=out / "figures" / "attribution",
    )
    write_json(it.output.made, made)
