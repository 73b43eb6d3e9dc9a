#!/bin/bash
# A laptop: the plan first, then two simulations at a time. Run it again to resume.
set -e
sweep=(analog-samson sweep net.safetensors --data cifar10:data/cifar10 --limit 1000 --preset pcm_rasch_2023
    --vary periphery.adc_bits=4,6,8 --instances 5 --out runs/laptop)
"${sweep[@]}" --workers 2 --plan
"${sweep[@]}" --workers 2
