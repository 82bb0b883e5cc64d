"""`python -m devstack.fake_slack --port N --deliver-to URL`: a fake Slack as a program.

`GET /` is a page with messages and buttons, `GET /messages` shows what stands, `POST /press` presses a button as somebody,
`PUT /faults` sets what goes wrong.
"""

import argparse

from devstack import web_server
from devstack.fake_slack.server import FakeSlack


def main() -> None:
    """Serve one workspace."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--deliver-to", default="", help="where the app takes deliveries over HTTP; without it, over its socket")
    parser.add_argument("--channel", action="append", default=[], help="the id of a channel that is there")
    parser.add_argument("--user", action="append", default=[], help="the id of somebody who is there")
    parser.add_argument("--viewer", default="", help="the id of who presses on its page")
    given = parser.parse_args()
    fake = FakeSlack(viewer=given.viewer)
    fake.base_url, fake.people.request_url = f"http://127.0.0.1:{given.port}", given.deliver_to
    for channel in given.channel:
        fake.workspace.add_channel(channel)
    for user in given.user:
        fake.workspace.add_user(user)
    web_server.serve(fake.app, given.port)


if __name__ == "__main__":
    main()
