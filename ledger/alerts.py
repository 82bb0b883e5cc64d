"""Alerts: what somebody has to be told who was not asked. Broken glass, reviews that nobody does, reviewers who may not read."""

from dataclasses import dataclass

from database import Tx
from ledger import numbers, reviews
from ledger.directory import Person
from ledger.numbers import Reviewer
from ledger.reviews import Review

TIME = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``id`` is the same for as long as it is the same alert; ``subject`` says what it is about.

    people: whom it is about, and groups: whose business it is; none is the admins'. text: plain, and partly others' words.
    """

    id: str
    subject: str
    text: str
    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    request: str = ""

    def concerns(self, person: Person) -> bool:
        """Whether a person should be shown it: an admin, or one of its groups who is not whom it is about."""
        if person.id in (name.casefold() for name in self.people):
            return False
        return person.at_least("admin") or not person.groups.isdisjoint(self.groups)


async def glass(tx: Tx) -> list[Alert]:
    """Return what stands of broken glass, the most urgent first: an alert each, and one more for each day that a review is late."""
    return [_of_review(review) for review in await reviews.waiting(tx)]


async def reviewers(tx: Tx) -> list[Alert]:
    """Return who may not read what they approve."""
    return [_of_reviewer(reviewer) for reviewer in await numbers.doubtful(tx)]


def _of_review(review: Review) -> Alert:
    who, what = " and ".join(review.people), f"{review.tool} ({review.step} of {review.workflow_id})"
    task = f'somebody else reviews it: `starter.py review {review.request} --note "…"`'
    if review.days_late:
        id, text = f"late/{review.request}/{review.days_late}", f"A review is overdue since {review.due_at:{TIME}}: "
        text += f"{who} broke the glass for {what}; {task}"
    else:
        id, text = f"glass/{review.request}", f"The glass was broken: {who} let {what} through against its stages; "
        text += f"by {review.due_at:{TIME}} {task}"
    return Alert(id, f"review/{review.request}", text, tuple(review.people), tuple(review.groups), review.request)


def _of_reviewer(one: Reviewer) -> Alert:
    text = f"{one.person} may not read what they approve: {one.person} {' and '.join(one.why)}, in {', '.join(one.automations)}"
    return Alert(f"reviewer/{one.person}", f"reviewer/{one.person}", text, (one.person,))
