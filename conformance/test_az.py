"""`az`, unchanged: the cloud registered by endpoint discovery, then what the guide has people type. Half a gigabyte of
its own, so only where tools/conformance.sh was started with --with-az."""

import pytest
from azure_cli import AZ, Az
from simulator import CLIENTS, ML, resource

pytestmark = pytest.mark.skipif(not AZ, reason="--with-az was not given")

HUB = resource("Microsoft.Network/virtualNetworks", "hub", "network")
STORAGE = resource("Microsoft.Storage/storageAccounts", "sandboxdata", "sandbox")
IMAGES = resource("Microsoft.ContainerRegistry/registries", "sandboximages", "sandbox")
REGISTRY = resource("Microsoft.MachineLearningServices/registries", "contosoreg", "ml", ML)


@pytest.fixture(scope="module")
def az(azure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("az")
    return Az(azure.folder.name, azure.ca, folder, CLIENTS["owner"], "owner-secret-of-no-worth", "platform")


def test_what_is_there_is_listed(az):
    assert {a["name"] for a in az("account", "list")} == {"platform", "ml"}
    assert {g["name"] for g in az("group", "list")} >= {"network", "dns", "sandbox"}
    assert "hub" in [r["name"] for r in az("resource", "list", "--resource-group", "network")]
    assert "westeurope" in [location["name"] for location in az("account", "list-locations")]
    assert az("provider", "show", "--namespace", "Microsoft.Network")["registrationState"] == "Registered"


def test_an_endpoint_with_its_zone_group(az):
    hub = ["--resource-group", "network", "--vnet-name", "hub", "--subnet", "endpoints"]
    made = az(
        "network", "private-endpoint", "create", *hub, "--name", "viaaz", "--connection-name", "viaaz",
        "--private-connection-resource-id", STORAGE, "--group-id", "blob",
    )  # fmt: skip
    assert made["provisioningState"] == "Succeeded"
    zone = "privatelink.blob.core.windows.net"
    in_zone = ["--resource-group", "dns", "--zone-name", zone]
    az("network", "private-dns", "zone", "create", "--resource-group", "dns", "--name", zone)
    az(
        "network", "private-dns", "link", "vnet", "create", *in_zone, "--name", "hub", "--virtual-network", HUB,
        "--registration-enabled", "false",
    )  # fmt: skip
    az(
        "network", "private-endpoint", "dns-zone-group", "create", "--resource-group", "network", "--name", "default",
        "--endpoint-name", "viaaz", "--zone-name", "blob", "--private-dns-zone",
        resource("Microsoft.Network/privateDnsZones", zone, "dns"),
    )  # fmt: skip
    records = az("network", "private-dns", "record-set", "a", "list", *in_zone)
    assert [r["name"] for r in records] == ["sandboxdata"]
    az("network", "private-dns", "record-set", "a", "add-record", *in_zone, "-n", "www", "-a", "10.0.0.9")
    states = az("network", "private-endpoint-connection", "list", "--id", STORAGE)
    assert {c["properties"]["privateLinkServiceConnectionState"]["status"] for c in states} == {"Approved"}
    groups = az("network", "private-link-resource", "list", "--id", IMAGES)
    assert [g["properties"]["groupId"] for g in groups] == ["registry"]


def test_all_three_kinds_are_closed(az):
    closed = az("storage", "account", "update", "--ids", STORAGE, "--public-network-access", "Disabled")
    assert closed["publicNetworkAccess"] == "Disabled"
    closed = az("acr", "update", "--name", "sandboximages", "--public-network-enabled", "false")
    assert closed["publicNetworkAccess"] == "Disabled"
    closed = az(
        "resource", "update", "--ids", REGISTRY, "--api-version", "2025-12-01",
        "--set", "properties.publicNetworkAccess=Disabled",
    )  # fmt: skip
    assert closed["properties"]["publicNetworkAccess"] == "Disabled"
