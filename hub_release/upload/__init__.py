"""Upload of a release: the plan, then the push."""
