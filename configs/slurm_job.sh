#!/usr/bin/env bash
# A whole campaign in one SLURM job on one node, continued by itself when the time limit comes:
#
#     sbatch configs/slurm_job.sh campaign.yaml
#
# Two minutes before the limit the job puts itself back into the queue. The same happens after a node failure; after
# scancel, submit it again. What was finished is kept: labels, trainings and MD runs are never repeated, and those
# that were interrupted go on from their last checkpoint. The job ends as `llzo-al run` does: exit code 0 converged,
# 3 finished but not converged, 2 a mistake in the campaign file, 1 anything else.
#
# Change what follows to what your cluster wants; `llzo-al run` fills the cores of the job, no more.
#SBATCH --job-name=llzo-al
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
#SBATCH --requeue
set -u
campaign=${1:?which campaign? sbatch configs/slurm_job.sh campaign.yaml}

# Load here what the campaign needs: modules, and the virtual environment that llzo-al is installed in.
# source /path/to/venv/bin/activate

requeue() {
    echo "$(date --iso-8601=seconds) the time limit is near: the job goes back into the queue"
    kill -TERM "$run"
    wait "$run"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap requeue USR1

llzo-al run "$campaign" &
run=$!
wait "$run"
