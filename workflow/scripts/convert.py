from pathlib import Path

from longtake.export.formats import WRITERS
from longtake.export.rows import Annotated
from longtake.job import job

with job(snakemake) as it:
    files = [Path(it.input.video), Path(it.input.index), Path(it.input.detections)]
    facts = WRITERS[it.params.format](
        Annotated(it.wildcards["video"], *files, it.windows),
        frame_interval=it.params.frame_interval,
        categories=it.params.species,
        out=Path(it.output.file),
    )
    it.record(**facts)
