#!/bin/bash
# Slurm, a job array: `sbatch slurm_array.sh`, then `bash slurm_array.sh merge` when all of its jobs have ended.
# Submit it again to continue shards that were stopped; what they finished is not repeated.
#SBATCH --job-name=sweep
#SBATCH --array=0-31
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
set -e
sweep=(analog-samson sweep sgd=sgd.safetensors samson=samson.safetensors --data cifar10:data/cifar10
    --preset pcm_rasch_2023 --vary periphery.adc_bits=4,6,8 --seeds 0-9 --threads 1 --out runs/array)
if [ "$1" = merge ]; then
    exec "${sweep[@]}" --merge
fi
exec "${sweep[@]}" --workers "$SLURM_CPUS_PER_TASK" --shard "$SLURM_ARRAY_TASK_ID/32"
