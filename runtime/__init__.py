"""Ground floor: options, files, processes, environment and counter-based random numbers. Imports nothing of ours."""
