"""From text to shards, and from shards to the micro-batches of a run."""
