"""The guide's things, typed with `az` where the built operator runs: after it, beside it, before it. The world is that of
`make demo`, kept up: kube-apiserver, operator, agents, azure-sim. Only where tools/conformance.sh was started with --with-az
and the programs and the control plane are there."""

import collections
import json
import os
import pathlib
import signal
import ssl
import subprocess
import time
import urllib.request

import pytest
from azure_cli import AZ, Az
from simulator import resource

DEMO = os.environ.get("SREG_DEMO")
pytestmark = pytest.mark.skipif(not (AZ and DEMO), reason="--with-az was not given")

REPOSITORY = pathlib.Path(__file__).parent.parent
OBJECT = ["sreg/contoso-models", "--namespace", "ml-platform"]
ZONE_OF_GROUP = {
    "amlregistry": "privatelink.api.azureml.ms",
    "blob": "privatelink.blob.core.windows.net",
    "registry": "privatelink.azurecr.io",
}
ZONES = list(ZONE_OF_GROUP.values())
PATIENCE = 180


def eventually(what, holds):
    """Waits until `holds` answers something true; what it answered last is told if it never does."""
    end = time.monotonic() + PATIENCE
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: {found!r} after {PATIENCE} s"
        time.sleep(0.5)


class World:
    """`KEEP=1 sreg-demo`, locked."""

    def __init__(self):
        self.lines = []
        self.process = subprocess.Popen([DEMO], env={**os.environ, "KEEP": "1"}, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        environment = None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.strip().startswith(". ") and line.strip().endswith("/environment"):
                environment = pathlib.Path(line.strip()[2:])
                break
        assert environment, "the demo did not stay:\n" + "".join(self.lines)
        self.folder = environment.parent
        exports = [line.removeprefix("export ") for line in environment.read_text().splitlines()]
        self.environment = dict(line.split("=", 1) for line in exports)
        self.environment["PATH"] = self.environment["PATH"].replace("$PATH", os.environ["PATH"])
        # kubectl keeps what it discovers below it.
        self.environment["HOME"] = str(self.folder)
        told = json.loads((self.folder / "azure-sim.json").read_text())
        self.arm, self.ca = told["armEndpoint"], told["caFile"]

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)

    def kubectl(self, *words):
        done = subprocess.run(["kubectl", *words], env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def state(self):
        found = self.kubectl("get", *OBJECT, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].reason}")
        return found.strip()

    def journal(self, since):
        tls = ssl.create_default_context(cafile=self.ca)
        with urllib.request.urlopen(f"{self.arm}/_sim/journal?since={since}", context=tls) as got:
            return json.loads(got.read())

    def writes(self, since):
        """Writes to ARM above a sequence number: verb and path."""
        records = self.journal(since)["records"]
        return [(r["method"], r["path"].split("?")[0]) for r in records if r["what"] == "request" and r["write"]]


@pytest.fixture(scope="module")
def world():
    world = World()
    yield world
    world.close()


@pytest.fixture(scope="module")
def az(world, tmp_path_factory):
    client = "0c000000-0000-4000-8000-000000000001"
    return Az(world.folder, world.ca, tmp_path_factory.mktemp("az"), client, "demo-secret-of-no-worth", "platform")


def own_endpoints(az):
    found = az("network", "private-endpoint", "list", "--resource-group", "network")
    return [e for e in found if "secureregistry-owner" in (e["tags"] or {})]


def targets(endpoints):
    return sorted(e["privateLinkServiceConnections"][0]["privateLinkServiceId"] for e in endpoints)


def access(az, kind):
    """Public access of the target of this kind, as `az` sees it."""
    target = next(t for t in targets(own_endpoints(az)) if kind in t)
    version = {"MachineLearning": "2025-12-01", "Storage": "2025-01-01", "ContainerRegistry": "2025-11-01"}[kind]
    return az("resource", "show", "--ids", target, "--api-version", version)["properties"]["publicNetworkAccess"]


def test_after_the_operator_az_sees_what_it_made(world, az):
    endpoints = own_endpoints(az)
    states = [e["privateLinkServiceConnections"][0]["privateLinkServiceConnectionState"]["status"] for e in endpoints]
    assert states == ["Approved"] * 3 and {e["provisioningState"] for e in endpoints} == {"Succeeded"}
    for endpoint in endpoints:
        groups = az(
            "network", "private-endpoint", "dns-zone-group", "list", "--resource-group", "network",
            "--endpoint-name", endpoint["name"],
        )  # fmt: skip
        assert [g["provisioningState"] for g in groups] == ["Succeeded"]
    for zone in ZONES:
        records = az("network", "private-dns", "record-set", "a", "list", "--resource-group", "dns", "--zone-name", zone)
        links = az("network", "private-dns", "link", "vnet", "list", "--resource-group", "dns", "--zone-name", zone)
        assert records and {link["virtualNetworkLinkState"] for link in links} == {"Completed"} and len(links) == 2
    for kind in ["MachineLearning", "Storage", "ContainerRegistry"]:
        assert access(az, kind) == "Disabled", kind


def test_beside_the_operator_what_az_breaks_is_mended_and_what_az_adds_is_left_alone(world, az):
    endpoints = own_endpoints(az)
    blob = next(e for e in endpoints if "-blob-" in e["name"])
    storage = next(t for t in targets(endpoints) if "storageAccounts" in t)
    sandbox = az("storage", "account", "list", "--query", "[?name=='sandboxdata'].id | [0]")
    az(
        "network", "private-endpoint", "create", "--resource-group", "network", "--vnet-name", "hub",
        "--subnet", "endpoints", "--name", "by-hand", "--connection-name", "by-hand",
        "--private-connection-resource-id", sandbox, "--group-id", "blob",
    )  # fmt: skip
    added = az("network", "private-endpoint", "show", "--resource-group", "network", "--name", "by-hand")
    # Open by switch and by firewall: either of them alone leaves it closed (decision 0003).
    az("storage", "account", "update", "--ids", storage, "--public-network-access", "Enabled", "--default-action", "Allow")
    eventually("storage is closed again", lambda: access(az, "Storage") == "Disabled")
    az("network", "private-endpoint", "delete", "--ids", blob["id"])
    eventually("the endpoint is made again", lambda: targets(own_endpoints(az)) == targets(endpoints))
    eventually("all is proven again", lambda: world.state() == "Locked")
    assert az("network", "private-endpoint", "show", "--resource-group", "network", "--name", "by-hand") == added


def test_before_the_operator_what_az_made_is_adopted_and_nothing_of_it_is_written(world, az):
    """The object goes and leaves Azure as it is. Somebody makes everything anew by `az`, as the operator would."""
    endpoints = own_endpoints(az)
    links = collections.defaultdict(list)
    for zone in ZONES:
        links[zone] = az("network", "private-dns", "link", "vnet", "list", "--resource-group", "dns", "--zone-name", zone)
    world.kubectl("delete", *OBJECT, "--timeout=120s")
    tags = ["--tags", f"secureregistry-owner={endpoints[0]['tags']['secureregistry-owner']}"]
    platform = endpoints[0]["id"].split("/")[2]
    for endpoint in endpoints:
        az("network", "private-endpoint", "delete", "--ids", endpoint["id"])
    for zone in ZONES:
        in_zone = ["--resource-group", "dns", "--zone-name", zone]
        for link in links[zone]:
            az("network", "private-dns", "link", "vnet", "delete", *in_zone, "--name", link["name"], "--yes")
        az("network", "private-dns", "zone", "delete", "--resource-group", "dns", "--name", zone, "--yes")
        az("network", "private-dns", "zone", "create", "--resource-group", "dns", "--name", zone, *tags)
        for link in links[zone]:
            az(
                "network", "private-dns", "link", "vnet", "create", *in_zone, "--name", link["name"],
                "--virtual-network", link["virtualNetwork"]["id"], "--registration-enabled", "false", *tags,
            )  # fmt: skip
    for endpoint in endpoints:
        connection = endpoint["privateLinkServiceConnections"][0]
        az(
            "network", "private-endpoint", "create", "--resource-group", "network", "--vnet-name", "hub",
            "--subnet", "endpoints", "--name", endpoint["name"], "--connection-name", connection["name"],
            "--private-connection-resource-id", connection["privateLinkServiceId"],
            "--group-id", connection["groupIds"][0], *tags,
        )  # fmt: skip
        zone = ZONE_OF_GROUP[connection["groupIds"][0]]
        az(
            "network", "private-endpoint", "dns-zone-group", "create", "--resource-group", "network",
            "--endpoint-name", endpoint["name"], "--name", "secureregistry", "--zone-name", zone.replace(".", "-"),
            "--private-dns-zone", resource("Microsoft.Network/privateDnsZones", zone, "dns", platform),
        )  # fmt: skip
    mark = world.journal(0)["last"]
    world.kubectl("apply", "--filename", str(REPOSITORY / "examples/demo/secureregistry.yaml"))
    eventually("what az made is proven", lambda: world.state() == "Locked")
    made = [w for w in world.writes(mark) if "/microsoft.network/" in w[1].lower()]
    assert made == []
