"""longtake: long video and big volumes in bounded memory, with the numbers that unlimited memory would give."""

import os

# The libraries read these when they are imported. Nothing is fetched here, whatever a file asks for; who brings in code
# of their own that may fetch says HF_HUB_OFFLINE=0.
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_name, "1")

__version__ = "0.1.0"
