#!/bin/bash
# One machine with many cores: a simulation for every core, each with one thread. Run it again to resume.
set -e
analog-samson sweep sgd=sgd.safetensors samson=samson.safetensors --data cifar10:data/cifar10 \
    --preset pcm_rasch_2023 --vary periphery.adc_bits=4,6,8 --vary programming.scale=0.5,1,2 \
    --seeds 0-9 --workers "$(nproc)" --threads 1 --out runs/machine
