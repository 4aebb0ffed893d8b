from longtake.job import job
from longtake.media.cut import probe

with job(snakemake) as job:
    facts = probe(
        job.wildcards["video"],
        job.input.video,
        job.output.summary,
        job.output.index,
        job.progress,
        picture_rate=job.params.picture_rate,
        stream=job.params.stream,
    )
    job.record(status=facts["status"], reason=facts["reason"])
