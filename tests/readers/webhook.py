"""Verifies a webhook with the package of Standard Webhooks: with the right keys, a wrong one, and a changed body."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError


def is_good(key, body, headers):
    try:
        Webhook(key).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


with open(sys.argv[1]) as file:
    sent = json.load(file)
body, headers, keys = sent['body'], sent['headers'], sent['keys']
print(json.dumps({
    'good': sum(is_good(key, body, headers) for key in keys['good']),
    'bad': int(is_good(keys['bad'], body, headers)),
    'changed': sum(is_good(key, body + ' ', headers) for key in keys['good']),
}))
