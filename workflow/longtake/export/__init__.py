"""Results in the forms that other tools read: an annotated MP4, and the same masks and boxes in their formats."""

from longtake.export.coco import write_coco
from longtake.export.formats import WRITERS
from longtake.export.overlay import overlay_stills, write_overlay
from longtake.export.rows import Annotated

__all__ = ["WRITERS", "Annotated", "overlay_stills", "write_coco", "write_overlay"]
