"""Pre-training: arguments, run, trainer, schedules, optimizers, checkpoints, guards and logs."""
