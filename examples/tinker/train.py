"""The cookbook's own training on its arithmetic, or any recipe's data, under a dial and with the group sizes of a plan.

python train.py DIAL COUNTS.csv    # COUNTS: prompt_id, n_correct, n_rollouts, as `groupsigma probe` writes them
"""

import asyncio
import sys

import groupsigma
from groupsigma.trainers.tinker import Planned, dialled


def planned(dataset, counts, budget, prompt_id):
    """A recipe's data set whose prompts get the tries of a plan; a prompt that was not counted gets 4."""
    spent = groupsigma.plan(counts, budget=budget)
    tries = {row["prompt_id"]: row["tries"] for row in spent.rows()}
    return Planned(dataset, lambda ids: [tries.get(one, 4) for one in ids], prompt_id)


def question(builder):
    """The id of a prompt of the arithmetic recipe: its text."""
    return builder.env_thunk().get_question()


def main(dial, config):
    """`config` is a tinker_cookbook.rl.train.Config, as a recipe builds it."""
    from tinker_cookbook.rl import train

    with dialled(groupsigma.find_dial(dial)):
        asyncio.run(train.main(config))


if __name__ == "__main__":
    import chz
    from tinker_cookbook.recipes.math_rl.arithmetic_env import ArithmeticDatasetBuilder
    from tinker_cookbook.rl.train import Config

    dial, counts = sys.argv[1], groupsigma.load(sys.argv[2])

    @chz.chz
    class Builder(ArithmeticDatasetBuilder):
        """Of the recipe's data set, the planned one."""

        async def __call__(self):
            train, test = await super().__call__()
            return planned(train, counts, 8 * counts.problems, question), test

    model = "meta-llama/Llama-3.2-1B"
    data = Builder(
        batch_size=100, model_name_for_tokenizer=model, renderer_name="role_colon", n_batches=100, group_size=4
    )
    main(
        dial,
        Config(
            recipe_name="sums",
            dataset_builder=data,
            model_name=model,
            learning_rate=1e-4,
            max_tokens=5,
            log_path="/tmp/sums",
        ),
    )
