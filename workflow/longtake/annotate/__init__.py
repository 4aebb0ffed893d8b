"""Dense annotation of long videos with SAM 2: windows in bounded memory, masks equal to one uncut session.

Imported by their modules, since only some need torch::

    from longtake.annotate.window import annotate_window
    from longtake.annotate.merge import merge_windows
"""
