from longtake.annotate.merge import merge_video
from longtake.annotate.sheet import Prompt
from longtake.job import job

with job(snakemake) as job:
    job.record(
        **merge_video(
            windows=job.input.windows,
            backward=job.input.backward,
            video_path=job.input.video,
            index_path=job.input.index,
            prompts=[Prompt(**row) for row in job.params.prompts],
            detections_out=job.output.detections,
            agreement_out=job.output.agreement,
            prompts_out=job.output.prompts,
            **job.params.options,
        )
    )
