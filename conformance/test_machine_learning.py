"""azure-mgmt-machinelearningservices and azure-ai-ml: registries made, closed, read in the words of older versions."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
from azure.mgmt.network import NetworkManagementClient
from simulator import ML, PLATFORM, resource

REGISTRY = resource("Microsoft.MachineLearningServices/registries", "contosoreg", "ml", ML)
HUB = resource("Microsoft.Network/virtualNetworks", "hub", "network")


@pytest.fixture(scope="module")
def registries(azure):
    return azure.client(MachineLearningServicesMgmtClient, ML).registries


def test_read_and_listed(registries):
    found = registries.get("ml", "contosoreg")
    assert found.public_network_access == "Enabled" and found.identity.principal_id
    assert found.region_details[0].acr_details[0].system_created_acr_account.acr_account_sku == "Premium"
    assert {r.name for r in registries.list_by_subscription()} == {"contosoreg", "groesse"}


def test_a_group_with_letters_outside_ascii(registries):
    assert [r.name for r in registries.list("rg-größe")] == ["groesse"]
    assert registries.get("rg-größe", "groesse").name == "groesse"


def new_registry():
    from azure.mgmt.machinelearningservices import models

    account = models.SystemCreatedStorageAccount(storage_account_type="Standard_LRS")
    details = models.StorageAccountDetails(system_created_storage_account=account)
    return models.Registry(
        location="westeurope",
        identity=models.ManagedServiceIdentity(type="SystemAssigned"),
        public_network_access="Disabled",
        region_details=[models.RegistryRegionArmDetails(location="westeurope", storage_account_details=[details])],
    )


def test_made_and_deleted_where_azure_answers_as_its_contract_says(fresh):
    azure = fresh("switches: {registryPut: Immediate200}\n")
    registries = azure.client(MachineLearningServicesMgmtClient, ML).registries
    made = registries.begin_create_or_update("ml", "newreg", new_registry()).result()
    assert made.public_network_access == "Disabled"
    registries.begin_delete("ml", "newreg").result()
    with pytest.raises(ResourceNotFoundError):
        registries.get("ml", "newreg")


def test_this_client_does_not_survive_the_202_that_azure_answers(registries):
    """A known trap of the real service: its contract knows 200 and 201 only (azure.md, U13)."""
    with pytest.raises(HttpResponseError, match="Accepted"):
        registries.begin_create_or_update("ml", "newreg", new_registry())
    registries.begin_delete("ml", "newreg").result()


def test_tags_by_patch(registries):
    from azure.mgmt.machinelearningservices import models

    assert registries.update(
        "ml", "contosoreg", models.PartialRegistryPartialTrackedResource(tags={"a": "b"})
    ).tags == {"a": "b"}


@pytest.mark.parametrize(
    "version, name",
    [("2022-10-01-preview", "privateEndpointConnections"), ("2025-12-01", "registryPrivateEndpointConnections")],
)
def test_connections_have_the_name_of_their_version(azure, version, name):
    azure.client(NetworkManagementClient, PLATFORM).private_endpoints.begin_create_or_update(
        "network",
        "reg",
        {
            "location": "westeurope",
            "properties": {
                "subnet": {"id": f"{HUB}/subnets/endpoints"},
                "privateLinkServiceConnections": [
                    {"name": "reg", "properties": {"privateLinkServiceId": REGISTRY, "groupIds": ["amlregistry"]}}
                ],
            },
        },
    ).result()
    _, _, registry = azure.arm("GET", REGISTRY, version)
    assert len(registry["properties"][name]) == 1


def test_discovery_ends_its_first_address_in_a_slash(azure):
    token = azure.token(scope="https://ml.azure.com/.default")
    status, _, found = azure.ask("GET", "/registrymanagement/v1.0/registries/contosoreg/discovery", token=token)
    assert status == 200 and found["primaryRegionResourceProviderUri"].endswith(".api.azureml.ms/")


class TestMlClient:
    @pytest.fixture(scope="class")
    def ml(self, azure, tmp_path_factory):
        import os

        from azure.ai.ml import MLClient

        os.environ["ARM_CLOUD_METADATA_URL"] = f"{azure.base}/metadata/endpoints?api-version=2019-05-01"
        os.environ["REQUESTS_CA_BUNDLE"] = azure.ca
        client = MLClient(
            azure.credential(), ML, "ml", cloud="AzureSim", enable_telemetry=False, connection_verify=azure.ca
        )
        yield client
        for name in ["ARM_CLOUD_METADATA_URL", "REQUESTS_CA_BUNDLE"]:
            os.environ.pop(name, None)

    def test_registries_are_listed_and_read(self, ml):
        assert {r.name for r in ml.registries.list(scope="subscription")} == {"contosoreg", "groesse"}
        assert ml.registries.get("contosoreg").public_network_access == "Enabled"
