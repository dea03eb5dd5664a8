"""Cloud Custodian (`c7n-azure`), unchanged, at the public cloud's own addresses: it finds exactly what is open. An environment of
its own, so only where tools/conformance.sh was started with --with-custodian."""

import json
import os
import pathlib
import subprocess

import pytest
from simulator import CLIENTS, ML, PLATFORM, resource, shell_lines

CUSTODIAN = os.environ.get("CUSTODIAN")
pytestmark = pytest.mark.skipif(not CUSTODIAN, reason="--with-custodian was not given")

OPEN = [{"type": "value", "key": "properties.publicNetworkAccess", "op": "ne", "value": "Disabled"}]
REGISTRIES = {"type": "resource-type", "values": ["Microsoft.MachineLearningServices/registries"]}
POLICIES = [
    {"name": "storage", "resource": "azure.storage", "filters": OPEN},
    {"name": "storage-by-rules", "resource": "azure.storage", "filters": [{"type": "firewall-rules", "include": ["0.0.0.0/0"]}]},
    {"name": "images", "resource": "azure.container-registry", "filters": OPEN},
    {"name": "registries", "resource": "azure.armresource", "filters": [REGISTRIES]},
    {"name": "open-registries", "resource": "azure.armresource", "filters": [REGISTRIES, *OPEN]},
    {"name": "networks", "resource": "azure.vnet"},
    {"name": "groups", "resource": "azure.resourcegroup"},
]


@pytest.fixture
def found(azure, tmp_path):
    """Runs all policies on a subscription: of each the names of what it found."""
    lines = shell_lines(azure.folder.name, "public-cloud")
    policies = tmp_path / "policies.json"
    policies.write_text(json.dumps({"policies": POLICIES}))

    def run(subscription):
        output = tmp_path / subscription
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AZURE_CLIENT_ID": CLIENTS["owner"],
            "AZURE_CLIENT_SECRET": "owner-secret-of-no-worth",
            "AZURE_SUBSCRIPTION_ID": subscription,
        }
        # Nothing is kept between two runs: the second has to ask again.
        script = f'{lines} exec "{CUSTODIAN}" run --cache-period 0 --output-dir "{output}" "{policies}"'
        done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        read = lambda name: json.loads(pathlib.Path(output, name, "resources.json").read_text())
        return {p["name"]: sorted(r["name"] for r in read(p["name"])) for p in POLICIES}

    return run


def test_it_finds_exactly_what_is_open(azure, found):
    here = found(PLATFORM)
    assert (here["storage"], here["images"]) == (["sandboxdata"], ["sandboximages"])
    assert here["storage-by-rules"] == ["sandboxdata"]
    assert here["networks"] == ["hub", "sandbox", "spoke"] and here["groups"] == ["dns", "network", "sandbox", "us"]
    account = resource("Microsoft.Storage/storageAccounts", "sandboxdata", "sandbox")
    closed = {"publicNetworkAccess": "Disabled", "networkAcls": {"defaultAction": "Deny"}}
    assert azure.arm("PATCH", account, "2025-01-01", {"properties": closed})[0] == 200
    after = found(PLATFORM)
    assert (after["storage"], after["images"]) == ([], ["sandboximages"])


def test_of_a_registry_it_sees_the_accounts_and_not_the_switch(found):
    """It has no resource of its own for registries: the list of all types has their names, and no properties (as in Azure), so
    that an open one and a closed one look alike."""
    there = found(ML)
    assert there["registries"] == there["open-registries"] == ["contosoreg", "groesse"]
    assert len(there["storage"]) == 2 and len(there["images"]) == 2
