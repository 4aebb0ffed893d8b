from pathlib import Path

from longtake.export.heat import write_heat_video
from longtake.job import job

with job(snakemake) as job:
    job.run(
        write_heat_video,
        video_path=Path(job.input.video),
        index_path=Path(job.input.index),
        clips=Path(job.input.clips),
        curves=Path(job.input.curves),
        maps=[Path(path) for path in job.input.maps],
        species=job.params.species,
        width=job.params.width,
        out=Path(job.output.video),
    )
