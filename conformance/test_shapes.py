"""Each answer beside its client's model. What differs and is not in shapes.txt, with its reason, fails; so does a line
there that no longer differs."""

import pathlib

import pytest
import shapes
from azure.ai.ml._restclient.arm_ml_service import models as ml
from azure.mgmt.authorization.v2022_04_01 import models as authorization
from azure.mgmt.containerregistry import models as images
from azure.mgmt.loganalytics import models as logs
from azure.mgmt.network import models as network
from azure.mgmt.privatedns import models as dns
from azure.mgmt.resource.resources import models as resources
from azure.mgmt.resource.subscriptions import models as subscriptions
from azure.mgmt.storage import models as storage
from simulator import ML, PLATFORM, group, resource

HUB = resource("Microsoft.Network/virtualNetworks", "hub", "network")
ZONE = resource("Microsoft.Network/privateDnsZones", "privatelink.blob.core.windows.net", "sandbox")
ENDPOINT = resource("Microsoft.Network/privateEndpoints", "sandboxdata-blob", "sandbox")
STORAGE = resource("Microsoft.Storage/storageAccounts", "sandboxdata", "sandbox")
IMAGES = resource("Microsoft.ContainerRegistry/registries", "sandboximages", "sandbox")
REGISTRY = resource("Microsoft.MachineLearningServices/registries", "contosoreg", "ml", ML)
SUBSCRIPTION = f"/subscriptions/{PLATFORM}"

READ = [
    (network.VirtualNetwork, HUB, "2026-03-01"),
    (network.Subnet, f"{HUB}/subnets", "2026-03-01"),
    (network.VirtualNetworkPeering, f"{HUB}/virtualNetworkPeerings", "2026-03-01"),
    (network.PrivateEndpoint, ENDPOINT, "2026-03-01"),
    (network.PrivateDnsZoneGroup, f"{ENDPOINT}/privateDnsZoneGroups", "2026-01-01"),
    (network.NetworkInterface, f"{group('sandbox')}/providers/Microsoft.Network/networkInterfaces", "2026-03-01"),
    (dns.PrivateZone, ZONE, "2024-06-01"),
    (dns.VirtualNetworkLink, f"{ZONE}/virtualNetworkLinks", "2024-06-01"),
    (dns.RecordSet, f"{ZONE}/ALL", "2024-06-01"),
    (storage.StorageAccount, STORAGE, "2026-09-01"),
    (storage.PrivateEndpointConnection, f"{STORAGE}/privateEndpointConnections", "2026-09-01"),
    (storage.PrivateLinkResource, f"{STORAGE}/privateLinkResources", "2026-09-01"),
    (storage.BlobServiceProperties, f"{STORAGE}/blobServices/default", "2026-09-01"),
    (images.Registry, IMAGES, "2025-11-01"),
    (images.Replication, f"{IMAGES}/replications", "2025-11-01"),
    (images.PrivateLinkResource, f"{IMAGES}/privateLinkResources", "2025-11-01"),
    (ml.Registry, REGISTRY, "2025-12-01"),
    (resources.ResourceGroup, group("network"), "2025-04-01"),
    (resources.GenericResourceExpanded, f"{SUBSCRIPTION}/resources", "2025-04-01"),
    (resources.Provider, f"{SUBSCRIPTION}/providers", "2025-04-01"),
    (resources.TagsResource, f"{HUB}/providers/Microsoft.Resources/tags/default", "2025-04-01"),
    (subscriptions.Subscription, SUBSCRIPTION, "2022-12-01"),
    (subscriptions.TenantIdDescription, "/tenants", "2022-12-01"),
    (subscriptions.Location, f"{SUBSCRIPTION}/locations", "2022-12-01"),
    (
        authorization.RoleAssignment,
        f"{group('network')}/providers/Microsoft.Authorization/roleAssignments",
        "2022-04-01",
    ),
    (
        authorization.RoleDefinition,
        f"{group('network')}/providers/Microsoft.Authorization/roleDefinitions",
        "2022-04-01",
    ),
    (logs.Workspace, resource("Microsoft.OperationalInsights/workspaces", "logs", "network"), "2025-07-01"),
]


def allowed():
    """Lines of shapes.txt, each `Model.unknown key: reason` or `Model.missing key: reason`."""
    lines = {}
    for line in pathlib.Path(__file__).with_name("shapes.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            what, _, reason = line.partition(": ")
            assert reason.strip(), f"{what} has no reason"
            lines[what] = reason
    return lines


@pytest.fixture(scope="module")
def found(azure):
    all_found = {}
    for model, path, version in READ:
        status, _, body = azure.arm("GET", path.replace("ö", "%C3%B6"), version)
        assert status == 200, (path, body)
        answer = body.get("value", body)
        assert answer, f"{path}: an empty list compares with nothing"
        for line in shapes.differences(model, answer):
            all_found.setdefault(line, path)
    return all_found


def test_answers_differ_from_their_models_only_where_a_reason_is_known(found):
    assert {line: path for line, path in found.items() if line not in allowed()} == {}


def test_every_reason_is_still_needed(found):
    assert sorted(set(allowed()) - set(found)) == []
