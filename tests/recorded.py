"""Recorded groups for the tests of adapters."""

#: What comes out of trainers, name -> the rewards of one group; None: an answer that nobody scored.
GROUPS = {
    "mixed": [1.0, 0.0, 0.0, 1.0],
    "all right": [1.0] * 4,
    "all wrong": [0.0] * 3,
    "near tie": [0.1] * 8,  # in float32 its standard deviation is not 0
    "alone": [1.0],
    "graded": [0.25, 0.5, 0.125, 1.0, 0.0],
    "unscored": [1.0, None, 0.0],
    "nothing scored": [None, None],
}
SILENT = ("all right", "all wrong", "near tie", "alone", "nothing scored")


def rows(*names):
    """(rewards, ids) of groups one after the other."""
    return [r for name in names for r in GROUPS[name]], [name for name in names for _ in GROUPS[name]]
