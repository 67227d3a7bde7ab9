#!/usr/bin/env bash
# Trains under SLURM, and goes on by itself after a time limit, a preemption, or the failure of a node:
#
#     sbatch --time=12:00:00 --cpus-per-task=8 scripts/slurm.sh data.dir=~/recordings model=large
#     sbatch --time=12:00:00 --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 scripts/slurm.sh devices=4 num_nodes=2 ...
#
# Arguments are those of wavenet-train. The run folder is $RUN, or runs/slurm_<job>. Two minutes before the time limit
# SLURM sends SIGUSR1: training finishes its step and saves, and the job goes back into the queue. Submit it from the
# environment that wavenet-train is installed in, which jobs inherit.
#SBATCH --job-name=wavenet
#SBATCH --requeue
#SBATCH --signal=USR1@120
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.out
set -uo pipefail
run=${RUN:-runs/slurm_$SLURM_JOB_ID}
if [ -e "$run/checkpoints/last.state" ]; then
    set -- resume="$run"
else
    if [ -e "$run/metrics.jsonl" ]; then # it was killed before its first checkpoint
        mv "$run" "$run.lost.$(date +%s)"
    fi
    set -- "$@" run.dir="$run"
fi
trap : TERM USR1 # training gets these signals too; this script lives on, to requeue the job
srun wavenet-train "$@"
status=$?
state=$(scontrol show job "$SLURM_JOB_ID" | grep -o 'JobState=[A-Z]*')
# a cancelled or preempted job is no longer running: the first is over, the second is requeued by SLURM itself
if { [ $status -eq 138 ] || [ $status -eq 143 ]; } && [ "$state" = JobState=RUNNING ]; then
    echo "ended by a signal ($status): job $SLURM_JOB_ID is requeued and goes on in $run"
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
