"""From a checkpoint to a Hub folder that a stranger loads."""
