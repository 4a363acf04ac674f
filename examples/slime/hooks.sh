# Beside slime's scripts/run-qwen3-4B.sh: source this file, and hand ${GROUPSIGMA_ARGS[@]} to its train.py as well.
GROUPSIGMA_ARGS=(
   --dynamic-sampling-filter-path groupsigma.trainers.slime.keep_mixed
   --over-sampling-batch-size 64
   --custom-reward-post-process-path groupsigma.trainers.slime.advantages
   --rollout-all-samples-process-path groupsigma.trainers.slime.log_groups
   --custom-config-path "$(dirname -- "${BASH_SOURCE[0]}")/dial.yaml"
)
