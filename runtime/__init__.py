"""What every room uses: options, files, processes, environment, counter-based random numbers. Imports no other room."""
