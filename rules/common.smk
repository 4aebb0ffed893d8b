"""Settings, sheets and the few functions that rules ask for their files."""

import gc
import inspect
import os
import sys
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

from snakemake import sourcecache
from snakemake.common import overwrite_function_params
from snakemake.exceptions import WorkflowError
from snakemake.resources import Resource

sys.path.insert(0, f"{workflow.basedir}/workflow")

from longtake import fingerprint
from longtake.settings.paths import locate
from longtake.settings.read import read_config
from longtake.errors import LongtakeError
from longtake.memory.budget import local_gpus
from longtake.gradients.model_check import video_model_files
from longtake.model_folder import model_files, model_spec
from longtake.report.failures import again, settings_from
from longtake.annotate.sheet import mask_digest, read_prompts
from longtake.settings.videos import read_videos
from longtake.media.windows import read_windows

# glibc keeps freed memory in one arena per thread; two are enough, and peaks become what was planned.
os.environ.setdefault("MALLOC_ARENA_MAX", "2")

# Nearly all of the millions of objects that make up the jobs of a large study live until the end. Python's collector
# looks through them for what could be freed, at its usual pace for an eighth of the driver's time.
gc.set_threshold(100_000, 20, 50)

BASE = Path(workflow.basedir)

# What --config said.
GIVEN = workflow.config_settings.config_args or []

try:
    settings = read_config(config, settings_from(workflow.configfiles, GIVEN))
    # A job looks for its own video only: one that has vanished by then does not take the jobs of all others with it.
    anywhere = settings.demo or not workflow.is_main_process
    # What fits on this machine may be asked before there is a video. Targets are known by the command line alone.
    unseen = "memory_check" in sys.argv or not workflow.is_main_process
    VIDEOS = {
        video.video: video for video in read_videos(locate(settings.videos, BASE), rendered=anywhere, empty=unseen)
    }
    PROMPTS = read_prompts(locate(settings.prompts, BASE), VIDEOS)
    TRACKER = model_files(settings.annotate.model, BASE, "annotate.model")
    CLASSIFIER = video_model_files(settings.gradients, BASE)
except LongtakeError as error:
    raise WorkflowError(f"{type(error).__name__}: {error}") from None

OUT = settings.output_dir.rstrip("/")
# Whether windows hand the tracker's state on, and the files in which they do.
CHAIN = settings.annotate.continuity == "chain"
# Whether each window is followed backward, too.
BOTH = settings.annotate.direction == "both"
STATE = f"{OUT}/annotate/{{video}}/window-{{window}}.state.safetensors"
BACKWARD_STATE = f"{OUT}/annotate/{{video}}/window-{{window}}.backward.state.safetensors"
# How a run is started again, without its profile and targets.
COMMAND = again(workflow.configfiles, GIVEN, workflow.main_snakefile)


def often(function):
    """A function that Snakemake asks for a value of each job, with its parameters beside it.

    Snakemake looks for them up to three times a call, and to find them out takes longer than the call.
    """
    overwrite_function_params(function, inspect.signature(function).parameters)
    return function


# Of its own, it finds these out for every resource, and for every script three times; they never change.
often(Resource.evaluate)
sourcecache.parse_uri = cache(sourcecache.parse_uri)


def digest(*modules):
    """A param: the digest of what a job runs, taken where such a job is looked at: reading the whole library takes long."""
    return often(lambda wildcards: fingerprint.digest(*modules))


def per_try(mb):
    """A resource: so many MiB, and as many times that as the job is tried."""
    return often(lambda wildcards, attempt: mb * attempt)


wildcard_constraints:
    video=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    window=r"\d\d\d\d+",


def species_names():
    """Every species that a prompt or a video names."""
    labels = {prompt.label for prompts in PROMPTS.values() for prompt in prompts}
    return sorted((labels | {video.species for video in VIDEOS.values()}) - {""})
