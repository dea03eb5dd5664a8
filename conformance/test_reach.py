"""Every path that the official clients can ask for: served, or refused in the simulator's own name. Never in Azure's words as
if it were not there, which a client would take for a fact."""

import collections
import http.client
import importlib.util
import json
import pathlib
import re
import urllib.parse

import pytest
from simulator import PLATFORM

CLIENTS = [
    "authorization",
    "containerregistry",
    "loganalytics",
    "machinelearningservices",
    "monitor",
    "network",
    "privatedns",
    "resource",
    "resourcegraph",
    "storage",
]


NAMES = {
    "scope": f"subscriptions/{PLATFORM}",
    "resourceUri": f"subscriptions/{PLATFORM}",
    "subscriptionId": PLATFORM,
    "recordType": "A",
    "resourceProviderNamespace": "Microsoft.Network",
    "parentResourcePath": "",
    "resourceType": "virtualNetworks",
}


def filled(template):
    """A path with names; none where all of it is one id that the caller brings."""
    if re.match(r"/{(?!scope|resourceUri)[^}]+}", template):
        return None
    return re.sub(r"{([^}]+)}", lambda name: NAMES.get(name[1], "x"), template)


def paths():
    """Of each type one path, its names filled in, and the client that asks for it."""
    found = collections.OrderedDict()
    for client in CLIENTS:
        folder = pathlib.Path(importlib.util.find_spec(f"azure.mgmt.{client}").submodule_search_locations[0])
        for source in sorted(folder.rglob("*operations*/*.py")):
            for template in re.findall(r'"(/[^"]+)"', source.read_text()):
                path = filled(template.replace("%2F", "/"))
                if path is None:
                    continue
                words = path.rsplit("/providers/", 1)[-1].split("/")
                kind = "/".join(words[:1] + words[1::2]).lower() if "/providers/" in path else path
                found.setdefault(kind, (path, client))
    return found


def test_no_path_of_a_client_is_told_never_to_have_been(azure):
    connection = http.client.HTTPSConnection(urllib.parse.urlsplit(azure.base).netloc, context=azure.tls)
    headers = {"Authorization": f"Bearer {azure.token()}"}
    wrong, asked = [], paths()
    assert len(asked) > 600
    for path, client in asked.values():
        # No version fits all of them; a version that a served type never had is refused only once its type is known.
        connection.request("GET", f"{path}?api-version=2024-05-01", headers=headers)
        answer = connection.getresponse()
        body = json.loads(answer.read() or b"null") or {}
        code = body.get("error", {}).get("code")
        if answer.status >= 500 and code != "NotModelledByAzureSim":
            wrong.append((client, path, answer.status))
        if code in ("InvalidResourceType", "InvalidResourceNamespace", "NotFound", "MissingSubscription"):
            wrong.append((client, path, code))
    assert not wrong, "\n".join(map(str, wrong))
