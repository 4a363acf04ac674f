"""Probing: every answer counted once, whatever stops the run; the engines draw what they say they draw."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from groupsigma import load
from groupsigma.answerers import Answered, Sampling
from groupsigma.answerers.endpoint import Endpoint
from groupsigma.answerers.vllm import VllmModel
from groupsigma.errors import ArgumentError, SourceError
from groupsigma.probe import probe
from groupsigma.problems import load_problems
from groupsigma.referee import Referee

COMMAND = [sys.executable, "-c", "from groupsigma.cli import main; main()"]
SERVE = "from transformers.cli.transformers import main; main()"
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
SETTINGS = {"model": "m", "n": 4}


def run(*args, cwd, env=None):
    full = {**os.environ, **OFFLINE, **(env or {})}
    full.pop("PYTHONWARNINGS", None)
    done = subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True, cwd=cwd, env=full, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def written(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# The loop, with one that answers by rule: problem i gets i right answers of 4.


class ByRule:
    def __init__(self, batch=2, fail=(), stop_at=None):
        self.batch, self.fail, self.stop_at, self.asked = batch, set(fail), stop_at, []

    def answers(self, prompts, wanted):
        for start in range(0, len(prompts), self.batch):
            batch = [at for at in range(start, min(start + self.batch, len(prompts))) if at in wanted]
            if self.stop_at in batch:
                raise KeyboardInterrupt
            self.asked += batch
            yield [
                Answered(at, failed="the server said 500")
                if at in self.fail
                else Answered(at, tuple("yes" if j < at else f"no {j}" for j in range(4)), tokens=12, cut=1)
                for at in batch
            ]


PROBLEMS = [{"prompt": f"p{i}", "prompt_id": f"id {i}", "answer": "yes"} for i in range(5)]


def ask(path, answerer=None, problems=PROBLEMS, *, settings=SETTINGS, answers=None, counted=True, checker="exact"):
    answerer = answerer or ByRule()
    with Referee(checker) as referee:
        return probe(
            lambda: answerer,
            problems,
            referee,
            sampling=Sampling(n=4),
            settings=settings,
            counted=counted,
            out=path,
            answers=answers,
        )


def test_counts_are_what_audit_reads(tmp_path):
    out, answers = tmp_path / "c.jsonl", tmp_path / "a.jsonl"
    found = ask(out, answers=answers)
    rows = written(out)
    assert [(r["prompt_id"], r["n_correct"], r["n_rollouts"], r["n_unscorable"]) for r in rows] == [
        (f"id {i}", i, 4, 0) for i in range(5)
    ]
    assert all(r["n_cut"] == 1 and r["tokens"] == 12 and r["settings"] == SETTINGS for r in rows)
    texts = written(answers)
    assert len(texts) == 20 and texts[4:6] == [
        {"prompt_id": "id 1", "completion": "yes", "reward": 1.0},
        {"prompt_id": "id 1", "completion": "no 1", "reward": 0.0},
    ]
    for path in (out, answers):
        groups = load(path)
        assert groups.prompt_ids.tolist() == [f"id {i}" for i in range(5)]
        assert groups.n_correct.tolist() == [0, 1, 2, 3, 4] and groups.n_rollouts.tolist() == [4] * 5
    assert (found.problems, found.answers, found.new, found.never, found.always) == (5, 20, 5, 1, 1)
    assert (found.reward_mean, found.cut, found.tokens, found.same, found.undone) == (0.5, 5, 60, 1, 0)


def test_what_cannot_be_scored_is_counted_and_never_wrong(tmp_path):
    out = tmp_path / "c.jsonl"
    problems = [*PROBLEMS[2:4], {**PROBLEMS[4], "answer": None}]
    found = ask(out, problems=problems)
    assert [(r["n_correct"], r["n_rollouts"], r["n_unscorable"]) for r in written(out)] == [
        (0, 4, 0),
        (1, 4, 0),
        (0, 0, 4),
    ]
    assert (found.answers, found.unscorable, found.declined, found.never) == (8, 4, 4, 1)
    assert found.reward_mean == 1 / 8 and "returned None" in found.example
    assert load(out).problems == 2


def test_graded_rewards_are_kept_as_they_are(tmp_path, monkeypatch):
    marks = "def half(text, row):\n    return {'yes': 0.5, 'no 2': None}.get(text, 0)\n"
    (tmp_path / "graded_marks.py").write_text(marks)
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "c.jsonl"
    found = ask(out, checker="graded_marks:half", counted=False)
    row = written(out)[2]
    assert row["rewards"] == [0.5, 0.5, None, 0.0] and "n_correct" not in row
    assert (row["n_rollouts"], row["n_unscorable"]) == (3, 1)
    groups = load(out)
    assert groups.n_correct is None and groups.rewards.mean[2] == pytest.approx(1 / 3)
    assert groups.n_unscorable == found.unscorable == 3 and found.graded and found.always == 0 and found.never == 1
    # 1 and −1, 2 and 0 sum to what never and always right ones do.
    (tmp_path / "graded_sums.py").write_text(
        "def sums(text, row):\n    return row['by'].get(text, row['by']['no 3'])\n"
    )
    by = [{"yes": 1, "no 1": -1, "no 2": 1, "no 3": -1}, {"yes": 2, "no 2": 0, "no 3": 0}]
    problems = [{"prompt": "a", "prompt_id": i, "by": table} for i, table in enumerate([{"no 3": 0}, *by])]
    found = ask(tmp_path / "e.jsonl", None, problems, checker="graded_sums:sums", counted=False)
    assert [row["rewards"] for row in written(tmp_path / "e.jsonl")][1:] == [[1, -1, 1, -1], [2, 2, 0, 0]]
    assert (found.never, found.always) == (1, 0)
    with pytest.raises(ArgumentError, match=r"rewards of 0 or 1 to count, got 0.5\nhint: --right-from"):
        ask(tmp_path / "d.jsonl", checker="graded_marks:half")


def test_finished_problems_are_not_asked_again(tmp_path):
    out = tmp_path / "c.jsonl"
    with pytest.raises(KeyboardInterrupt):
        ask(out, ByRule(stop_at=3))
    assert [r["prompt_id"] for r in written(out)] == ["id 0", "id 1"]
    later = ByRule()
    found = ask(out, later)
    assert later.asked == [2, 3, 4] and (found.new, found.problems) == (3, 5)
    assert [r["n_correct"] for r in written(out)] == [0, 1, 2, 3, 4]
    before = out.read_bytes()
    with Referee("exact") as referee:
        # Nothing to do: no model is loaded.
        found = probe(
            lambda: 1 / 0, PROBLEMS, referee, sampling=Sampling(n=4), settings=SETTINGS, counted=True, out=out
        )
    assert found.new == 0 and found.reward_mean == 0.5 and out.read_bytes() == before


def test_more_problems_join_those_done(tmp_path):
    out = tmp_path / "c.jsonl"
    ask(out, problems=PROBLEMS[:2])
    later = ByRule()
    assert ask(out, later).problems == 5 and later.asked == [2, 3, 4]
    assert ask(out, problems=PROBLEMS[:1]).undone == 0


@pytest.mark.parametrize("cut", range(1, 400, 7))
def test_killed_at_any_byte_of_either_file(tmp_path, cut):
    """Each file cut anywhere, independently: what is whole in both is kept, the rest asked again, nothing twice."""
    out, answers = tmp_path / "c.jsonl", tmp_path / "a.jsonl"
    ask(out, answers=answers)
    whole = out.read_bytes(), answers.read_bytes()
    rng = np.random.default_rng(cut)
    # Counts are written before answers, so those never reach further.
    answers.write_bytes(whole[1][:-cut])
    lines = len({json.loads(line)["prompt_id"] for line in answers.read_bytes().split(b"\n")[:-1]})
    least = len(b"".join(whole[0].splitlines(keepends=True)[:lines]))
    out.write_bytes(whole[0][: rng.integers(least, len(whole[0]) + 1)])
    ask(out, answers=answers)
    assert sorted(out.read_bytes().splitlines()) == sorted(whole[0].splitlines())
    assert Counter(answers.read_bytes().splitlines()) == Counter(whole[1].splitlines())
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "c.jsonl"]


def test_another_setting_is_refused_and_named(tmp_path):
    out = tmp_path / "c.jsonl"
    ask(out, problems=PROBLEMS[:2])
    before = out.read_bytes()
    for other in ({**SETTINGS, "model": "x"}, {"n": 4}, {**SETTINGS, "top_p": 0.9}):
        with pytest.raises(ArgumentError, match=r"was begun with: (model|top_p) = .*\nhint: the same options"):
            ask(out, settings=other)
    assert out.read_bytes() == before


def test_another_problem_of_the_same_id_is_refused(tmp_path):
    out = tmp_path / "c.jsonl"
    ask(out)
    for change in ({"prompt": "other"}, {"answer": "no"}):
        with pytest.raises(ArgumentError, match=r"the same problem 'id 3' .* got another prompt or answer"):
            ask(out, problems=[*PROBLEMS[:3], {**PROBLEMS[3], **change}])
    assert ask(out, problems=[{**p, "level": 3} for p in PROBLEMS]).new == 0


def test_files_of_others_are_left_alone(tmp_path):
    out, answers = tmp_path / "c.jsonl", tmp_path / "a.jsonl"
    ask(out, answers=answers)
    before = answers.read_bytes()
    with pytest.raises(ArgumentError, match="some to 'id 0' in"):
        ask(tmp_path / "other.jsonl", answers=answers)
    with pytest.raises(ArgumentError, match="no file"):
        ask(out, answers=tmp_path / "b.jsonl")
    assert answers.read_bytes() == before and not (tmp_path / "other.jsonl").exists()
    out.write_text('{"id": 1, "n_correct": 2}\n')
    with pytest.raises(SourceError, match="line 1: needs lines that probe wrote"):
        ask(out)
    ask(tmp_path / "d.jsonl", problems=PROBLEMS[:1])
    twice = (tmp_path / "d.jsonl").read_text() * 2
    (tmp_path / "d.jsonl").write_text(twice)
    with pytest.raises(SourceError, match="'id 0' again at line 2"):
        ask(tmp_path / "d.jsonl")
    assert (tmp_path / "d.jsonl").read_text() == twice


def test_problems_without_answers_stay_undone(tmp_path):
    out = tmp_path / "c.jsonl"
    found = ask(out, ByRule(fail=[1, 4]))
    assert (found.undone, found.why, found.new) == (2, "the server said 500", 3)
    assert [r["prompt_id"] for r in written(out)] == ["id 0", "id 2", "id 3"]
    later = ByRule()
    assert ask(out, later).undone == 0 and later.asked == [1, 4]


def test_nothing_is_left_behind_where_nothing_is_answered(tmp_path):
    with pytest.raises(ArgumentError, match="the server said 500"):
        ask(tmp_path / "c.jsonl", ByRule(fail=range(5)), answers=tmp_path / "a.jsonl")
    with pytest.raises(ArgumentError, match=r"a column 'answer' for exact, got columns prompt.* at problem 2"):
        ask(tmp_path / "c.jsonl", problems=[PROBLEMS[0], {"prompt": "a", "prompt_id": 1}])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(n=0), "n to be a whole number of at least 1"),
        (dict(max_tokens=0), "max_tokens to be a whole number of at least 1"),
        (dict(temperature=-1.0), "temperature >= 0"),
        (dict(temperature=float("nan")), "temperature >= 0"),
        (dict(top_p=0.0), "0 < top_p <= 1"),
        (dict(temperature=0.0), "one answer at temperature 0"),
        (dict(seed=-1), "seed to be a whole number"),
    ],
)
def test_sampling_says_what_it_needs(wrong, words):
    with pytest.raises(ArgumentError, match=words):
        Sampling(**wrong)


def test_seeds_differ_by_place_and_by_seed():
    seeds = {
        Sampling(seed=s).seed_of(*place) for s in range(20) for place in [(a,) for a in range(20)] + [(1, 2), (2, 1)]
    }
    assert len(seeds) == 20 * 22 and max(seeds) < 2**31


# A model of letters, made here.

LETTERS = "0123456789+-= abcdefghijklmnopqrstuvwxyz\nABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.fixture(scope="session")
def letters(tmp_path_factory):
    """The folder of a two-layer Llama of random weights over single letters, with a chat template."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: at for at, token in enumerate(["<pad>", "<eos>", "<unk>", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    fast.chat_template = (
        "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}={% endif %}"
    )
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config)
    # As models come: with their authors' habits of sampling, which a probe must not take over.
    model.generation_config.update(do_sample=True, top_k=3, temperature=0.1, repetition_penalty=1.5)
    folder = tmp_path_factory.mktemp("models") / "letters"
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture
def local(letters):
    from groupsigma.answerers.local import LocalModel

    return lambda *args, **kwargs: LocalModel(str(letters), *args, **kwargs)


def collected(answerer, prompts, wanted=None):
    batches = answerer.answers(prompts, range(len(prompts)) if wanted is None else wanted)
    return {answered.at: answered for batch in batches for answered in batch}


PROMPTS = ["1+1=", "12+34=", "a", "what is 2+2", "0", "zz", "3-1=", "b+b"]


def test_the_model_itself_is_sampled(local):
    """Frequencies of a first letter against the model's softmax, at a temperature and a top-p."""
    import torch

    answerer = local(Sampling(n=4000, max_tokens=1), batch_size=1000)
    with torch.inference_mode():
        logits = answerer.model(torch.tensor([answerer.tokenizer("12+3=")["input_ids"]])).logits[0, -1].double()
    for temperature, top_p in ((1.0, 1.0), (2.0, 1.0), (1.0, 0.7)):
        p = torch.softmax(logits / temperature, -1).numpy()
        order = np.argsort(-p)
        kept = order[: np.searchsorted(np.cumsum(p[order]), top_p) + 1] if top_p < 1 else order
        p = np.where(np.isin(np.arange(len(p)), kept), p, 0)
        p /= p.sum()
        answerer.sampling = Sampling(n=4000, max_tokens=1, temperature=temperature, top_p=top_p)
        (found,) = collected(answerer, ["12+3="]).values()
        texts = Counter(found.completions)
        names = ["", "", "<unk>", *LETTERS]  # special tokens are left out of a text
        seen = np.array([texts[name] for name in names[2:]]) / 4000
        assert (np.abs(seen - p[2:]) < 5 * np.sqrt(p[2:] * (1 - p[2:]) / 4000) + 1e-9).all()
        # Neither the 3 of the model's own settings nor the 50 of the library's.
        assert top_p < 1 or seen[[at - 2 for at in order[50:] if at > 1]].sum() > 0


def test_padding_and_order_change_nothing(local):
    """The likeliest continuation of each prompt is the same alone and in a batch of others."""
    together = collected(local(Sampling(n=1, temperature=0, max_tokens=6)), PROMPTS)
    alone = [collected(local(Sampling(n=1, temperature=0, max_tokens=6), batch_size=1), [p])[0] for p in PROMPTS[:4]]
    assert [together[at].completions for at in range(4)] == [answered.completions for answered in alone]
    assert len({answered.completions for answered in together.values()}) > 1


def test_answers_do_not_depend_on_what_is_done_already(local):
    answerer = local(Sampling(n=4, max_tokens=5), batch_size=12)
    whole = collected(answerer, PROMPTS)
    assert sorted(whole) == list(range(8))
    for wanted in ([0], [3, 4, 7], range(5)):
        again = collected(answerer, PROMPTS, wanted)
        assert again == {at: whole[at] for at in wanted}
    other = collected(local(Sampling(n=4, max_tokens=5, seed=1), batch_size=12), PROMPTS)
    assert all(other[at].completions != whole[at].completions for at in whole)
    assert len({answered.completions for answered in whole.values()}) == 8
    # Nor is one batch drawn like another.
    assert len({answered.completions for answered in collected(answerer, ["1+1="] * 6).values()}) == 6


def test_only_batches_with_something_to_do_are_drawn_the_longest_first(local, monkeypatch):
    answerer = local(Sampling(n=4, max_tokens=2), batch_size=8)
    drawn = []
    monkeypatch.setattr(
        answerer, "_generate", lambda tokens, times, seed: drawn.append(len(tokens)) or [[[1]] * times for _ in tokens]
    )
    batches = [[answered.at for answered in batch] for batch in answerer.answers(PROMPTS, [0, 2, 3])]
    assert batches == [[3], [0], [2]] and drawn == [2, 2, 2]


def test_more_answers_than_a_batch_holds(local):
    (found,) = collected(local(Sampling(n=10, max_tokens=5), batch_size=4), ["1+1="]).values()
    assert len(found.completions) == 10 and len(set(found.completions)) == 10


def test_tokens_and_cut_answers_are_counted(local, monkeypatch):
    """The token that ends an answer is one of it, what pads it after that is not."""
    answerer = local(Sampling(n=3, max_tokens=4))
    drawn = [[3, 4, 1, 0], [3, 4, 5, 6], [1, 0, 0, 0]]
    monkeypatch.setattr(answerer, "_generate", lambda tokens, times, seed: [drawn] * len(tokens))
    (found,) = collected(answerer, ["1+1="]).values()
    assert found == Answered(0, ("01", "0123", ""), tokens=3 + 4 + 1, cut=1)


def test_the_global_generator_is_left_as_it_was(local):
    import torch

    before = torch.random.get_rng_state()
    collected(local(Sampling(n=2, max_tokens=2)), PROMPTS[:2])
    assert torch.equal(before, torch.random.get_rng_state())


def test_chats_go_through_the_template(local):
    plain = collected(local(Sampling(n=3, max_tokens=4)), ["1+1=", "2+2="])
    turns = [[{"role": "user", "content": "1+1"}], [{"role": "user", "content": "2+2"}]]
    assert collected(local(Sampling(n=3, max_tokens=4)), turns) == plain
    assert collected(local(Sampling(n=3, max_tokens=4), chat=True), ["1+1", "2+2"]) == plain
    answerer = local(Sampling(n=3, max_tokens=4), chat=True)
    answerer.tokenizer.chat_template = None
    with pytest.raises(ArgumentError, match="a model with a chat template"):
        collected(answerer, ["1+1"])


def test_prompts_that_do_not_fit_are_told_before_any_answer(local):
    with pytest.raises(ArgumentError, match="within the model's 128 tokens, got a prompt of 120 and max_tokens = 9"):
        collected(local(Sampling(max_tokens=9)), ["1", "2" * 120])
    collected(local(Sampling(n=1, max_tokens=8)), ["2" * 120])


# vLLM is not here: a stand-in with the shape its documentation gives.


def test_vllm_is_called_as_documented(monkeypatch):
    calls = []

    class LLM:
        def __init__(self, model):
            if model == "bad":
                raise RuntimeError("no config.json\nfound")

        def generate(self, prompts, params, use_tqdm):
            calls.append(("generate", prompts, params, use_tqdm))
            return [SimpleNamespace(outputs=[self.output(p, j) for j in range(p.n)]) for p in params]

        def chat(self, messages, params, use_tqdm):
            calls.append(("chat", messages, params, use_tqdm))
            return [SimpleNamespace(outputs=[self.output(p, j) for j in range(p.n)]) for p in params]

        def output(self, params, j):
            reason = "length" if j == 0 else "stop"
            return SimpleNamespace(text=f"{params.seed + j}", token_ids=[1, 2, 3], finish_reason=reason)

    vllm = ModuleType("vllm")
    vllm.LLM, vllm.SamplingParams = LLM, lambda **kwargs: SimpleNamespace(**kwargs)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    how = Sampling(n=3, temperature=0.5, top_p=0.9, max_tokens=7)
    found = collected(VllmModel("m", how), ["a", "b", "c"], [0, 2])
    assert sorted(found) == [0, 2] and calls[0][:2] == ("generate", ["a", "c"]) and calls[0][3] is False
    assert vars(calls[0][2][1]) == dict(n=3, temperature=0.5, top_p=0.9, max_tokens=7, seed=how.seed_of(2))
    assert found[2] == Answered(2, tuple(str(how.seed_of(2) + j) for j in range(3)), tokens=9, cut=1)
    turns = [{"role": "user", "content": "a"}]
    collected(VllmModel("m", how, chat=True), ["a"])
    collected(VllmModel("m", how), [turns])
    assert [call[:2] for call in calls[1:]] == [("chat", [turns])] * 2
    with pytest.raises(ArgumentError, match=r"a causal language model.* got 'bad' \(no config.json found\)"):
        VllmModel("bad", how)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ArgumentError, match="pip install vllm"):
        VllmModel("m", how)


# Endpoints: a real server of the model of letters, and one that has every fault in the book.


@pytest.fixture(scope="session")
def served(letters, tmp_path_factory):
    """The address of `transformers serve` on this machine, for as long as the tests run."""
    for package in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(package)
    import socket
    from urllib.error import URLError
    from urllib.request import urlopen

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    where = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE, "serve", letters, *where],
            stdout=file,
            stderr=file,
            env={**os.environ, **OFFLINE},
        )
        try:
            for _ in range(600):
                assert server.poll() is None, log.read_text()
                try:
                    with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                        break
                except (URLError, OSError):
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def test_a_real_server_is_asked_until_there_are_n_answers(letters, served):
    """It gives one answer however many are asked for, and the same one to the same seed."""
    endpoint = Endpoint(str(letters), Sampling(n=4, max_tokens=5), url=served, concurrency=3)
    found = collected(endpoint, PROMPTS[:4])
    assert sorted(found) == [0, 1, 2, 3] and all(len(a.completions) == 4 and not a.failed for a in found.values())
    assert len({text for a in found.values() for text in a.completions}) > 4
    assert endpoint.several is False and all(0 < a.tokens <= 20 and 0 <= a.cut <= 4 for a in found.values())
    chats = collected(Endpoint(str(letters), Sampling(n=2, max_tokens=5), url=served, chat=True), PROMPTS[:2])
    assert all(len(a.completions) == 2 for a in chats.values())


def test_the_command_probes_a_real_server(letters, served, tmp_path):
    rows = [{"id": i, "question": f"{i}+{i}=", "answer": str(i)} for i in range(6)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    args = ("probe", letters, "sums.jsonl", "--endpoint", served, "--checker", "exact", "-n", 3, "--max-tokens", 1)
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 problems, 3 answers each" in done.stdout and "next: groupsigma audit letters.sums.jsonl" in done.stdout
    assert {r["prompt_id"]: r["n_rollouts"] for r in written(tmp_path / "letters.sums.jsonl")} == dict.fromkeys(
        range(6), 3
    )
    done = run("probe", "other", *args[2:], "--out", "o.jsonl", cwd=tmp_path)
    assert done.returncode == 2 and "pinned to" in done.stderr and not (tmp_path / "o.jsonl").exists()


class Faulty(BaseHTTPRequestHandler):
    """An endpoint whose faults are set by the test."""

    def do_GET(self):
        self.reply(*self.server.models)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append((self.path, asked))
            code, body = self.server.rule(self, asked)
        self.reply(code, body)

    def reply(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code == 429:
            self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def choices(asked, times):
    chat = "messages" in asked
    given = [f"{asked['seed']}/{j}" for j in range(times)]
    made = [
        {"index": j, "finish_reason": "length" if j == 0 else "stop"}
        | ({"message": {"role": "assistant", "content": text}} if chat else {"text": text})
        for j, text in enumerate(given)
    ]
    usage = {"prompt_tokens": 5, "completion_tokens": 2 * times, "total_tokens": 5 + 2 * times}
    return 200, {"id": "x", "object": "o", "created": 1, "model": "m", "choices": made, "usage": usage}


@pytest.fixture
def faulty():
    """A server with `rule(handler, asked) -> (code, body)`; `asked` is what came."""
    pytest.importorskip("openai")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    server.daemon_threads = True
    server.asked, server.lock = [], threading.Lock()
    server.models = 200, {"object": "list", "data": []}
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def asking(server, n=4, **options):
    return Endpoint("m", Sampling(n=n), url=server.url, **{"retries": 3, "timeout": 5.0, **options})


def test_n_is_asked_for_at_once_where_it_is_honoured(faulty):
    faulty.rule = lambda handler, asked: choices(asked, asked.get("n", 1))
    found = collected(asking(faulty), ["a", "b"])
    assert len(faulty.asked) == 2 and all(a["n"] == 4 and path == "/v1/completions" for path, a in faulty.asked)
    first = faulty.asked[0][1]
    assert {k: first[k] for k in ("model", "temperature", "top_p", "max_tokens")} == dict(
        model="m", temperature=1.0, top_p=1.0, max_tokens=512
    )
    assert found[0] == Answered(0, tuple(f"{Sampling().seed_of(0, 0)}/{j}" for j in range(4)), tokens=8, cut=1)
    collected(asking(faulty, chat=True), ["a"])
    turns = [{"role": "user", "content": "a"}]
    collected(asking(faulty), [turns])
    assert [(path, a["messages"]) for path, a in faulty.asked[2:]] == [("/v1/chat/completions", turns)] * 2


@pytest.mark.parametrize("gives", [1, 3])
def test_missing_choices_are_asked_for_again(faulty, gives):
    faulty.rule = lambda handler, asked: choices(asked, min(gives, asked.get("n", 1)))
    found = collected(asking(faulty, concurrency=1), ["a", "b"])
    assert all(len(set(a.completions)) == 4 for a in found.values())
    assert len({asked["seed"] for _, asked in faulty.asked}) == len(faulty.asked)
    # Told once, single requests from then on.
    assert [asked.get("n", 1) for _, asked in faulty.asked] == [4] + [1] * (4 - gives) + [1] * 4


def test_a_server_that_refuses_n_is_asked_one_by_one(faulty):
    faulty.rule = lambda handler, asked: (400, {"error": "n?"}) if "n" in asked else choices(asked, 1)
    found = collected(asking(faulty, concurrency=1), ["a", "b"])
    assert all(len(set(a.completions)) == 4 for a in found.values())
    assert [asked.get("n", 1) for _, asked in faulty.asked] == [4, 1, 1, 1, 1, 1, 1, 1, 1]


def test_one_bad_problem_does_not_spoil_the_others(faulty):
    def rule(handler, asked):
        return (400, {"error": "too long"}) if asked["prompt"] == "a" else choices(asked, asked.get("n", 1))

    faulty.rule = rule
    found = collected(asking(faulty, concurrency=1), ["a", "b", "c"])
    assert "too long" in found[0].failed and not found[1].failed
    assert [asked.get("n", 1) for _, asked in faulty.asked] == [4, 1, 4, 4]


def test_busy_servers_are_asked_again(faulty):
    def rule(handler, asked):
        return (429 if len(faulty.asked) == 1 else 503, {}) if len(faulty.asked) < 3 else choices(asked, asked["n"])

    faulty.rule = rule
    assert not collected(asking(faulty), ["a"])[0].failed and len(faulty.asked) == 3


def test_a_server_that_breaks_leaves_problems_undone_and_the_run_ends(faulty, tmp_path):
    def rule(handler, asked):
        return choices(asked, asked["n"]) if asked["prompt"] in ("p0", "p1") else (500, {"error": "gone"})

    faulty.rule = rule
    problems = [{"prompt": f"p{i}", "prompt_id": i, "answer": "x"} for i in range(50)]
    found = ask(tmp_path / "c.jsonl", asking(faulty, retries=0, concurrency=2), problems)
    assert (found.new, found.undone) == (2, 48) and "gone" in found.why
    # Not all fifty: some in a row are enough.
    assert len(faulty.asked) < 12
    faulty.rule = lambda handler, asked: choices(asked, asked["n"])
    later = ask(tmp_path / "c.jsonl", asking(faulty), problems)
    assert (later.new, later.problems, later.undone) == (48, 50, 0)


def test_failures_between_answers_end_nothing(faulty, tmp_path):
    faulty.rule = lambda handler, asked: choices(asked, 4) if int(asked["prompt"][1:]) % 2 else (500, {})
    found = ask(tmp_path / "c.jsonl", asking(faulty, retries=0, concurrency=1), many(20))
    assert (found.new, found.undone) == (10, 10)


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}, "<html>", None, [1]])
def test_a_reply_that_is_no_answer_is_a_failure_not_a_wrong_answer(faulty, body):
    faulty.rule = lambda handler, asked: (200, body)
    assert collected(asking(faulty), ["a"])[0].failed.startswith("a reply without choices")


def test_a_chat_without_content_is_an_empty_answer(faulty):
    def rule(handler, asked):
        code, body = choices(asked, 1)
        body["choices"][0]["message"]["content"] = None
        return code, body

    faulty.rule = rule
    assert collected(asking(faulty, n=1, chat=True), ["a"])[0].completions == ("",)


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_wrong_key_or_name_ends_the_run_at_once(faulty, code, tmp_path):
    faulty.rule = lambda handler, asked: (code, {"error": "not you"})
    with pytest.raises(ArgumentError, match=r"a server that serves 'm' to the key .*not you"):
        ask(tmp_path / "c.jsonl", asking(faulty, concurrency=1))
    assert len(faulty.asked) == 1 and os.listdir(tmp_path) == []
    faulty.models = code, {"error": "not you"}
    if code != 404:
        with pytest.raises(ArgumentError, match="not you"):
            asking(faulty)


def test_the_key_is_sent(faulty, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-7")
    keys = []

    def rule(handler, asked):
        keys.append(handler.headers["Authorization"])
        return choices(asked, asked["n"])

    faulty.rule = rule
    collected(asking(faulty), ["a"])
    assert keys == ["Bearer secret-7"]


# The command.


@pytest.fixture
def sums(tmp_path):
    rows = [{"id": f"s{i}", "prompt": f"{i}+{i}=", "answer": str(i % 10)} for i in range(30)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_command_and_what_reads_its_file(letters, sums):
    args = ("probe", letters, "sums.jsonl", "--checker", "exact", "--max-tokens", 1, "--batch-size", 48)
    done = run(*args, "--answers", "a.jsonl", cwd=sums)
    assert done.returncode == 0, done.stderr
    assert "30 problems, 8 answers each" in done.stdout and "next: groupsigma audit letters.sums.jsonl" in done.stdout
    assert "\r" not in done.stderr and "prompt_id = id" in done.stderr and "it/s" not in done.stderr
    for file in ("letters.sums.jsonl", "a.jsonl"):
        audit = json.loads(run("audit", file, "--json", cwd=sums).stdout)
        assert audit["problems"] == 30 and audit["answers"] == 240
        assert run("plan", file, "--budget", "100", cwd=sums).returncode == 0
    again = run(*args, "--answers", "a.jsonl", "--json", cwd=sums)
    told = json.loads(again.stdout)
    assert told["new"] == 0 and told["problems"] == 30 and "loading" not in again.stderr
    rows = written(sums / "a.jsonl")
    right = sum(row["reward"] for row in rows)
    assert told["reward_mean"] == pytest.approx(right / 240) and told["schema"] == "groupsigma.probe/1"
    other = run(*args, "--answers", "a.jsonl", "--temperature", 0.5, cwd=sums)
    assert other.returncode == 2 and "temperature = 1.0, got 0.5" in other.stderr


def begun(path, command, cwd):
    """A command that has written three problems, still at it."""
    process = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **OFFLINE}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    for _ in range(6000):
        if path.is_file() and path.read_text().count("\n") >= 3:
            return process
        time.sleep(0.01)
    raise AssertionError(process.kill() or process.communicate())


def test_a_killed_run_goes_on(tmp_path):
    code = (
        "import time, test_probe as t; from pathlib import Path\n"
        "class Slow(t.ByRule):\n"
        "    def answers(self, prompts, wanted):\n"
        "        for batch in super().answers(prompts, wanted):\n"
        "            time.sleep(0.02)\n"
        "            yield batch\n"
        "t.ask(Path('c.jsonl'), Slow(), t.many(300), answers=Path('a.jsonl'))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"]
    process = begun(tmp_path / "c.jsonl", command, tmp_path)
    process.kill()
    process.communicate(timeout=20)
    done = len((tmp_path / "c.jsonl").read_text().splitlines())
    assert 3 <= done < 300
    later = ByRule()
    ask(tmp_path / "c.jsonl", later, many(300), answers=tmp_path / "a.jsonl")
    assert 300 - done <= len(later.asked) <= 302 - done
    assert [r["prompt_id"] for r in written(tmp_path / "c.jsonl")] == list(range(300))
    assert [r["prompt_id"] for r in written(tmp_path / "a.jsonl")] == [i for i in range(300) for _ in range(4)]


def many(count):
    return [{"prompt": f"p{i}", "prompt_id": i, "answer": "yes"} for i in range(count)]


def test_an_interrupted_command_goes_on_to_the_same_end(letters, sums, local):
    args = ("probe", str(letters), "sums.jsonl", "--checker", "exact", "--max-tokens", "60", "--batch-size", "8")
    args += ("--out", "c.jsonl", "--answers", "a.jsonl")
    process = begun(sums / "c.jsonl", [*COMMAND, *args], sums)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command goes on" in told and "Traceback" not in told
    assert 3 <= len(written(sums / "c.jsonl")) < 30
    assert run(*args, cwd=sums).returncode == 0
    problems = load_problems(str(sums / "sums.jsonl"))
    whole = collected(local(Sampling(max_tokens=60), batch_size=8), [problem["prompt"] for problem in problems])
    texts = {problems[at]["prompt_id"]: list(answered.completions) for at, answered in whole.items()}
    rows = written(sums / "a.jsonl")
    assert texts == {name: [row["completion"] for row in rows if row["prompt_id"] == name] for name in texts}
    assert len(rows) == 240 and {r["prompt_id"]: r["n_rollouts"] for r in written(sums / "c.jsonl")} == dict.fromkeys(
        texts, 8
    )


def test_what_is_no_model_is_told_in_one_line(tmp_path, monkeypatch):
    pytest.importorskip("torch"), pytest.importorskip("transformers")
    from groupsigma.answerers.local import LocalModel

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "no such"}')
    (tmp_path / "broken.gguf").write_text("nonsense")
    for name in ("", "nowhere/at/all", tmp_path / "empty", tmp_path / "odd", tmp_path / "broken.gguf"):
        with pytest.raises(ArgumentError, match=r"MODEL: needs a causal language model.*\nhint: ") as caught:
            LocalModel(str(name), Sampling())
        assert repr(str(name)) in str(caught.value) and str(caught.value).count("\n") == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere/at/all", "sums.jsonl"], "error: MODEL: needs a causal language model"),
        (["LETTERS", "nowhere.jsonl"], "error: nowhere.jsonl: needs an existing file"),
        (["LETTERS", "sums.jsonl", "--prompt", "text"], "a column 'text' with the prompts"),
        (["LETTERS", "sums.jsonl", "--checker", "exakt"], "did you mean 'exact'"),
        (["LETTERS", "sums.jsonl", "-n", "0"], "n to be a whole number of at least 1"),
        (["LETTERS", "sums.jsonl", "--temperature", "0"], "hint: -n 1"),
        (["LETTERS", "sums.jsonl", "--limit", "0"], "limit to be a whole number"),
        (["LETTERS", "sums.jsonl", "--engine", "vlm"], "one of auto, transformers, vllm, endpoint"),
        (["LETTERS", "sums.jsonl", "--engine", "endpoint"], "needs --endpoint URL"),
        (["LETTERS", "sums.jsonl", "--out", "sums.jsonl"], "a file other than those read"),
        (["LETTERS", "sums.jsonl", "--out", "c", "--answers", "c"], "a place of its own"),
        (["LETTERS", "sums.jsonl", "--batch-size", "0"], "batch_size to be a whole number"),
        (["m", "sums.jsonl", "--endpoint", "http://127.0.0.1:9/v1"], "--endpoint: needs a server that answers"),
        (["m", "sums.jsonl", "--endpoint", "nonsense"], "--endpoint: needs a server that answers"),
        (["m", "sums.jsonl", "--endpoint", "http://127.0.0.1:9/v1", "--engine", "vllm"], "needs no --endpoint"),
    ],
)
def test_bad_input_is_told_with_exit_2_and_nothing_is_written(args, words, letters, sums):
    before = sorted(os.listdir(sums))
    args = [str(letters) if arg == "LETTERS" else arg for arg in args]
    done = run("probe", *args, *([] if "--checker" in args else ["--checker", "exact"]), cwd=sums)
    assert done.returncode == 2 and words in done.stderr and done.stdout == "", done.stderr
    assert sorted(os.listdir(sums)) == before


def test_generated_problems_are_graded_by_their_own_checker(faulty, tmp_path):
    pytest.importorskip("reasoning_gym")
    source = "reasoning-gym:chain_sum?size=3&max_digits=1&max_terms=2"
    right = {problem["prompt"]: problem["answer"] for problem in load_problems(source)}

    def rule(handler, asked):
        code, body = choices(asked, 2)
        for choice, text in zip(body["choices"], ("It may be {}.", "{}"), strict=True):
            choice["text"] = text.format(right[asked["prompt"]])
        return code, body

    faulty.rule = rule
    done = run("probe", "owner/m", source, "-n", 2, "--endpoint", faulty.url, cwd=tmp_path)
    assert done.returncode == 0 and "checker = reasoning_gym" in done.stderr, done.stderr
    rows = written(tmp_path / "m.chain_sum.jsonl")
    assert sorted(row["prompt_id"] for row in rows) == [0, 1, 2] and "mean reward" in done.stdout
    assert all(row["rewards"][1] == 1 > row["rewards"][0] > 0 for row in rows)


def test_a_threshold_makes_counts_of_any_checker(faulty, sums):
    (sums / "marks.py").write_text("def half(text, row):\n    return 0.5 if text.endswith('/0') else 0.25\n")
    faulty.rule = lambda handler, asked: choices(asked, asked.get("n", 1))
    args = ("probe", "m", "sums.jsonl", "--endpoint", faulty.url, "--checker", "marks:half", "--limit", 3)
    done = run(*args, "--right-from", 0.5, cwd=sums)
    assert done.returncode == 0 and "solve rate      12.5%" in done.stdout, done.stderr
    assert [(r["n_correct"], r["n_rollouts"]) for r in written(sums / "m.sums.jsonl")] == [(1, 8)] * 3
    done = run(*args, "--out", "g.jsonl", cwd=sums)
    assert "mean reward     0.281" in done.stdout and written(sums / "g.jsonl")[0]["rewards"] == [0.5] + [0.25] * 7


def test_an_undone_run_exits_1(faulty, sums):
    def rule(handler, asked):
        return (400, {"error": "no"}) if asked["prompt"] == "7+7=" else choices(asked, asked.get("n", 1))

    faulty.rule = rule
    args = ("probe", "m", "sums.jsonl", "--endpoint", faulty.url, "--checker", "exact")
    done = run(*args, cwd=sums)
    assert done.returncode == 1 and "failed: 1 problems have no answers yet" in done.stderr
    assert len(written(sums / "m.sums.jsonl")) == 29
