# Hydra overrides for verl.trainer.main_ppo: source this file and hand it "${GROUPSIGMA_ARGS[@]}".
GROUPSIGMA_ARGS=(
   algorithm.adv_estimator=groupsigma               # or groupsigma_grpo, groupsigma_dr_grpo, groupsigma_maxrl, …
   +algorithm.groupsigma.dial=grpo                  # without it: verl's own grpo, silent groups at 0
   +algorithm.groupsigma.power=0.5                  # any field of a Dial over the named one
   algorithm.filter_groups.enable=True              # verl's own switches for replacing silent groups …
   algorithm.filter_groups.metric=reward            # … or acc: what judges
   algorithm.filter_groups.max_num_gen_batches=10   # … and the cap, which holds here
   trainer.v1.sampler.custom_sampler.path=pkg://groupsigma.trainers.verl_sampler
   trainer.v1.sampler.custom_sampler.name=sampler
   'trainer.v1.sampler.sampler_kwargs=${algorithm.filter_groups}'
)
