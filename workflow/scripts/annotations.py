from longtake.gradients.annotations import write_annotations
from longtake.job import job

with job(snakemake) as job:
    facts = write_annotations(
        annotations=job.input.annotations,
        video=job.wildcards["video"],
        video_path=job.input.video,
        index_path=job.input.index,
        out=job.output.table,
    )
    job.record(**facts)
