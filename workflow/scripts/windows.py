from longtake.job import job
from longtake.media.cut import plan

with job(snakemake) as job:
    windows = plan(
        job.input.summaries,
        job.input.indexes,
        duration=job.params.duration,
        overlap=job.params.overlap,
        frame_interval=job.params.frame_interval,
        windows_out=job.output.windows,
        videos_out=job.output.videos,
        independent=job.params.independent,
    )
    job.record(windows=windows)
