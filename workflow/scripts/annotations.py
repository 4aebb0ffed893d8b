from longtake.gradients.annotations import write_annotations
from longtake.job import job

with job(snakemake) as it:
    facts = write_annotations(
        annotations=it.input.annotations,
        video=it.wildcards["video"],
        video_path=it.input.video,
        index_path=it.input.index,
        out=it.output.table,
    )
    it.record(**facts)
