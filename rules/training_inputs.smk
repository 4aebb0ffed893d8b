"""What the rules of training ask of the sheet, the settings and the table of folds."""

from longtake.cells import read_cells
from longtake.training.sheet import read_rows, shards_of

try:
    sheet = settings.training.sheet and locate(settings.training.sheet, BASE)
    LABELLED = read_rows(sheet, settings.training.folds, later=anywhere) if sheet else []
except LongtakeError as error:
    raise WorkflowError(f"{type(error).__name__}: {error}") from None

TRAINING = f"{OUT}/training"
SHARDS = shards_of(LABELLED, settings.training.shard)
FITS = range(settings.training.folds * settings.training.repeats)
NETWORKS = settings.training.networks
# Models on features: those that were asked for, and the controls that are such models.
ON_FEATURES = [name for name in settings.training.names if name not in NETWORKS]
ON_FEATURES += [name for name in settings.training.controls if name in ("permuted", "metadata")]
SHOWN = ["", *(name for name in settings.training.controls if name in ("middle", "shuffled"))]
FOLD_OPTIONS = ("folds", "repeats", "inner", "duplicates", "duplicate_distance")
STUDY = {
    "clips": f"{TRAINING}/clips.parquet",
    "folds": f"{TRAINING}/folds.parquet",
    "store": f"{TRAINING}/store",
    "seed": settings.seed,
}


wildcard_constraints:
    model="[a-z0-9_]+",
    fold=r"\d+",
    shard=r"\d+",


def options_of(*names):
    """Those settings of training that a job looks at; a change of the others makes nothing of it anew."""
    return {name: value for name, value in settings.training.model_dump().items() if name in names}


def clip_options():
    """What decides the pixels of clips: of the models, the lengths and sizes that they want."""
    own = {name: settings.training.of(name) for name in NETWORKS}
    sizes = {name: {"frames": each["frames"], "size": each["size"]} for name, each in own.items()}
    what = ("frames", "size", "fit", "short", "augmentations", "augment", "label_changes", "compression")
    return {**options_of(*what), "models": sizes}


LOOP = "patience learning_rate weight_decay schedule class_weights epochs batch micro_batch precision norm".split()


def fit_options(wildcards):
    """What decides one network's fit, beside its clips: of the models, its own settings alone."""
    own = settings.training.models
    mine = {wildcards.model: own[wildcards.model].model_dump()} if isinstance(own, dict) else [wildcards.model]
    return {**options_of("frames", "size", "folds", "repeats", *LOOP), "models": mine}


def baseline_options(wildcards):
    """What decides a model on features."""
    return options_of("folds", "repeats", "class_weights")


def evaluate_options():
    """Which folds of which models there are."""
    return {**options_of("folds", "repeats", "controls"), "models": settings.training.names}


@often
def videos_of(wildcards):
    """The ids and files of a shard."""
    return [(row.video, row.path) for row in SHARDS[int(wildcards.shard)]]


def of_shards(name):
    """The tables of all shards."""
    return expand(f"{TRAINING}/shards/{{shard}}/{name}.parquet", shard=SHARDS)


@cache
def digests():
    """Of each fold and kind of clip, what it learns from and what it tests; waits for the folds."""
    with open(checkpoints.training_folds.get().output.fits, encoding="utf-8") as file:
        return {(row["spec"], row["repeat"], row["fold"]): row for row in read_cells(file)}


@often
def wait_for_folds(wildcards):
    """An input without files: the folds' table is none, or one more video would train every fold anew."""
    digests()
    return []


def of_fold(which):
    """A param: the digest of what a fold of a network learns from, or of what it tests."""

    def value(wildcards):
        own = settings.training.of(wildcards.model)
        repeat, fold = divmod(int(wildcards.fold), settings.training.folds)
        return digests()[f"{own['frames']}x{own['size']}", str(repeat), str(fold)][which]

    return often(value)


@often
def weights_of(wildcards):
    """The file or folder of published weights that a network begins from."""
    weights = settings.training.of(wildcards.model)["weights"]
    return [str(locate(weights, BASE))] if weights else []


def every(pattern, models):
    """The files `pattern` of every fold of `models`."""
    return expand(f"{TRAINING}/{{model}}/fold-{{fold}}/{pattern}", model=models, fold=FITS)


EVERY = every("predictions.parquet", [*NETWORKS, *ON_FEATURES])
EVERY += [path for name in SHOWN[1:] for path in every(f"predictions.{name}.parquet", NETWORKS)]
