#!/usr/bin/env bash
# verl's GSM8K example with the dial. Data: verl's examples/data_preprocess/gsm8k.py.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/dial.sh"
python -m verl.trainer.main_ppo \
   data.train_files="$HOME/data/gsm8k/train.parquet" data.val_files="$HOME/data/gsm8k/test.parquet" \
   data.train_batch_size=256 data.max_prompt_length=512 data.max_response_length=1024 \
   actor_rollout_ref.model.path=Qwen/Qwen3-0.6B actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.n=8 \
   actor_rollout_ref.actor.ppo_mini_batch_size=64 actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8 \
   actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8 actor_rollout_ref.rollout.gpu_memory_utilization=0.6 \
   trainer.n_gpus_per_node=1 trainer.nnodes=1 trainer.total_epochs=1 trainer.logger=[console] \
   "${GROUPSIGMA_ARGS[@]}" "$@"
