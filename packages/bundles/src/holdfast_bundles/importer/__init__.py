"""The importer: a process that reads hostile media and nothing else."""
