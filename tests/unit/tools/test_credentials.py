"""How a secret is shown to a service, and in which forms it must not come back."""

from tools.executors.credentials import Auth


def test_a_login_is_struck_out_whole_in_base64_and_by_its_password() -> None:
    auth = Auth(basic="LOGIN")
    assert auth.sent({"LOGIN": "ann:hunter2"}) == {"LOGIN in base64": "YW5uOmh1bnRlcjI=", "LOGIN's password": "hunter2"}
    assert auth.sent({"LOGIN": "ann:a:b:c"})["LOGIN's password"] == "a:b:c"


def test_a_password_too_short_to_be_told_from_other_text_is_struck_with_its_user_only() -> None:
    assert list(Auth(basic="LOGIN").sent({"LOGIN": "ann:123"})) == ["LOGIN in base64"]
    assert list(Auth(basic="LOGIN").sent({"LOGIN": "ann"})) == ["LOGIN in base64"]


def test_other_ways_show_the_secret_as_it_is() -> None:
    assert Auth(bearer="TOKEN").sent({"TOKEN": "s3cret"}) == {} and Auth(basic="LOGIN").sent({}) == {}
