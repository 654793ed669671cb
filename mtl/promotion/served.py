"""Rollback by what was served: pure functions from counts of two versions, and from the journal, to a decision.

A champion is rolled back only if, for one of the measures, the whole one-sided interval of the difference of two shares
(the champion's less that of the version before it) lies above the margin. The interval is Newcombe's, from Wilson's
score intervals of the two shares: R. G. Newcombe, "Interval estimation for the difference between independent
proportions: comparison of eleven methods", Statistics in Medicine 17 (1998) 873-890, method 10; E. B. Wilson, JASA 22
(1927) 209-212. It holds for few trials and for shares near 0, where the usual interval has no width. The level is
shared among the measures (Bonferroni).

The same champion is looked at again and again while its counts grow, and each look is another chance of an accident.
The margin takes most of these chances away, because the interval narrows, and the margin stays. A margin of 0 does not,
so the level is also shared among the doublings of a measure's trials: those between the least number and twice as many
have half of it, those up to four times as many a sixth, and so on (1 / k(k+1)). Within a doubling, any number of looks
together miss about `_LOOKS` times what one of them does: three to five times at these levels, by chapter IV of
D. Siegmund, "Sequential Analysis" (1985). docs/log.md has a simulation.

What it does not know: requests of one caller are not independent of each other, and traffic may change at the moment
of a promotion for a reason of its own. Therefore the windows are short, it never acts against a person, and never twice
in a row without one. That is read from the journal alone (`held_back`):

- What a person forced is not undone. `mtl promote N --force` promotes a version by force, or confirms the one that is
  champion; moving the alias in MLflow is force too. An approval is not: whoever gives it agrees with the gate, before
  anybody was served.
- Between two automatic rollbacks there is an entry that a person made: a promotion, an approval, a rollback, a moved
  alias, or a confirmation. A promotion by the gate is none: the gate let the version through that users found worse, so
  its word does not show that somebody has looked. A second bad version may then stay champion until somebody comes,
  which is the price: the other rule would let gate and policy take turns for a whole night.
- Only a promotion is undone, never a rollback, whoever made it. What a rollback brought back is not new, and the window
  of the version before it is too old to be compared with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist

from mtl.config.rollback import Measure, RollbackConfig
from mtl.decision import GATE
from mtl.release.journal import Change, Journal
from mtl.traffic.records import ServedCounts

AUTOMATIC = "watch-served"
"""Actor of an automatic rollback."""
_LOOKS = 4
"""As how many independent looks those within a doubling count, however many there are."""
_WORDS: Mapping[Measure, tuple[str, str]] = {
    "errors": ("failed", "texts"),
    "refused": ("were refused", "texts"),
    "malformed": ("were not answered in the task's form", "texts"),
    "unusable": ("were unusable", "checked answers"),
    "bad": ("were called bad", "answers with feedback"),
}


@dataclass(frozen=True, slots=True)
class Tally:
    """`bad` of `n` trials."""

    bad: int
    n: int

    @property
    def share(self) -> float:
        return self.bad / self.n


@dataclass(frozen=True, slots=True)
class Rise:
    """A measure's share of the champion less that of the version before it. low: lower end of its interval."""

    measure: Measure
    champion: Tally
    previous: Tally
    low: float
    margin: float

    @property
    def difference(self) -> float:
        return self.champion.share - self.previous.share

    @property
    def proved(self) -> bool:
        return self.low > self.margin

    def __str__(self) -> str:
        verb, what = _WORDS[self.measure]
        return (
            f"{self.champion.bad} of {self.champion.n} {what} {verb} ({self.champion.share:.1%}), and "
            f"{self.previous.bad} of {self.previous.n} before ({self.previous.share:.1%}): a difference of "
            f"{self.difference:+.1%}, at least {self.low:+.1%}; the margin is {self.margin:.1%}"
        )


@dataclass(frozen=True, slots=True)
class ServedDecision:
    """reasons: sentences; those that decided come first."""

    roll_back: bool
    reasons: tuple[str, ...]


def decide(champion: ServedCounts, previous: ServedCounts, policy: RollbackConfig) -> ServedDecision:
    """Whether the champion serves its users worse than the version before it, and why or why not.

    champion: what it answered since it became champion. previous: what that one answered in its last window.
    """
    for counts in (champion, previous):
        if counts.requests < policy.min_requests:
            short = f"v{counts.version} answered {counts.requests} texts; {policy.min_requests} are needed"
            return ServedDecision(False, (short + ".",))
    rises, unknown = [], []
    for measure, margin in policy.margins.items():
        ours, theirs = tally(champion, measure), tally(previous, measure)
        least = policy.min_judged if measure in ("unusable", "bad") else policy.min_requests
        if min(ours.n, theirs.n) < least:
            unknown.append(f"{measure}: {ours.n} and {theirs.n} {_WORDS[measure][1]}; {least} are needed on each side.")
        else:
            low = lower_end(ours, theirs, level=_level(policy, ours.n / least))
            rises.append(Rise(measure, ours, theirs, low, margin))
    proved = [rise for rise in rises if rise.proved]
    others = [rise for rise in rises if not rise.proved]
    return ServedDecision(bool(proved), (*(f"{rise.measure}: {rise}." for rise in [*proved, *others]), *unknown))


def tally(counts: ServedCounts, measure: Measure) -> Tally:
    """The trials of a measure, and how many of them went wrong."""
    match measure:
        case "errors":
            return Tally(counts.errors, counts.requests)
        case "refused":
            return Tally(counts.refused, counts.requests)
        case "malformed":
            return Tally(counts.malformed, counts.requests)
        case "unusable":
            return Tally(counts.unusable, counts.checked)
        case "bad":
            return Tally(counts.bad, counts.good + counts.bad)


def lower_end(ours: Tally, theirs: Tally, *, level: float) -> float:
    """Lower end of Newcombe's interval of our share less theirs, which misses at most `level` on this side."""
    z = -NormalDist().inv_cdf(level)
    below = ours.share - _wilson(ours, z)[0]
    above = _wilson(theirs, z)[1] - theirs.share
    return ours.share - theirs.share - math.hypot(below, above)


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is compared: the champion, watched from `began` to `over`, and the version that served until `ended`.

    since: from when on the champion's counts are its own as this champion.
    """

    champion: int
    previous: int
    began: datetime
    since: datetime
    ended: datetime
    over: datetime


def watch_of(journal: Journal, policy: RollbackConfig) -> Watch | str:
    """Who is compared with whom; or a sentence that says why nobody is."""
    champion, previous = journal.champion, journal.previous
    if champion is None:
        return "There is no champion yet."
    if previous is None:
        return f"v{champion} is the first champion: there is none to go back to."
    began = _moment(_beginning(journal))
    ended = max(_moment(change) for change in journal.changes if change.replaced == previous != change.version)
    return Watch(champion, previous, began, _since(journal, began), ended, began + timedelta(hours=policy.hours))


def _since(journal: Journal, began: datetime) -> datetime:
    """`began`, or the next full hour: counts are of whole hours, and it may have been champion in that one before."""
    hour = began.replace(minute=0, second=0, microsecond=0)
    left = (change for change in journal.changes if change.replaced == journal.champion != change.version)
    return hour + timedelta(hours=1) if any(_moment(change) >= hour for change in left) else began


def held_back(journal: Journal) -> str | None:
    """Why the champion is not rolled back without a person, whatever it served; None if nothing is in the way."""
    began, head = _beginning(journal), journal.changes[-1]
    if began.kind == "rollback":
        return f"v{journal.champion} came back by a rollback, and only a promotion is undone automatically."
    if began.forced or head is not began:
        how = "promoted by force" if head is began else "confirmed"
        return f"v{journal.champion} was {how} by {head.actor} on {head.at}, and only a person undoes that."
    if last := _unattended(journal):
        return (
            f"v{last.replaced} was rolled back automatically on {last.at}, and no person has promoted, rolled back or "
            "confirmed a version since."
        )
    return None


def champion_entry(journal: Journal) -> int:
    """The number of the entry that made the champion champion, 0 for none; later ones are people who stand for it."""
    return max((seq for seq, change in enumerate(journal.changes, 1) if change.version != change.replaced), default=0)


def _unattended(journal: Journal) -> Change | None:
    """The last automatic rollback, if no person has made an entry since."""
    last = next((change for change in reversed(journal.changes) if not _by_gate(change)), None)
    return last if last and last.actor == AUTOMATIC else None


def _beginning(journal: Journal) -> Change:
    return journal.changes[champion_entry(journal) - 1]


def _by_gate(change: Change) -> bool:
    return change.actor.partition(" ")[0] == GATE


def _moment(change: Change) -> datetime:
    return datetime.fromisoformat(change.at)


def _wilson(tally: Tally, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share."""
    n, share = tally.n, tally.share
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def _level(policy: RollbackConfig, grown: float) -> float:
    """What one measure may miss at this look. grown: its trials as a multiple of the least number."""
    doubling = 1 + int(math.log2(grown))
    return (1 - policy.confidence) / len(policy.margins) / (doubling * (doubling + 1)) / _LOOKS
