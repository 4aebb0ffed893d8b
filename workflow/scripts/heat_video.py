from pathlib import Path

from longtake.export.heat import write_heat_video
from longtake.job import job

with job(snakemake) as it:
    it.run(
        write_heat_video,
        video_path=Path(it.input.video),
        index_path=Path(it.input.index),
        clips=Path(it.input.clips),
        curves=Path(it.input.curves),
        maps=[Path(path) for path in it.input.maps],
        species=it.params.species,
        width=it.params.width,
        out=Path(it.output.video),
    )
