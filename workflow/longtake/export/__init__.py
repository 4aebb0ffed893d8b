"""Results in the forms that other tools read: an annotated MP4, and the same masks and boxes in their formats."""
