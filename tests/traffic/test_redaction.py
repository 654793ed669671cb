"""What identifies a person or opens a door is taken out, what only looks like it stays, and no text takes long."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from mtl.errors import InputError
from mtl.traffic.redaction import Redaction
from tests.traffic.test_store import ANSWER, FEEDBACK

REDACTION = Redaction()
_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nAAAA\n-----END RSA PRIVATE KEY-----"
_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to anna.b+x@mail.example.org.", "Write to [email]."),
        ("<jörg@bücher.example>", "<[email]>"),
        ("x" * 70 + "@example.org", "[email]"),
        ("Call +49 (0)151 234-567 89, please.", "Call [phone], please."),
        ("Call 0049 30 901820.", "Call [phone]."),
        ("Call (555) 123-4567 or 555-123-4567.", "Call [phone] or [phone]."),
        ("Call 030 / 901 8200.", "Call [phone]."),
        ("Tel.: 5551234", "Tel.: [phone]"),
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF", "IBAN [iban] BIC COBADEFF"),
        ("GB82WEST12345698765432", "[iban]"),
        ("gb82west12345698765432", "[iban]"),
        ("Card 4111 1111 1111 1111 12/27", "Card [card] 12/27"),
        ("378282246310005", "[card]"),
        ("From 192.168.10.254, port 80.", "From [ip], port 80."),
        ("From 2001:db8::8a2e:370:7334 and ::1.", "From [ip] and [ip]."),
        ("AKIAIOSFODNN7EXAMPLE", "[token]"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [secret]"),
        (f"token {'ghp_' + 'a1B2' * 9}", "token [token]"),
        ("Authorization: Bearer abc.def-123", "[token]"),
        ("authorization: Basic dXNlcjpwYXNz", "[token]"),
        ("with bearer 0123456789abcdef", "with [token]"),
        (f"jwt {_JWT}", "jwt [token]"),
        ("sk-proj-abcdefghij0123456789", "[token]"),
        (f"before {_KEY} after", "before [private key] after"),
        ("cut -----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", "cut [private key]"),
        ("password=hunter", "password=[secret]"),
        ("PASSWORD: hunter", "PASSWORD: [secret]"),
        ('{"password": "two words"}', '{"password": "[secret]"}'),
        ("the password is hunter2", "the password is [secret]"),
        ("?api_key=abcdef&x=1", "?api_key=[secret]&x=1"),
        ("api-key: a1b2c3d4e5", "api-key: [secret]"),
        ("https://user:pa@ss@example.org/x", "https://[credentials]@example.org/x"),
        ("postgres://user:pa/ss@host/db", "postgres://[credentials]@host/db"),
        ("Card 4111\u00a01111\u202f1111\u20091111 12/27", "Card [card] 12/27"),
        ("Card 4111.1111.1111.1111.", "Card [card]."),
        ("IBAN DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "IBAN [iban]"),
        ("Call +49\u00a0170\u00a01234567.", "Call [phone]."),
        ("Appelez le 06 12 34 56 78 ou 01.23.45.67.89.", "Appelez le [phone] ou [phone]."),
        ("SSN 123-45-6789.", "SSN [ssn]."),
        ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX now", "https://[token] now"),
        (f"SG.{'a1_B' * 6}.{'c2-D' * 10}", "[token]"),
        (f"ya29.{'a0Af-' * 9}", "[token]"),
        (f"dckr_pat_{'a1B2' * 7}", "[token]"),
        ("curl -u anna:correct https://example.org", "curl -u [credentials] https://example.org"),
        ("curl --user='anna:two'", "curl --user='[credentials]'"),
        (
            '<password>hunter</password><db:Password x="1">a b</db:Password>',
            '<password>[secret]</password><db:Password x="1">[secret]</db:Password>',
        ),
        ("X-Api-Key: correcthorse", "X-Api-Key: [secret]"),
        ('"x-auth-token": "correct"', '"x-auth-token": "[secret]"'),
    ],
)
def test_taken_out(text: str, redacted: str) -> None:
    assert REDACTION.text(text) == redacted
    assert REDACTION.text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "In 1990-2000, about 1,234,567 people in 12 towns paid 3.50 each.",
        "At 12:30:45 the ratio was 3:2, see section 4.1.2 and pages 100-1234.",
        "Flight MH17 crashed near the border; ISBN 978-3-16-148410-0.",
        "The secret: nobody knew it. The key is under the mat. The password is required.",
        "The secret was 12 years old.",
        "std::move and a::b; @home @anna; 4 + 4 = 8",
        "He is a bearer of certificates. The basic understanding of tokens: none.",
        "On 2026-01-31, 10:15, room 0815, 1234 5678 9012 3456 is no card.",
        "Version 1.2.3 of 10.000.000 lines",
        "http://localhost:8080/@anna/notes and http://[2001:db8:fe]:80/@anna",
        "docker run -u 1000:1000; sort -u a; the ratio 3.1415926535897932 and 2.718281828459045",
        "On 01-02-2003 and 12.03.2004; ISBN 0-306-40615-2; part 123-45-67890; <p>password</p>",
        "An x-ray: clear. The X-Files: nine seasons. <token>",
    ],
)
def test_left_alone(text: str) -> None:
    assert REDACTION.text(text) == text


HOSTILE = (
    *("a", "a.", "a@", "@", "a@b", "1", "1 ", "1-", "4111 ", "+1", "0", "0 1", "00", "(0", ":", "a:", "::", "f", "1."),
    *("://", "://a@", "eyJ", "eyJaaaaaaaa.", "a-", "A", "DE89 ", "DE89", "AKIA", "bearer ", "bearer a", "tel ", "tel:"),
    *("password", "password=", "password='", 'token="', "token is ", "secret ", "api_key", "authorization: "),
    *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN A A A A ", "sk-", "xoxb-", "ghp_", "\n", " ", "\\"),
    *(
        "://a:",
        "://a:b",
        "-u ",
        "-u a:",
        "-u a",
        "x-",
        "x-key",
        "x-key: ",
        "<",
        "<a",
        "<password>",
        "<password",
        "<token x",
    ),
    *(
        "SG.",
        "SG.aaaaaaaaaaaaaaaa.",
        "hooks.slack.com/services/",
        "06 ",
        "06 12",
        "4111.",
        "123-45-",
        "4\u00a0",
        "+1\u00a0",
    ),
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_no_longer_than_plain_text(piece: str) -> None:
    assert _seconds(piece, 32 << 10) < 0.3, "a quadratic pattern takes a second and more"


@pytest.mark.slow
def test_two_megabytes_of_hostile_text() -> None:
    """What the server takes at most (MTL_SERVE_MAX_BODY is 8 MiB, a text of it 2 million characters)."""
    seconds = {piece: _seconds(piece, 2 << 20) for piece in HOSTILE[::4]}
    assert max(seconds.values()) < 10, seconds


def _seconds(piece: str, size: int) -> float:
    text = piece * (size // len(piece))
    began = time.process_time()
    REDACTION.text(text)
    return time.process_time() - began


def test_every_text_of_a_record_and_no_name_of_a_field() -> None:
    secret = "a password=hunter2 of anna@example.org"
    clean = "a password=[secret] of [email]"
    answer = replace(ANSWER, text=secret, answer=secret, request={"kind": secret, "easy": 1}, decoding={"x": [secret]})
    assert REDACTION.answer(answer) == replace(
        answer, text=clean, answer=clean, request={"kind": clean, "easy": 1}, decoding={"x": [clean]}
    )
    feedback = replace(FEEDBACK, text=secret, answer=secret, correction={"question": secret, "options": [secret] * 4})
    kept = REDACTION.feedback(feedback)
    assert (kept.text, kept.answer) == (clean, clean)
    assert kept.correction == {"question": clean, "options": [clean] * 4}
    assert REDACTION.feedback(replace(FEEDBACK, correction=secret)).correction == clean


def test_values_of_secret_settings_and_own_patterns() -> None:
    redaction = Redaction([r"EMP-\d+", r"(?i)project\sx"], hidden=["correct horse", "correct horse battery"])
    text = "EMP-12345 of Project X said: correct horse battery, correct horse"
    assert redaction.text(text) == "[redacted] of [redacted] said: [secret], [secret]"


@pytest.mark.parametrize(("pattern", "said"), [("(", "no regular expression"), ("a*", "matches the empty text")])
def test_a_pattern_that_cannot_be_used(pattern: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Redaction([pattern])
    assert caught.value.field == "MTL_TRAFFIC_REDACT"


def test_an_own_pattern_that_would_take_for_ever_elsewhere() -> None:
    began = time.process_time()
    Redaction([r"(a+)+$"]).text("a" * 200_000 + "b")
    assert time.process_time() - began < 2
