from pathlib import Path

from longtake.export.formats import WRITERS
from longtake.export.rows import Annotated
from longtake.job import job

with job(snakemake) as job:
    files = [Path(job.input.video), Path(job.input.index), Path(job.input.detections)]
    facts = WRITERS[job.params.format](
        Annotated(job.wildcards["video"], *files, job.windows),
        frame_interval=job.params.frame_interval,
        categories=job.params.species,
        out=Path(job.output.file),
    )
    job.record(**facts)
