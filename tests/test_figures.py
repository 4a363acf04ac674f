"""Charts: fixed colours, files whole or not at all, pictures that say what they show."""

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from groupsigma import ArgumentError
from groupsigma.figures import COLORS, Axes, panel, row, save


@pytest.fixture(scope="module")
def chart():
    axes = Axes("training step", "solve rate", (0, 75, 150))
    layers = [
        axes.band([0, 150], [0.1, 0.8], [0.2, 0.9], COLORS["grpo"]),
        axes.line([0, 150], [0.15, 0.85], COLORS["grpo"], dash=(4, 3)),
        axes.points([50], [0.4], COLORS["dapo"]),
        axes.bars([60], [0.3], [0.5], COLORS["dr-grpo"]),
        axes.label(20, 0.5, "GRPO\nhere", COLORS["grpo"]),
    ]
    return row("A title", "n = 2", panel("a", *layers))


def test_an_svg_says_what_it_shows(chart, tmp_path):
    text = save(chart, tmp_path / "a.svg").read_text()
    root = ET.fromstring(text)
    words = " ".join("".join(node.itertext()) for node in root.iter() if node.tag.endswith("text"))
    for word in ("A title", "n = 2", "training step", "solve rate", "GRPO", "here", "150"):
        assert word in words, word
    assert all(COLORS[name] in text for name in ("grpo", "dapo", "dr-grpo")) and "NaN" not in text


def test_a_png_is_one(chart, tmp_path):
    data = save(chart, tmp_path / "a.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 5000


def test_the_same_chart_is_the_same_file(chart, tmp_path):
    assert save(chart, tmp_path / "a.svg").read_bytes() == save(chart, tmp_path / "b.svg").read_bytes()


def test_whole_or_not_at_all(chart, tmp_path, monkeypatch):
    """A write that breaks off leaves the old file, and nothing beside it."""
    target = tmp_path / "a.svg"
    target.write_text("old")

    def breaks(self, data):
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", breaks)
    with pytest.raises(OSError, match="No space"):
        save(chart, target)
    assert target.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.svg"]


@pytest.mark.parametrize("name", ["a.pdf", "a", "svg"])
def test_other_formats_are_refused(chart, tmp_path, name):
    with pytest.raises(ArgumentError, match=r"ends in \.svg or \.png"):
        save(chart, tmp_path / name)


def test_every_method_has_its_own_colour():
    assert len(set(COLORS.values())) == len(COLORS) and {"grpo", "dr-grpo", "dapo"} <= set(COLORS)


def test_the_command_line_says_where_figures_are():
    done = subprocess.run(
        [sys.executable, "-m", "groupsigma.cli", "reproduce", "fidelity/readings", "--figures", "nowhere"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "hint: one of identity, group-size" in done.stderr
