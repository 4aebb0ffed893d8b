"""Results in the forms that other tools read: an annotated MP4 and COCO JSON."""

from longtake.export.coco import Annotated, write_coco
from longtake.export.overlay import overlay_stills, write_overlay

__all__ = ["Annotated", "overlay_stills", "write_coco", "write_overlay"]
