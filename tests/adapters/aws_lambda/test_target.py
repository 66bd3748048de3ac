"""What may be written for a Lambda function, and what each form means or is refused with."""

from __future__ import annotations

import pytest

from steadfaas.errors import BadRequest
from steadfaas_adapters.aws_lambda import target
from steadfaas_adapters.aws_lambda.target import Kind

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:greeter"

TAKEN = [
    # Version ARNs: what they mean never changes.
    (f"{FUNCTION}:7", Kind.VERSION, "7", FUNCTION),
    (f"{FUNCTION}:184467", Kind.VERSION, "184467", FUNCTION),
    (f"lambda:{FUNCTION}:7", Kind.VERSION, "7", FUNCTION),
    ("arn:aws-cn:lambda:cn-north-1:123456789012:function:a-B_9:1", Kind.VERSION, "1", None),
    ("arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f:1", Kind.VERSION, "1", None),
    ("arn:aws-iso-b:lambda:us-isob-east-1:123456789012:function:f:1", Kind.VERSION, "1", None),
    ("arn:aws-eusc:lambda:eusc-de-east-1:123456789012:function:f:1", Kind.VERSION, "1", None),
    # Partial ARNs and names: account and region come from the settings.
    ("123456789012:function:greeter:7", Kind.VERSION, "7", "123456789012:function:greeter"),
    ("lambda:123456789012:function:greeter:7", Kind.VERSION, "7", "123456789012:function:greeter"),
    ("lambda:123456789012:greeter:7", Kind.VERSION, "7", "123456789012:function:greeter"),
    ("lambda:greeter:7", Kind.VERSION, "7", "greeter"),
    ("lambda:greeter@7", Kind.VERSION, "7", "greeter"),
    ("lambda:function:greeter:7", Kind.VERSION, "7", "greeter"),
    # Looked up now, because `lambda:` says so.
    ("lambda:greeter", Kind.NEWEST, "", "greeter"),
    ("lambda:123456789012:function:greeter", Kind.NEWEST, "", "123456789012:function:greeter"),
    (f"lambda:{FUNCTION}", Kind.NEWEST, "", FUNCTION),
    ("lambda:greeter@live", Kind.ALIAS, "live", "greeter"),
    ("lambda:greeter:live", Kind.ALIAS, "live", "greeter"),
    ("lambda:greeter@7a", Kind.ALIAS, "7a", "greeter"),
    (f"lambda:{FUNCTION}@live", Kind.ALIAS, "live", FUNCTION),
    (f"lambda:{FUNCTION}:live", Kind.ALIAS, "live", FUNCTION),
]

REFUSED = [
    # Mutable forms: the sentence says what to write.
    (FUNCTION, f"Write 'lambda:{FUNCTION}' to register its newest published version"),
    (f"{FUNCTION}:live", f"Write 'lambda:{FUNCTION}@live' to register the version"),
    (f"{FUNCTION}:$LATEST", "for development only, run the engine with 'steadfaas up --dev'"),
    (f"{FUNCTION}:$LATEST.PUBLISHED", f"Write 'lambda:{FUNCTION}' to register the version that"),
    ("lambda:greeter@$LATEST", "'lambda:greeter' with --publish does both"),
    ("lambda:greeter:$LATEST", "Publish a version and register that"),
    ("lambda:greeter@$LATEST.PUBLISHED", "moves with every publish"),
    ("123456789012:function:greeter", "Write 'lambda:123456789012:function:greeter'"),
    ("123456789012:function:greeter:live", "Write 'lambda:123456789012:function:greeter@live'"),
    ("https://abc123.lambda-url.eu-central-1.on.aws/", "Write the function's name"),
    ("https://abc123.lambda-url.eu-central-1.on.aws", "is a function URL"),
    ("HTTPS://abc123.Lambda-URL.eu-central-1.on.aws/x", "is a function URL"),
    # No targets at all.
    ("lambda:", "is not a Lambda target"),
    ("lambda:a b", "is not a Lambda target"),
    ("lambda:greeter@", "is not a Lambda target"),
    ("lambda:greeter@li ve", "is not a Lambda target"),
    ("lambda:greeter@live@live", "is not a Lambda target"),
    ("lambda:gréeter", "is not a Lambda target"),
    ("lambda:greeter\n", "is not a Lambda target"),
    ("Lambda:greeter", "is not a Lambda target"),
    ("lambda:greeter@007", "those start at 1"),
    ("lambda:greeter@0", "those start at 1"),
    (f"{FUNCTION}:", "is not a Lambda target"),
    (f"{FUNCTION}:7:8", "is not a Lambda target"),
    (f"{FUNCTION}:\u0667", "is not a Lambda target"),
    (f"{FUNCTION}:7 ", "is not a Lambda target"),
    ("arn:aws:lambda:eu-central-1:1:function:greeter:7", "is not a Lambda target"),
    ("arn:aws:lambda:nowhere:123456789012:function:greeter:7", "is not a Lambda target"),
    ("arn:aws:lambda:eu-central-1:123456789012:layer:greeter:7", "is not a Lambda target"),
    ("ARN:AWS:LAMBDA:eu-central-1:123456789012:function:greeter:7", "is not a Lambda target"),
    ("lambda:arn:aws:s3:::bucket", "is not a Lambda target"),
    (f"lambda:{'n' * 600}", "512 characters at most"),
]


@pytest.mark.parametrize(("written", "kind", "qualifier", "function"), TAKEN)
def test_what_is_taken(written: str, kind: Kind, qualifier: str, function: str | None) -> None:
    assert target.claims(written)
    found = target.parse(written)
    assert (found.kind, found.qualifier) == (kind, qualifier)
    if function is not None:
        assert found.function == function
    if kind is Kind.VERSION and found.region is not None:
        assert found.arn == written.removeprefix("lambda:")


@pytest.mark.parametrize(("written", "words"), REFUSED)
def test_what_is_refused_says_what_to_write(written: str, words: str) -> None:
    assert target.claims(written)
    with pytest.raises(BadRequest) as refused:
        target.parse(written)
    assert words in refused.value.message


@pytest.mark.parametrize(
    "written",
    [
        "http://127.0.0.1:9080",
        "https://lambda.example/",
        "https://abc.lambda-urls.example/",
        "arn:aws:s3:::bucket",
        "vercel:acme/shop",
        "greeter",
        "12345:function:greeter:7",
        "",
    ],
)
def test_what_is_none_of_ours(written: str) -> None:
    assert not target.claims(written)


@pytest.mark.parametrize(
    "written", [f"{FUNCTION}:$LATEST", f"lambda:{FUNCTION}@$LATEST", "lambda:greeter@$LATEST"]
)
def test_the_unpublished_code_is_for_development_only(written: str) -> None:
    found = target.parse(written, dev=True)
    assert found.kind is Kind.LATEST
    assert found.arn == (f"{FUNCTION}:$LATEST" if FUNCTION in written else None)
    with pytest.raises(BadRequest):
        target.parse(written)


def test_development_makes_nothing_else_immutable() -> None:
    for written in (FUNCTION, f"{FUNCTION}:live", f"{FUNCTION}:$LATEST.PUBLISHED"):
        with pytest.raises(BadRequest):
            target.parse(written, dev=True)
