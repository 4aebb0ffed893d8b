"""Settings, sheets, and the few functions that all rules share."""

import os
import sys
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, f"{workflow.basedir}/workflow")

from longtake import fingerprint
from longtake.annotate.sheet import mask_digest, read_prompts
from longtake.errors import LongtakeError
from longtake.gradients.model_check import video_model_files
from longtake.model_folder import model_files, model_spec
from longtake.report.failures import again, settings_from
from longtake.settings.paths import locate
from longtake.settings.read import read_config
from longtake.settings.videos import nothing_to_do, read_videos

# glibc keeps freed memory in one arena per thread; two are enough, and peaks become what was planned.
os.environ.setdefault("MALLOC_ARENA_MAX", "2")

BASE = Path(workflow.basedir)

# What --config said.
GIVEN = workflow.config_settings.config_args or []

try:
    settings = read_config(config, settings_from(workflow.configfiles, GIVEN))
    # A job looks for its own video only: one that has vanished by then does not take the jobs of all others with it.
    anywhere = settings.demo or not workflow.is_main_process
    # Whether it may hold no video is known when all analyses have said what there is to do (units.smk).
    VIDEOS = {each.video: each for each in read_videos(locate(settings.videos, BASE), rendered=anywhere, empty=True)}
    labelled = {each.species: f"{settings.videos}, row {each.row}" for each in reversed(VIDEOS.values())}
    PROMPTS = read_prompts(locate(settings.prompts, BASE), VIDEOS, labelled)
    TRACKER = model_files(settings.annotate.model, BASE, "annotate.model")
    CLASSIFIER = video_model_files(settings.gradients, BASE)
except LongtakeError as error:
    raise WorkflowError(f"{type(error).__name__}: {error}") from None

OUT = settings.output_dir.rstrip("/")
# How a run is started again, without its profile and targets.
COMMAND = again(workflow.configfiles, GIVEN, workflow.main_snakefile)


def digest(*modules):
    """A param: the digest of what a job runs, taken where such a job is looked at: reading the library takes long."""
    if not any("{" in each for each in modules):
        return often(lambda wildcards: fingerprint.digest(*modules))
    return often(lambda wildcards: fingerprint.digest(*(each.format(wildcards=wildcards) for each in modules)))


def per_try(mb):
    """A resource: so many MiB, and as many times that as the job is tried."""
    return often(lambda wildcards, attempt: mb * attempt)


@often
def model_folder(wildcards, input):
    """The folder of the model that a job loads."""
    return os.path.dirname(input.model[0])


def written(path):
    """When a file was written, in nanoseconds; None where there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return None
