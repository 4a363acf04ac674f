"""A model behind an OpenAI-compatible endpoint: several problems asked at once, each until it has its n answers."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from groupsigma import checks
from groupsigma.answerers import Answered, Sampling
from groupsigma.errors import ArgumentError
from groupsigma.problems import Prompt, turns_of

#: Seconds for one answer of the server, and how often a request that met 408, 409, 429, 5xx or silence is sent again.
TIMEOUT, RETRIES = 600.0, 6


class Endpoint:
    """A served model, by the server's name for it; the key is read from OPENAI_API_KEY.

    `n` is asked for in one request; where the server gives fewer, or refuses, the rest is asked for one by one.
    Every request carries a seed of its own; whether it is honoured is the server's to say, as is what it
    does about top-k and penalties, which are not sent.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        *,
        url: str,
        chat: bool = False,
        concurrency: int = 16,
        retries: int = RETRIES,
        timeout: float = TIMEOUT,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise ArgumentError("--endpoint", "the package openai", str(error), hint="pip install openai") from None
        self.openai, self.name, self.sampling, self.chat = openai, model, sampling, chat
        self.concurrency = int(checks.whole("probe", "concurrency", concurrency, 1))
        self.url, self.several = url, True
        # A server of one's own asks for no key, the client does.
        key = os.environ.get("OPENAI_API_KEY") or "none"
        try:
            self.client: Any = openai.OpenAI(base_url=url, api_key=key, max_retries=retries, timeout=timeout)
            self.client.with_options(max_retries=0, timeout=10.0).models.list()
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._refused(error) from None
        except openai.APIStatusError:
            pass  # Not every server lists its models; the first problem tells.
        except Exception as error:
            needs, hint = "a server that answers", "http://HOST:PORT/v1; is it up?"
            raise ArgumentError("--endpoint", needs, f"{url} ({_brief(error)})", hint=hint) from None

    def answers(self, prompts: Sequence[Prompt], wanted: Collection[int]) -> Iterator[list[Answered]]:
        """As they come, one problem each; ends early when nothing comes back any more."""
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        found: queue.SimpleQueue[Answered | Exception] = queue.SimpleQueue()
        for at in sorted(wanted):
            todo.put(at)
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                try:
                    at = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    found.put(self._answered(at, prompts[at], stop))
                except Exception as error:
                    found.put(error)
                    return

        # Daemons: an interrupt does not wait for requests under way.
        for _ in range(min(self.concurrency, len(wanted))):
            threading.Thread(target=work, daemon=True).start()
        in_a_row = 0
        try:
            for _ in range(len(wanted)):
                got = found.get()
                if isinstance(got, Exception):
                    raise got
                yield [got]
                in_a_row = in_a_row + 1 if got.failed else 0
                if in_a_row >= 2 * self.concurrency:
                    return
        finally:
            stop.set()

    def _answered(self, at: int, prompt: Prompt, stop: threading.Event) -> Answered:
        """The n answers to one problem; a fault of the key or the model's name is raised, it would not pass."""
        texts: list[str] = []
        tokens = cut = 0
        several = self.several
        try:
            while (missing := self.sampling.n - len(texts)) and not stop.is_set():
                times = missing if several else 1
                try:
                    reply = self._request(prompt, times, self.sampling.seed_of(at, len(texts)))
                except (self.openai.BadRequestError, self.openai.UnprocessableEntityError):
                    if times == 1:
                        raise
                    several = False
                    continue
                # Text instead of JSON arrives as a str.
                choices = (getattr(reply, "choices", None) or [])[:times]
                if not choices:
                    return Answered(at, failed=f"a reply without choices: {str(reply)[:80]!r}")
                # Told by an answer, not by a refusal: that may be about this problem alone.
                self.several = several = several and len(choices) == times
                texts += [_text(choice) for choice in choices]
                tokens += getattr(reply.usage, "completion_tokens", 0) or 0
                cut += sum(choice.finish_reason == "length" for choice in choices)
        except (self.openai.AuthenticationError, self.openai.PermissionDeniedError, self.openai.NotFoundError) as error:
            raise self._refused(error) from None
        # ValueError: what came is not the JSON it says it is.
        except (self.openai.OpenAIError, ValueError) as error:
            return Answered(at, failed=_brief(error))
        return Answered(at, tuple(texts), tokens, cut)

    def _request(self, prompt: Prompt, times: int, seed: int) -> Any:
        how = self.sampling
        options: dict[str, Any] = dict(
            model=self.name, temperature=how.temperature, top_p=how.top_p, max_tokens=how.max_tokens, seed=seed
        )
        if times > 1:
            options["n"] = times
        if isinstance(prompt, str) and not self.chat:
            return self.client.completions.create(prompt=prompt, **options)
        turns = turns_of(prompt)
        return self.client.chat.completions.create(messages=turns, **options)

    def _refused(self, error: Exception) -> ArgumentError:
        needs = f"a server that serves {self.name!r} to the key in OPENAI_API_KEY"
        hint = f"{self.url}/models lists what is served" + ("" if self.chat else "; --chat, where it serves chats only")
        return ArgumentError("--endpoint", needs, f"{self.url} ({_brief(error)})", hint=hint)


def _text(choice: Any) -> str:
    """A choice's text; a chat's may be absent, when all went into reasoning."""
    return (getattr(choice.message, "content", None) if hasattr(choice, "message") else choice.text) or ""


def _brief(error: Exception) -> str:
    """An error in one line, with what the server said where the client leaves that out."""
    said, body = str(error), getattr(error, "body", None)
    if body and not (isinstance(body, dict) and "message" in body):
        said += f": {body}"
    return " ".join(said.split())[:160] or type(error).__name__
