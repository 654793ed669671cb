"""Redaction: what identifies a person or opens a door is taken out of a text before it is written anywhere.

    Redaction(hidden=secrets()).text("mail anna@example.org")    ->    'mail [email]'

Patterns find forms, not meanings: a name or a street stays. Each one is linear in the text: what it repeats without a
bound is possessive (`++`) and begins only where a run of such characters begins. Patterns of the user are RE2's, which
is linear whatever they say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mtl.errors import InputError
from mtl.traffic.records import Feedback, ServedAnswer

_SHORTEST_SECRET = 8
_Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_USERINFO = re.compile(
    r"(?<=://)(?:[^/\s@]++@)++|(?<=://)[^/\s@:\[]{1,200}+:(?!\d{1,5}[/?#])[^\s@]{1,200}+@(?:[^/\s@]++@)*+"
)
"""A password with a slash is told from a port and a path by what follows the colon."""
_LOGIN = re.compile(
    r"(?<![\w-])(?P<option>(?:-u|--user|--proxy-user)[ =]\s{0,3}[\"']?)(?!\d{1,10}:\d)[^\s:\"']{1,100}+:[^\s\"']++"
)
_AUTHORIZATION = re.compile(
    r"\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:bearer|basic|token|digest)\s{1,3})?[^\s\"',]++", re.IGNORECASE
)
_BEARER = re.compile(r"\bbearer\s{1,3}(?=[A-Za-z._~+/=-]{0,200}\d)[\w.~+/=-]{12,}+", re.IGNORECASE)
_TOKENS = re.compile(
    r"\b(?:(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|AIPA)[A-Z0-9]{16}\b"
    r"|gh[pousr]_[A-Za-z0-9]{30,}+|github_pat_\w{22,}+|glpat-[\w-]{20,}+"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}+|AIza[\w-]{35}|hf_[A-Za-z0-9]{30,}+|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}+"
    r"|SG\.[\w-]{16,}+\.[\w-]{16,}+|ya29\.[\w-]{20,}+|dckr_[a-z]{3}_[\w-]{20,}+"
    r"|hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]++"
    r"|sk-[\w-]{20,}+|[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}+"
    r"|eyJ[\w-]{8,}+\.[\w-]++\.[\w-]*+)"
)
_ASSIGNED = re.compile(
    r"(?P<strong>password|passwd|passphrase|passcode|pwd)?"
    r"(?(strong)|(?:secret|token|credential|(?:api|access|auth|private|secret|encryption|account|signing)[_ -]?key))"
    r"(?P<set>[\w-]{0,20}[\"']?\s{0,3}[:=]\s{0,3}|\s{1,3}(?:is|was)\s{1,3})"
    r"(?P<value>\"[^\"\n]{1,1024}\"|'[^'\n]{1,1024}'|[^\s\"'&,;]++)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<name>(?<![\w-])x-[\w-]{0,40}(?:key|token|secret|password)[\"']?\s{0,3}[:=]\s{0,3}[\"']?)[^\s\"',]++",
    re.IGNORECASE,
)
_ELEMENT = re.compile(
    r"(?P<tag><[\w:.-]{0,40}(?:password|passwd|passphrase|pwd|secret|token|credential|(?:api|access|private)[_-]?key)"
    r"[\w:.-]{0,40}(?:\s[^<>]{0,200})?>)[^<>]{1,4096}+(?=</)",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]++@[\w-]++(?:\.[\w-]++)++")
_SPACES = " \u00a0\u2007\u2009\u202f"
"""Between the digits of a number; the others are what typesetting makes of a space."""
_IBAN = re.compile(rf"\b(?:[A-Z]{{2}}\d{{2}}(?:[{_SPACES}-]?[A-Z0-9]){{11,30}}|[a-z]{{2}}\d{{2}}[a-z0-9]{{11,30}})")
_CARD = re.compile(
    rf"(?<![\w.])(?:[2-6]\d{{3}}(?:\.\d{{4}}){{3}}|3\d{{3}}\.\d{{6}}\.\d{{5}}|[2-6](?:[{_SPACES}-]?\d){{12,18}})"
)
_SSN = re.compile(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])")
_IP4 = re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\d|\.\d)")
_IP6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4})(?![\w:])")
_PHONE = re.compile(
    rf"(?<![\w.,])(?:\+|00)\d{{1,3}}(?:[{_SPACES}().\/-]{{0,3}}\d){{6,13}}(?!\d)"
    rf"|(?<![\w.,])(?:\(\d{{3}}\)[{_SPACES}]?|\d{{3}}[{_SPACES}.-])\d{{3}}[{_SPACES}.-]\d{{4}}(?![\w-])"
    rf"|(?<![\w.,])0[1-9](?:[{_SPACES}.-]\d\d){{4}}(?![\w.,-]?\d)"
    rf"|(?<![\w.,-])\(?0\d{{1,5}}\)?[{_SPACES}/-]{{1,3}}\d{{3,}}(?:[{_SPACES}/-]\d{{2,8}}){{0,4}}(?![\w.,]?\d)"
)
_LABELLED_PHONE = re.compile(
    r"\b(?P<label>(?:tel|phone|telephone|mobile|cell|fax)(?: (?:no|number))?\.?\s{0,2}:?\s{0,2})"
    rf"(?P<number>\+?\d(?:[{_SPACES}().\/-]{{0,3}}\d){{5,14}})(?!\d)",
    re.IGNORECASE,
)
_BETWEEN = str.maketrans("", "", f"{_SPACES}-.")


class Redaction:
    """What is taken out of texts: the rules of this file, `more` patterns, and `hidden` texts as they stand.

    Errors: InputError for a pattern that RE2 does not take, or that matches an empty text.
    """

    def __init__(self, more: Iterable[str] = (), *, hidden: Iterable[str] = ()) -> None:
        self._more = [_checked(pattern) for pattern in more]
        self._hidden = sorted(hidden, key=len, reverse=True)

    def text(self, text: str) -> str:
        """`text` with placeholders such as [email] where something was."""
        for hidden in self._hidden:
            text = text.replace(hidden, "[secret]")
        for pattern, placeholder in _RULES:
            text = pattern.sub(placeholder, text)
        for own in self._more:
            text = _replaced(text, own)
        return text

    def value(self, value: Any) -> Any:
        """A value of JSON, with every text in it redacted; names of fields stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.value(item) for name, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list | tuple) else value

    def answer(self, answer: ServedAnswer) -> ServedAnswer:
        """As it may be logged."""
        return replace(
            answer,
            text=self.text(answer.text),
            answer=self.text(answer.answer),
            request=self.value(answer.request),
            decoding=self.value(answer.decoding),
        )

    def feedback(self, feedback: Feedback) -> Feedback:
        """As it may be kept."""
        return replace(
            feedback,
            text=self.text(feedback.text),
            answer=self.text(feedback.answer),
            request=self.value(feedback.request),
            correction=self.value(feedback.correction),
        )


def _checked(pattern: str) -> str:
    hint = "the patterns are separated by spaces; their syntax is RE2's (github.com/google/re2/wiki/Syntax)"
    try:
        empty = _replaced("", pattern) != ""
    except pa.ArrowInvalid as error:
        said = f"MTL_TRAFFIC_REDACT: {pattern!r} is no regular expression: {error}"
        raise InputError(said, field="MTL_TRAFFIC_REDACT", hint=hint) from None
    if empty:
        said = f"MTL_TRAFFIC_REDACT: {pattern!r} matches the empty text, and so everywhere"
        raise InputError(said, field="MTL_TRAFFIC_REDACT", hint=hint)
    return pattern


def _replaced(text: str, pattern: str) -> str:
    return str(pc.replace_substring_regex(pa.scalar(text), pattern=pattern, replacement="[redacted]").as_py())


def _always(placeholder: str) -> Callable[[re.Match[str]], str]:
    return lambda found: placeholder


def _assigned(found: re.Match[str]) -> str:
    """A value that is said to be secret. In prose, such as "the secret: a dog", only one that looks like it."""
    value = found["value"]
    prose = "=" not in found["set"] and value[0] not in "\"'" and not (found["strong"] and ":" in found["set"])
    looks = any(map(str.isdigit, value)) and len(value) >= (1 if found["strong"] else _SHORTEST_SECRET)
    if prose and not looks:
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found[0][: found.start('value') - found.start()]}{quote}[secret]{quote}"


def _iban(found: re.Match[str]) -> str:
    return _longest(found[0], 15, _is_iban, "[iban]")


def _card(found: re.Match[str]) -> str:
    return _longest(found[0], 13, _is_card, "[card]")


def _longest(text: str, shortest: int, matches: Callable[[str], bool], placeholder: str) -> str:
    """`text` with its longest valid beginning replaced; what follows a number may look as if it belonged to it."""
    for end in range(len(text), shortest - 1, -1):
        head = text[:end]
        plain = head.translate(_BETWEEN)
        if head[-1].isalnum() and len(plain) >= shortest and not text[end : end + 1].isalnum() and matches(plain):
            return placeholder + text[end:]
    return text


def _is_iban(plain: str) -> bool:
    """ISO 13616: the checksum of the country's letters and digits is 1."""
    turned = (plain[4:] + plain[:4]).upper()
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _is_card(plain: str) -> bool:
    """ISO/IEC 7812: Luhn's sum is a multiple of 10."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(plain))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _ip6(found: re.Match[str]) -> str:
    if not any(map(str.isdigit, found[0])):  # `a::b` is one too
        return found[0]
    try:
        ipaddress.IPv6Address(found[0])
    except ValueError:
        return found[0]
    return "[ip]"


_RULES: tuple[_Rule, ...] = (
    (_KEY_BLOCK, _always("[private key]")),
    (_USERINFO, _always("[credentials]@")),
    (_AUTHORIZATION, _always("[token]")),
    (_BEARER, _always("[token]")),
    (_TOKENS, _always("[token]")),
    (_LOGIN, lambda found: f"{found['option']}[credentials]"),
    (_HEADER, lambda found: f"{found['name']}[secret]"),
    (_ELEMENT, lambda found: f"{found['tag']}[secret]"),
    (_ASSIGNED, _assigned),
    (_EMAIL, _always("[email]")),
    (_IBAN, _iban),
    (_CARD, _card),
    (_SSN, _always("[ssn]")),
    (_IP4, _always("[ip]")),
    (_IP6, _ip6),
    (_LABELLED_PHONE, lambda found: f"{found['label']}[phone]"),
    (_PHONE, _always("[phone]")),
)
"""In this order: what one takes out, no later one sees."""
