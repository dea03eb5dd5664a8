"""azure-mgmt-storage and azure-storage-blob: accounts made, changed and closed; their connections; blobs through the
data plane."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.storage import StorageManagementClient
from simulator import PLATFORM, resource

HUB = resource("Microsoft.Network/virtualNetworks", "hub", "network")
STORAGE = resource("Microsoft.Storage/storageAccounts", "sandboxdata", "sandbox")
NEW = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}


@pytest.fixture(scope="module")
def storage(azure):
    return azure.client(StorageManagementClient, PLATFORM)


def code_of(call):
    with pytest.raises(HttpResponseError) as refusal:
        answer = call()
        answer.result() if hasattr(answer, "result") else list(answer)
    return refusal.value.status_code, refusal.value.error.code


def rules(**more):
    return {"properties": {"networkAcls": {"defaultAction": "Deny", **more}}}


class TestAccounts:
    def test_made_found_and_deleted(self, storage):
        assert storage.storage_accounts.check_name_availability(
            {"name": "newdata", "type": "Microsoft.Storage/storageAccounts"}
        ).name_available
        made = storage.storage_accounts.begin_create("sandbox", "newdata", NEW).result()
        assert (made.provisioning_state, made.sku.name, made.kind) == ("Succeeded", "Standard_LRS", "StorageV2")
        assert made.primary_endpoints.blob == "https://newdata.blob.core.windows.net/"
        assert made.encryption.services.blob.enabled and made.key_creation_time.key1
        taken = storage.storage_accounts.check_name_availability(
            {"name": "newdata", "type": "Microsoft.Storage/storageAccounts"}
        )
        assert (taken.name_available, taken.reason) == (False, "AlreadyExists")
        assert code_of(lambda: storage.storage_accounts.begin_create("network", "newdata", NEW)) == (
            409,
            "StorageAccountAlreadyTaken",
        )
        assert "newdata" in [a.name for a in storage.storage_accounts.list()]
        assert [k.key_name for k in storage.storage_accounts.list_keys("sandbox", "newdata").keys_property] == [
            "key1",
            "key2",
        ]
        storage.storage_accounts.delete("sandbox", "newdata")
        with pytest.raises(ResourceNotFoundError):
            storage.storage_accounts.get_properties("sandbox", "newdata")

    @pytest.mark.parametrize("name", ["ab", "UPPER", "with-dash", "x" * 25])
    def test_names_that_none_has(self, storage, name):
        with pytest.raises(Exception) as refusal:
            storage.storage_accounts.begin_create("sandbox", name, NEW).result()
        assert getattr(refusal.value, "status_code", 400) == 400

    def test_what_is_no_account(self, storage):
        for body in [{**NEW, "sku": {"name": "Gold"}}, {**NEW, "kind": "Bucket"}]:
            assert code_of(lambda: storage.storage_accounts.begin_create("sandbox", "wrong", body)) == (
                400,
                "InvalidValuesForRequestParameters",
            )

    def test_changed_as_az_does_it(self, storage):
        before = storage.storage_accounts.get_properties("sandbox", "sandboxdata")
        closed = storage.storage_accounts.update(
            "sandbox",
            "sandboxdata",
            {"properties": {"encryption": before.encryption, "publicNetworkAccess": "Disabled"}, "tags": {"a": "b"}},
        )
        assert (closed.public_network_access, closed.tags) == ("Disabled", {"a": "b"})
        opened = storage.storage_accounts.update(
            "sandbox", "sandboxdata", {"properties": {"publicNetworkAccess": "Enabled"}}
        )
        assert opened.encryption.key_source == "Microsoft.Storage"

    def test_an_account_that_is_there_is_put_again(self, storage):
        again = storage.storage_accounts.begin_create(
            "sandbox", "sandboxdata", {**NEW, "tags": {"put": "again"}}
        ).result()
        assert again.tags == {"put": "again"}

    def test_the_blob_service_is_read(self, storage):
        assert storage.blob_services.get_service_properties("sandbox", "sandboxdata").name == "default"


class TestRules:
    @pytest.mark.parametrize(
        "value", ["10.0.0.4", "192.168.1.0/24", "203.0.113.0/31", "203.0.113.7/32", "nonsense", ""]
    )
    def test_addresses_that_no_rule_takes(self, storage, value):
        call = lambda: storage.storage_accounts.update(
            "sandbox", "sandboxdata", rules(ipRules=[{"value": value, "action": "Allow"}])
        )
        assert code_of(lambda: [call()]) == (400, "InvalidValuesForRequestParameters")

    def test_addresses_that_one_takes(self, storage):
        allowed = [{"value": v, "action": "Allow"} for v in ["203.0.113.7", "198.51.100.0/24", "203.0.113.0/30"]]
        after = storage.storage_accounts.update("sandbox", "sandboxdata", rules(ipRules=allowed))
        assert len(after.network_rule_set.ip_rules) == 3

    def test_subnets_need_a_service_endpoint_and_come_back_with_a_state(self, azure, storage):
        network = azure.client(NetworkManagementClient, PLATFORM)
        name = f"{HUB}/subnets/gateway"
        call = lambda: [
            storage.storage_accounts.update("sandbox", "sandboxdata", rules(virtualNetworkRules=[{"id": name}]))
        ]
        assert code_of(call) == (400, "NetworkAclsValidationFailure")
        network.subnets.begin_create_or_update(
            "network",
            "hub",
            "gateway",
            {"properties": {"addressPrefix": "10.0.255.0/27", "serviceEndpoints": [{"service": "Microsoft.Storage"}]}},
        ).result()
        after = storage.storage_accounts.update("sandbox", "sandboxdata", rules(virtualNetworkRules=[{"id": name}]))
        assert after.network_rule_set.virtual_network_rules[0].state == "Succeeded"
        call = lambda: [
            storage.storage_accounts.update("sandbox", "sandboxdata", rules(virtualNetworkRules=[{"id": name + "x"}]))
        ]
        assert code_of(call) == (400, "NetworkAclsValidationFailure")


class TestConnections:
    def test_listed_with_the_fields_of_storage(self, storage, azure):
        found = list(storage.private_endpoint_connections.list("sandbox", "sandboxdata"))
        assert found[0].private_link_service_connection_state.status == "Approved"
        _, _, raw = azure.arm("GET", found[0].id, "2023-01-01")
        assert "location" not in raw and "subnetArmId" not in raw["properties"]["privateEndpoint"]

    def test_rejected_and_never_approved_again(self, storage, azure):
        network = azure.client(NetworkManagementClient, PLATFORM)
        connection = {
            "name": "asks",
            "properties": {"privateLinkServiceId": STORAGE, "groupIds": ["blob"], "requestMessage": "please"},
        }
        network.private_endpoints.begin_create_or_update(
            "network",
            "asks",
            {
                "location": "westeurope",
                "properties": {
                    "subnet": {"id": f"{HUB}/subnets/endpoints"},
                    "manualPrivateLinkServiceConnections": [connection],
                },
            },
        ).result()
        pending = next(
            c for c in storage.private_endpoint_connections.list("sandbox", "sandboxdata") if c.name.startswith("asks")
        )
        assert pending.private_link_service_connection_state.description == "please"
        decide = lambda status: storage.private_endpoint_connections.put(
            "sandbox",
            "sandboxdata",
            pending.name,
            {"properties": {"privateLinkServiceConnectionState": {"status": status, "description": "by hand"}}},
        )
        assert decide("Rejected").private_link_service_connection_state.status == "Rejected"
        assert code_of(lambda: [decide("Approved")])[0] == 400

    def test_what_endpoints_can_connect_to(self, storage):
        found = storage.private_link_resources.list_by_storage_account("sandbox", "sandboxdata")
        groups = {g.group_id: g.required_zone_names for g in found.value}
        assert groups["blob"] == ["privatelink.blob.core.windows.net"]
        assert {"blob", "dfs", "file", "queue", "table", "web"} <= set(groups)


class TestBlobs:
    @pytest.fixture(scope="class")
    def service(self, azure):
        """A blob client in the network `internet`, by its proxy, trusting the simulator's root."""
        from azure.storage.blob import BlobServiceClient

        proxy = f"socks5h://{azure.networks['internet']['curlProxy']}"
        return BlobServiceClient(
            "https://sandboximagesless.blob.core.windows.net",
            credential=azure.credential(),
            retry_total=0,
            connection_verify=azure.ca,
            proxies={"https": proxy},
        )

    def test_containers_are_listed(self, azure, storage, service):
        storage.storage_accounts.begin_create("sandbox", "sandboximagesless", NEW).result()
        assert list(service.list_containers()) == []
        assert list(service.get_container_client("data").list_blobs()) == []

    def test_a_closed_account_says_so(self, azure, storage, service):
        storage.storage_accounts.update(
            "sandbox", "sandboximagesless", {"properties": {"publicNetworkAccess": "Disabled"}}
        )
        with pytest.raises(HttpResponseError) as refusal:
            list(service.list_containers())
        assert (refusal.value.status_code, refusal.value.error_code) == (403, "AuthorizationFailure")
