from longtake.annotate.merge import merge_video
from longtake.annotate.sheet import Prompt
from longtake.job import job

with job(snakemake) as it:
    it.record(
        **merge_video(
            windows=it.input.windows,
            backward=it.input.backward,
            video_path=it.input.video,
            index_path=it.input.index,
            prompts=[Prompt(**row) for row in it.params.prompts],
            detections_out=it.output.detections,
            agreement_out=it.output.agreement,
            prompts_out=it.output.prompts,
            **it.params.options,
        )
    )
