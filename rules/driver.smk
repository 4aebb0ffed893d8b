"""What makes Snakemake's driver quick in large studies. Without it all works the same, slower.

Only here is Snakemake's inside touched, and only that of versions in which it was tried.
"""

import gc
import inspect
from functools import cache

import snakemake

TRIED = ("9.",)

# Nearly all of the millions of objects that make up the jobs of a large study live until the end. Python's collector
# looks through them for what could be freed, at its usual pace for an eighth of the driver's time.
gc.set_threshold(100_000, 20, 50)


def often(function):
    """A function that Snakemake asks for a value of each job."""
    return function


if snakemake.__version__.startswith(TRIED):
    from snakemake import sourcecache
    from snakemake.common import overwrite_function_params
    from snakemake.resources import Resource

    def often(function):  # noqa: F811
        """The same, with its parameters beside it.

        Snakemake looks for them up to three times a call, and to find them out takes longer than the call.
        """
        overwrite_function_params(function, inspect.signature(function).parameters)
        return function

    # Of its own, it finds these out for every resource, and for every script three times; they never change.
    often(Resource.evaluate)
    sourcecache.parse_uri = cache(sourcecache.parse_uri)
