"""Prompts from what other tools wrote: HD-EPIC, COCO, YouTube-VIS, CVAT. ``python -m longtake.importers --help``."""

from longtake.importers.coco import import_coco
from longtake.importers.cvat import import_cvat
from longtake.importers.hd_epic import import_hd_epic
from longtake.importers.rows import Row, write_rows
from longtake.importers.ytvis import import_ytvis

__all__ = ["Row", "import_coco", "import_cvat", "import_hd_epic", "import_ytvis", "write_rows"]
