# SkyRL's examples/train/gsm8k/run_gsm8k.sh with two lines more: the entry point, and the name of a dial.
set -x
DATA_DIR="${DATA_DIR:-$HOME/data/gsm8k}"
NUM_GPUS="${NUM_GPUS:-4}"

uv run --isolated --extra fsdp --with "${GROUPSIGMA:-../groupsigma}" -m skyrl.train.entrypoints.main_base \
  trainer.override_entrypoint=groupsigma.trainers.skyrl \
  trainer.algorithm.advantage_estimator=groupsigma_dr_grpo \
  data.train_data="['$DATA_DIR/train.parquet']" \
  data.val_data="['$DATA_DIR/validation.parquet']" \
  trainer.policy.model.path="Qwen/Qwen2.5-1.5B-Instruct" \
  trainer.strategy=fsdp \
  trainer.placement.colocate_all=true \
  trainer.placement.policy_num_gpus_per_node="$NUM_GPUS" \
  trainer.placement.ref_num_gpus_per_node="$NUM_GPUS" \
  generator.inference_engine.num_engines="$NUM_GPUS" \
  generator.inference_engine.tensor_parallel_size=1 \
  generator.n_samples_per_prompt=5 \
  environment.env_class=gsm8k \
  trainer.logger=console \
  "$@"
