"""Slurm, workers that Dask asks for: `python slurm_dask.py` on a login node, in a folder that all nodes share.

Needs `pip install 'analog-samson[dask]' dask-jobqueue`. Run it again to resume.
"""

import subprocess

from dask_jobqueue import SLURMCluster

JOBS, SWEEP = (
    16,
    [
        *(
            "analog-samson",
            "sweep",
            "sgd=sgd.safetensors",
            "samson=samson.safetensors",
            "--data",
            "cifar10:data/cifar10",
        ),
        *("--preset", "pcm_rasch_2023", "--vary", "periphery.adc_bits=4,6,8", "--seeds", "0-9", "--out", "runs/slurm"),
    ],
)


def main() -> None:
    with SLURMCluster(cores=4, processes=4, memory="16GB", walltime="08:00:00") as cluster:
        cluster.scale(jobs=JOBS)
        subprocess.run([*SWEEP, "--backend", "dask", "--address", cluster.scheduler_address], check=True)


if __name__ == "__main__":
    main()
