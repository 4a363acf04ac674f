"""Damaged logs: every one is read or refused in words, nothing is run, and no answer is lost without a word."""

import io
import json
import os
import pickletools
import resource
import zipfile

import numpy as np
import pytest

import logs
from groupsigma.errors import GroupsigmaError
from groupsigma.groups import Groups
from groupsigma.readers import load
from groupsigma.readers.layouts import LAYOUTS
from groupsigma.readers.reading import Reading
from logs import answers

#: How many damaged files in all, over the layouts; the slow run takes GROUPSIGMA_FUZZ.
QUICK, SLOW = 2_000, int(os.environ.get("GROUPSIGMA_FUZZ", "100000"))
GIGABYTE = 1 << 20  # in the kilobytes of getrusage

DEEP = "[" * 50_000 + "]" * 50_000
VALUES = (
    "null", "true", "-1", "2", "0.5", "1e308", "1e999", "-0.0", "NaN", "-Infinity", str(2**70), "9" * 5_000, '""',
    '"text"', '"nan"', '"1.0"', '"\\ud800"', '"\\u0000"', '"é"', "[]", "{}", "[1, [2]]", '{"score": 1}', "[null]",
    '{"a": {"b": [1]}}', DEEP, '"' + "x" * 70_000 + '"',
)  # fmt: skip


def damaged(data, rng):
    """The bytes with one to three things done to them."""
    for _ in range(rng.integers(1, 4)):
        if data:
            data = hurt(data, rng)
    return data


def hurt(data, rng):
    a, b = np.sort(rng.integers(0, len(data) + 1, 2)).tolist()
    b = min(b, a + int(rng.integers(1, 200)))
    byte = rng.integers(0, 256, dtype=np.uint8).tobytes()
    return (
        lambda: data[:a] + byte + data[a + 1 :],
        lambda: data[:a],
        lambda: data[:a] + data[b:],
        lambda: data[:b] + data[a:b] + data[b:],
        lambda: data[:a] + byte * int(rng.integers(1, 40)) + data[a:],
        lambda: data.replace(b"\n", b"\r\n" if rng.random() < 0.5 else b"\n\n", int(rng.integers(1, 4))),
    )[rng.integers(6)]()


def rewritten(data, rng):
    """JSON lines with a value of another kind, a field lost, a line lost, doubled or joined, or another encoding."""
    lines = data.decode().splitlines()
    at = int(rng.integers(len(lines)))
    kind = rng.integers(8)
    if kind == 0:
        lines.insert(at, lines[at])
    elif kind == 1:
        lines[at] = ("null", "5", '"text"', "[]", "", "  ", DEEP)[rng.integers(7)]
    elif kind == 2 and at + 1 < len(lines):
        lines[at : at + 2] = [lines[at] + lines[at + 1]]
    elif kind == 3:
        text = "\n".join(lines)
        return text.encode(("utf-16", "utf-8-sig", "utf-32-le", "cp037")[rng.integers(4)])
    else:
        row = json.loads(lines[at])
        spot, name = place(row, rng)
        if rng.random() < 0.2:
            del spot[name]
        else:
            spot[name] = "\0here\0"
        value = VALUES[rng.integers(len(VALUES))]
        lines[at] = json.dumps(row).replace(json.dumps("\0here\0"), value)
    return ("\n".join(lines) + "\n" * int(rng.integers(2))).encode()


def place(row, rng):
    """Somewhere in a JSON object: what holds the value, and under which name."""
    spot = row
    while True:
        names = list(spot) if isinstance(spot, dict) else range(len(spot))
        name = names[int(rng.integers(len(names)))]
        inner = spot[name]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            return spot, name
        spot = inner


def repacked(data, rng):
    """An inspect_ai archive with one entry damaged inside, or missing."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        chosen = old.namelist()[int(rng.integers(len(old.namelist())))]
        for name in old.namelist():
            entry = old.read(name)
            if name != chosen:
                new.writestr(name, entry)
            elif rng.random() < 0.9:
                text = entry.decode()
                at = int(rng.integers(len(text) + 1))
                value = VALUES[rng.integers(len(VALUES))]
                new.writestr(name, (text[:at] + value + text[at:]) if rng.random() < 0.5 else damaged(entry, rng))
    return out.getvalue()


def counted(paths):
    """Lines that are not blank."""
    return sum(bool(line.strip(b" \t\r\n")) for path in paths for line in path.read_bytes().split(b"\n"))


def fuzz(folder, name, times, rng):
    log = logs.WRITERS[name](folder / "whole", answers(((2, 4), (0, 4), (3, 4))))
    path = logs.data_files(log)[0]
    whole, others = path.read_bytes(), logs.data_files(log)[1:]
    lines = LAYOUTS[name].form == "json"
    seen = {"read": 0, "refused": 0}
    for number in range(times):
        if lines and rng.random() < 0.5:
            data = rewritten(whole, rng)
        elif name == "inspect" and rng.random() < 0.5:
            data = repacked(whole, rng)
        else:
            data = damaged(whole, rng)
        path.write_bytes(data)
        forced = name if number % 2 else None
        reading = Reading(layout=forced, skip_bad=bool(rng.random() < 0.7))
        try:
            groups = load(log, reading=reading)
        except GroupsigmaError as error:
            assert len(str(error)) < 2_000
            seen["refused"] += 1
            continue
        assert isinstance(groups, Groups)
        seen["read"] += 1
        aside = any("beside them not read" in note for note in groups.notes)
        if groups.intake is not None and lines and groups.intake.layout == name and not aside:
            # A line of these may hold several answers.
            several = groups.intake.rows > counted([path, *others]) and name in ("traces", "lm-eval")
            assert several or groups.intake.rows == counted([path, *others]), (name, number)
    return seen


@pytest.mark.parametrize("name", LAYOUTS)
def test_damaged_logs_are_read_or_refused(tmp_path, name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = fuzz(tmp_path, name, QUICK // len(LAYOUTS), np.random.default_rng(sorted(LAYOUTS).index(name)))
    assert min(seen.values()) > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIGABYTE


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_many_damaged_logs(tmp_path, name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seed = int(os.environ.get("GROUPSIGMA_FUZZ_SEED", "7"))
    seen = fuzz(tmp_path, name, SLOW // len(LAYOUTS), np.random.default_rng([seed, sorted(LAYOUTS).index(name)]))
    print(f"\n{name}: {seen}")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIGABYTE


def test_pickled_objects_of_any_kind_are_refused(tmp_path):
    """Every opcode that could import or call is met by a refusal, not by running it."""
    pytest.importorskip("torch")
    ran = tmp_path / "ran"
    code = f"cposix\nsystem\n(S'touch {ran}'\ntR.".encode()
    assert any(op.name == "REDUCE" for op, _, _ in pickletools.genops(code))
    for name in ("1.pt", "log.eval", "1.jsonl", "1.parquet"):
        (tmp_path / name).write_bytes(code)
        with pytest.raises(GroupsigmaError):
            load(tmp_path / name)
    assert not ran.exists()
