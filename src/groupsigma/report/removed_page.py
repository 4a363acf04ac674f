"""The page of a log that lacks its silent groups: why no silent share can be read from it."""

from __future__ import annotations

from groupsigma import __version__
from groupsigma.findings import Finding
from groupsigma.groups import Groups
from groupsigma.removed import reasons
from groupsigma.report.page import page
from groupsigma.screen import many


def removed_page(groups: Groups, finding: Finding) -> str:
    """What was read and the one finding."""
    lead = f"{many(groups.problems, 'group')}, {many(groups.answers, 'answer')}."
    return page(
        groups.source or "groups",
        [lead],
        {"No silent share can be read from this log": [finding]},
        notes=[*groups.notes, *reasons(groups)],
        made_by=f"groupsigma {__version__}",
    )
