#!/bin/bash
# A night's relaxation on several nodes with GPUs, under SLURM:
#
#     sbatch examples/slurm.sh molecules.extxyz organic.losiko night
#
# One process of Ray runs on each node; the first node's also reads the structures and keeps the run
# folder. Submit the same command again if the time limit ended it: the run goes on where it stopped.
# For nodes without GPUs take out --gpus-per-node and --device, and set WORKERS to what each node's
# processors are to be shared by.
#SBATCH --job-name=losiko
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail

structures=$1 database=$2 run=$3
workers=${WORKERS:-$((SLURM_JOB_NUM_NODES * ${SLURM_GPUS_ON_NODE:-1}))}
port=6379
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

# The head first, the others when it can be reached; --block keeps each a step of the job.
srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port=$port --block &
sleep 20
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --overlap \
        --exclude="$head" ray start --address="$address:$port" --block &
    sleep 20
fi

srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
    losiko relax "$structures" -d "$database" --run "$run" \
    --device cuda --workers "$workers" --ray-address auto &
wait $!
losiko report "$run"
