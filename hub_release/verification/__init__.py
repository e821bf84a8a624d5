"""What proves a release: security, an isolated process, reference outputs."""
