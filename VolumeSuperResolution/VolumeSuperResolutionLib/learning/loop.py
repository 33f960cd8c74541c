"""The training of a network on one scan: until a time, a number of steps, or until it stops getting better."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..engine.callbacks import Cancel, end_if
from ..engine.networks import Network
from ..engine.streaming.devices import choose_device
from .held_out import HeldOut, Verdict
from .limit import MOST_SECONDS, Limit, settled
from .start import start_for
from .thick import Pairs, resampling

RATE, WARM_UP, AVERAGE, CLIP = 1e-3, 20, 0.99, 1.0
BETAS, EPSILON = (0.9, 0.99), 1e-8
# It is measured on what is held out after so many steps.
EVERY = 50
# Without a limit of one's own the learning rate falls, once it gets no better, for a part of the time that it took.
LANDING = 0.25


class Standing(NamedTuple):
    """How far it is: the seconds that it took, the part that is done, and the decibels that it gains on what is held
    out, over what would run without."""

    seconds: float
    done: float
    gain: float


class Learned(NamedTuple):
    """The best weights there were, and what they are worth."""

    weights: dict[str, np.ndarray]
    worth: Verdict
    steps: int
    seconds: float
    # The model whose weights it began with; empty for none.
    start: str


class Learner:
    """One training."""

    def __init__(self, pairs: Pairs, held_out: HeldOut, factor: int, seed: int, device: str = "auto"):
        self.pairs, self.held_out = pairs, held_out
        self.device = choose_device(device)
        network, self.start = start_for(factor, seed)
        # torch does not declare memory_format
        self.network: Network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.optimizer = _Adam(list(network.parameters()))
        self.step = 0
        self.history: list[tuple[float, float]] = []
        self.landing: float | None = None

    def run(
        self,
        limit: Limit,
        started: float,
        explain: Callable[[np.ndarray, np.ndarray], None],
        learning: Callable[[Standing], None] | None = None,
        cancel: Cancel | None = None,
        enough: Callable[[], bool] | None = None,
    ) -> Learned:
        """Learns; `started` is when the time began to count, `explain` what follows the network, in place."""
        best, weights = self._worth(explain), self._weights()
        every = EVERY if limit.steps is None else max(1, min(EVERY, limit.steps // 5))
        seconds = done = 0.0
        while done < 1 and not (enough is not None and enough()):
            end_if(cancel)
            self._learn(self._rate(limit, done))
            seconds = time.monotonic() - started
            done = self._done(limit, seconds)
            if self.step % every == 0 or done >= 1:
                worth = self._worth(explain)
                self.history.append((seconds, worth.gain))
                if worth.gain > best.gain:
                    best, weights = worth, self._weights()
            if learning is not None:
                learning(Standing(seconds, min(1.0, done), best.gain))
        return Learned(weights, best, self.step, time.monotonic() - started, self.start)

    def _done(self, limit: Limit, seconds: float) -> float:
        """What part of it is done."""
        if limit.steps is not None:
            return self.step / limit.steps
        if limit.seconds is not None:
            return seconds / limit.seconds
        if self.landing is None and (settled(self.history, seconds) or seconds > MOST_SECONDS / (1 + LANDING)):
            self.landing = seconds
        if self.landing is not None:
            return seconds / (self.landing * (1 + LANDING))
        return seconds / MOST_SECONDS

    def _rate(self, limit: Limit, done: float) -> float:
        """The learning rate, which falls to nothing at the end."""
        left = 1 - done
        if limit == Limit():
            left = 1.0 if self.landing is None else left * (1 + LANDING) / LANDING
        return RATE * min(1.0, (self.step + 1) / WARM_UP) * max(left, 0.01)

    def _learn(self, rate: float) -> None:
        """One step."""
        coarse, fine = self.pairs(self.step)
        self.network.train()
        given, wanted = (torch.from_numpy(np.ascontiguousarray(part)).to(self.device) for part in (coarse, fine))
        out = self.network(given.contiguous(memory_format=torch.channels_last))
        up = resampling(out.shape[-1], wanted.shape[-1])
        if up is not None:
            out = out @ torch.from_numpy(up.T).to(out)
        loss = (out - wanted).abs().mean()
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step(rate)
        share = 1 - min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            state = self.network.state_dict()
            torch._foreach_lerp_(list(self.average.values()), [state[name] for name in self.average], share)
        self.step += 1

    def _worth(self, explain: Callable[[np.ndarray, np.ndarray], None]) -> Verdict:
        """Of the averaged weights."""
        self.network.eval()

        def restore(coarse: np.ndarray) -> np.ndarray:
            planes = torch.from_numpy(np.ascontiguousarray(coarse.transpose(1, 2, 0)[:, None])).to(self.device)
            with torch.inference_mode():
                out = torch.func.functional_call(self.network, self.average, planes)[:, 0]
            high = out.cpu().numpy().transpose(2, 0, 1)
            high = np.ascontiguousarray(resampled(high, len(self.held_out.truth)))
            explain(high, coarse)
            return high

        return self.held_out.judge(restore)

    def _weights(self) -> dict[str, np.ndarray]:
        return {name: value.cpu().numpy().copy() for name, value in self.average.items()}


class _Adam:
    """Adam (Kingma and Ba 2015). That of torch loads its compiler first, which takes seconds and leaves files."""

    def __init__(self, parameters: list[torch.Tensor]):
        self.parameters = parameters
        self.means, self.squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        self.steps = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step along the gradients."""
        self.steps += 1
        for p, mean, square in zip(self.parameters, self.means, self.squares):
            assert p.grad is not None
            mean.lerp_(p.grad, 1 - BETAS[0])
            square.lerp_(p.grad.square(), 1 - BETAS[1])
            unbiased = (square / (1 - BETAS[1] ** self.steps)).sqrt_().add_(EPSILON)
            p.addcdiv_(mean, unbiased, value=-rate / (1 - BETAS[0] ** self.steps))


def resampled(high: np.ndarray, length: int) -> np.ndarray:
    """The first axis brought to another length over the same extent."""
    matrix = resampling(high.shape[0], length)
    return high if matrix is None else np.einsum("nm,mji->nji", matrix.astype(np.float32), high)
