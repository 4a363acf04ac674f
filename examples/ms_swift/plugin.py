"""ms-swift under a dial: swift rlhf --rlhf_type grpo … --external_plugins plugin.py."""

from groupsigma import find_dial
from groupsigma.trainers import ms_swift

ms_swift.use(find_dial("maxrl"))  # use(): what --advantage_estimator and --scale_rewards say, silent groups exact
