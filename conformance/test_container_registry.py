"""azure-mgmt-containerregistry, and an OCI client against the data plane."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from simulator import PLATFORM

NEW = {"location": "westeurope", "sku": {"name": "Premium"}}


@pytest.fixture(scope="module")
def images(azure):
    return azure.client(ContainerRegistryManagementClient, PLATFORM)


def code_of(call):
    with pytest.raises(HttpResponseError) as refusal:
        answer = call()
        answer.result() if hasattr(answer, "result") else list(answer)
    return refusal.value.status_code, refusal.value.error.code


def test_made_found_changed_and_deleted(images):
    made = images.registries.begin_create("sandbox", "newimages", NEW).result()
    assert (made.provisioning_state, made.login_server) == ("Succeeded", "newimages.azurecr.io")
    assert made.system_data.created_at
    assert "newimages" in [r.name for r in images.registries.list()]
    closed = images.registries.begin_update(
        "sandbox", "newimages", {"properties": {"publicNetworkAccess": "Disabled"}}
    ).result()
    assert closed.public_network_access == "Disabled"
    assert [r.name for r in images.replications.list("sandbox", "newimages")] == ["westeurope"]
    assert images.registries.list_usages("sandbox", "newimages").value[0].name == "Size"
    images.registries.begin_delete("sandbox", "newimages").result()
    with pytest.raises(ResourceNotFoundError):
        images.registries.get("sandbox", "newimages")


@pytest.mark.parametrize("sku, code", [("Basic", "DisablingPublicNetworkAccessNotSupported"), ("Gold", "InvalidSku")])
def test_only_premium_closes(images, sku, code):
    body = {**NEW, "sku": {"name": sku}, "properties": {"publicNetworkAccess": "Disabled"}}
    assert code_of(lambda: images.registries.begin_create("sandbox", "basicimages", body)) == (400, code)


@pytest.mark.parametrize("name", ["abcd", "with-dash", "x" * 51])
def test_names_that_none_has(images, name):
    with pytest.raises(Exception) as refusal:
        images.registries.begin_create("sandbox", name, NEW).result()
    assert getattr(refusal.value, "status_code", 400) == 400


def test_export_goes_only_with_public_access(images):
    change = lambda **p: images.registries.begin_update("sandbox", "sandboximages", {"properties": p})
    off = {"policies": {"exportPolicy": {"status": "disabled"}}}
    assert code_of(lambda: change(**off)) == (400, "ExportPolicyRequiresPublicNetworkAccessDisabled")
    assert change(publicNetworkAccess="Disabled", **off).result().policies.export_policy.status == "disabled"
    change(policies={"exportPolicy": {"status": "enabled"}}, publicNetworkAccess="Enabled").result()


def test_link_resources_and_connections(images):
    found = {
        r.properties.group_id: r.properties.required_members
        for r in images.registries.list_private_link_resources("sandbox", "sandboximages")
    }
    assert found == {"registry": ["registry", "registry_data_westeurope"]}
    assert list(images.private_endpoint_connections.list("sandbox", "sandboximages")) == []


def test_an_oci_client_gets_its_layers(azure, monkeypatch):
    """`oras`, with a token, through the simulated internet; what it gets is the path that it asked for."""
    import oras.client

    client = oras.client.OrasClient(hostname="sandboximages.azurecr.io", auth_backend="token")
    client.auth.set_token_auth(azure.token())
    layer = "sha256:" + "0" * 64
    monkeypatch.setenv("HTTPS_PROXY", f"socks5h://{azure.networks['internet']['curlProxy']}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", azure.ca)
    assert client.get_blob("sandboximages.azurecr.io/some/image", layer).text == f"/v2/some/image/blobs/{layer}"
