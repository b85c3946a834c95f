"""One file per source format. Unit and sign conversion happen here and nowhere else."""
