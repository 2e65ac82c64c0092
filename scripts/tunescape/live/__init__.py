"""The live Hub: discover models, plan what that costs, download politely, keep what was saved."""

import os

# huggingface_hub reads this when it is imported. Without it, it asks the Hub for a list of its own
# before the first request of the plan, through a client that is not the polite one.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
