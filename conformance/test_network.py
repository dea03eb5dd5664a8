"""azure-mgmt-network: networks, subnets, peerings, private endpoints, zone groups, interfaces."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.network import NetworkManagementClient
from simulator import ML, PLATFORM, resource

HUB = resource("Microsoft.Network/virtualNetworks", "hub", "network")
STORAGE = resource("Microsoft.Storage/storageAccounts", "sandboxdata", "sandbox")


@pytest.fixture(scope="module")
def network(azure):
    return azure.client(NetworkManagementClient, PLATFORM)


def vnet(prefixes=("10.50.0.0/16",), subnets=(), location="westeurope", **more):
    return {
        "location": location,
        "properties": {
            "addressSpace": {"addressPrefixes": list(prefixes)},
            "subnets": [{"name": name, "properties": {"addressPrefix": prefix}} for name, prefix in subnets],
        },
        **more,
    }


def refused(call, status, code):
    with pytest.raises(HttpResponseError) as refusal:
        answer = call()
        if hasattr(answer, "result"):
            answer.result()
        else:
            list(answer)
    assert (refusal.value.status_code, refusal.value.error.code if refusal.value.error else None) == (status, code)
    return refusal.value


def endpoint(
    name="pe1", target=STORAGE, group_id="blob", manual=False, message=None, subnet=f"{HUB}/subnets/endpoints"
):
    connection = {
        "name": name,
        "properties": {"privateLinkServiceId": target, "groupIds": [group_id], "requestMessage": message},
    }
    lists = "manualPrivateLinkServiceConnections" if manual else "privateLinkServiceConnections"
    return {"location": "westeurope", "properties": {"subnet": {"id": subnet}, lists: [connection]}}


class TestVirtualNetworks:
    def test_made_read_listed_tagged_and_deleted(self, network):
        made = network.virtual_networks.begin_create_or_update(
            "network", "one", vnet(subnets=[("a", "10.50.1.0/24")])
        ).result()
        assert made.provisioning_state == "Succeeded" and made.etag
        assert [s.name for s in made.subnets] == ["a"]
        assert made.subnets[0].private_endpoint_network_policies == "Disabled"
        assert "one" in [n.name for n in network.virtual_networks.list("network")]
        assert "one" in [n.name for n in network.virtual_networks.list_all()]
        tagged = network.virtual_networks.update_tags("network", "one", {"tags": {"a": "b"}})
        assert tagged.tags == {"a": "b"}
        network.virtual_networks.begin_delete("network", "one").result()
        with pytest.raises(ResourceNotFoundError):
            network.virtual_networks.get("network", "one")

    def test_locations_come_back_in_their_short_form(self, network):
        body = vnet(["10.51.0.0/16"], location="West Europe")
        assert (
            network.virtual_networks.begin_create_or_update("network", "spelled", body).result().location
            == "westeurope"
        )

    @pytest.mark.parametrize(
        "body, status, code",
        [
            (vnet([]), 400, "AddressSpaceRequired"),
            (vnet(location=None), 400, "LocationRequired"),
            (vnet(location="middleearth"), 400, "LocationNotAvailableForResourceType"),
            (vnet(["10.50.0.1/16"]), 400, "InvalidCIDRNotation"),
            (vnet(["10.50.0.0/16", "10.50.1.0/24"]), 400, "AddressPrefixesOverlap"),
            (vnet(subnets=[("a", "10.60.0.0/24")]), 400, "NetcfgInvalidSubnet"),
            (vnet(subnets=[("a", "10.50.0.0/24"), ("b", "10.50.0.128/25")]), 400, "NetcfgSubnetRangesOverlap"),
            (vnet(tags={"a": 1}), 400, "InvalidRequestContent"),
            (vnet(tags={"a": {"b": "c"}}), 400, "InvalidRequestContent"),
        ],
    )
    def test_what_azure_refuses_is_refused_and_leaves_nothing(self, network, body, status, code):
        refused(lambda: network.virtual_networks.begin_create_or_update("network", "bad", body), status, code)
        with pytest.raises(ResourceNotFoundError):
            network.virtual_networks.get("network", "bad")

    @pytest.mark.parametrize("name", ["-a", "a b", "ä", "x" * 65, "a-"])
    def test_names_that_none_has_are_refused(self, network, name):
        refused(
            lambda: network.virtual_networks.begin_create_or_update("network", name, vnet()), 400, "InvalidResourceName"
        )

    def test_a_network_stays_where_it_is(self, network):
        body = vnet(["10.0.0.0/16"], location="northeurope")
        refused(
            lambda: network.virtual_networks.begin_create_or_update("network", "hub", body),
            409,
            "InvalidResourceLocation",
        )

    def test_a_group_that_is_not_there(self, network):
        refused(
            lambda: network.virtual_networks.begin_create_or_update("nowhere", "n", vnet()),
            404,
            "ResourceGroupNotFound",
        )

    def test_subnets_are_checked_against_those_that_stand(self, network):
        def put(name, prefix):
            return network.subnets.begin_create_or_update(
                "network", "spoke", name, {"properties": {"addressPrefix": prefix}}
            )

        refused(lambda: put("b", "10.1.0.128/25"), 400, "NetcfgSubnetRangesOverlap")
        refused(lambda: put("b", "10.2.0.0/24"), 400, "NetcfgInvalidSubnet")
        made = put("b", "10.1.2.0/24").result()
        assert made.etag and made.private_link_service_network_policies == "Enabled"
        assert {s.name for s in network.subnets.list("network", "spoke")} == {"workload", "b"}
        network.subnets.begin_delete("network", "spoke", "b").result()

    def test_children_of_what_is_not_there(self, network):
        refused(lambda: network.subnets.list("network", "none"), 404, "ParentResourceNotFound")


class TestPeerings:
    def test_both_sides_connect_and_one_alone_is_disconnected(self, fresh):
        network = fresh().client(NetworkManagementClient, PLATFORM)
        hub = network.virtual_network_peerings.get("network", "hub", "to-spoke")
        assert (hub.peering_state, hub.peering_sync_level) == ("Connected", "FullyInSync")
        assert hub.remote_address_space.address_prefixes == ["10.1.0.0/16"]
        assert hub.allow_gateway_transit is False and hub.use_remote_gateways is False
        network.virtual_network_peerings.begin_delete("network", "spoke", "to-hub").result()
        assert network.virtual_network_peerings.get("network", "hub", "to-spoke").peering_state == "Disconnected"
        back = {"properties": {"remoteVirtualNetwork": {"id": HUB}}}
        refused(
            lambda: network.virtual_network_peerings.begin_create_or_update("network", "spoke", "to-hub", back),
            400,
            "RemotePeeringIsDisconnected",
        )

    def test_overlapping_networks_do_not_peer(self, fresh):
        network = fresh().client(NetworkManagementClient, PLATFORM)
        network.virtual_networks.begin_create_or_update("network", "twin", vnet(["10.0.0.0/17"])).result()
        body = {"properties": {"remoteVirtualNetwork": {"id": HUB}}}
        refused(
            lambda: network.virtual_network_peerings.begin_create_or_update("network", "twin", "to-hub", body),
            400,
            "VnetAddressSpacesOverlap",
        )

    def test_a_deleted_network_leaves_its_peers_disconnected(self, fresh):
        network = fresh().client(NetworkManagementClient, PLATFORM)
        network.virtual_networks.begin_delete("network", "spoke").result()
        assert network.virtual_network_peerings.get("network", "hub", "to-spoke").peering_state == "Disconnected"


class TestPrivateEndpoints:
    def test_the_whole_life_of_one(self, azure, network):
        made = network.private_endpoints.begin_create_or_update("network", "pe1", endpoint()).result()
        connection = made.private_link_service_connections[0]
        assert connection.private_link_service_connection_state.status == "Approved"
        assert connection.etag == made.etag
        assert [c.fqdn for c in made.custom_dns_configs] == ["sandboxdata.blob.core.windows.net"]
        nic = network.network_interfaces.get("network", made.network_interfaces[0].id.rsplit("/", 1)[1])
        assert nic.ip_configurations[0].private_link_connection_properties.required_member_name == "blob"
        assert nic.private_endpoint.id == made.id
        used = network.subnets.get("network", "hub", "endpoints")
        assert [p.id for p in used.private_endpoints] == [made.id]
        refused(lambda: network.subnets.begin_delete("network", "hub", "endpoints"), 400, "InUseSubnetCannotBeDeleted")
        refused(
            lambda: network.network_interfaces.begin_delete("network", nic.name),
            400,
            "CannotModifyNicAttachedToPrivateEndpoint",
        )
        network.private_endpoints.begin_delete("network", "pe1").result()
        with pytest.raises(ResourceNotFoundError):
            network.private_endpoints.get("network", "pe1")
        # What is not there is deleted without complaint.
        network.private_endpoints.begin_delete("network", "pe1").result()

    def test_a_manual_one_waits_with_the_words_it_asked_with(self, network):
        body = endpoint("asks", manual=True, message="please, for the hub")
        made = network.private_endpoints.begin_create_or_update("network", "asks", body).result()
        state = made.manual_private_link_service_connections[0].private_link_service_connection_state
        assert (state.status, state.description) == ("Pending", "please, for the hub")
        assert made.manual_private_link_service_connections[0].request_message == "please, for the hub"
        assert not made.custom_dns_configs

    @pytest.mark.parametrize(
        "body, code",
        [
            (endpoint(target=STORAGE + "x"), "InvalidPrivateLinkServiceId"),
            (endpoint(group_id="nonsense"), "InvalidPrivateLinkServiceId"),
            (endpoint(subnet=f"{HUB}/subnets/none"), "SubnetNotFound"),
            (endpoint(subnet=f"{HUB}x/subnets/none"), "InvalidResourceReference"),
            ({**endpoint(), "properties": {**endpoint()["properties"], "ipVersionType": "IPv5"}}, "InvalidRequestFormat"),
            (
                {"location": "westeurope", "properties": {"subnet": {"id": f"{HUB}/subnets/endpoints"}}},
                "PrivateEndpointMustHaveOneConnection",
            ),
        ],
    )
    def test_what_leads_nowhere_is_refused(self, network, body, code):
        refused(lambda: network.private_endpoints.begin_create_or_update("network", "bad", body), 400, code)

    def test_a_zone_group_writes_the_records(self, azure, network):
        zone = resource("Microsoft.Network/privateDnsZones", "privatelink.blob.core.windows.net", "sandbox")
        network.private_endpoints.begin_create_or_update("network", "grouped", endpoint("grouped")).result()
        body = {"properties": {"privateDnsZoneConfigs": [{"name": "blob", "properties": {"privateDnsZoneId": zone}}]}}
        made = network.private_dns_zone_groups.begin_create_or_update("network", "grouped", "default", body).result()
        record = made.private_dns_zone_configs[0].record_sets[0]
        assert (record.record_set_name, record.record_type) == ("sandboxdata", "A")
        assert [g.name for g in network.private_dns_zone_groups.list("grouped", "network")] == ["default"]
        refused(
            lambda: network.private_dns_zone_groups.begin_create_or_update("network", "grouped", "second", body),
            400,
            "PrivateEndpointMultipleDnsZoneGroupsNotSupported",
        )
        network.private_dns_zone_groups.begin_delete("network", "grouped", "default").result()
        network.private_endpoints.begin_delete("network", "grouped").result()

    def test_members_of_all_three_kinds_get_addresses(self, azure, network):
        registry = resource("Microsoft.MachineLearningServices/registries", "contosoreg", "ml", ML)
        made = network.private_endpoints.begin_create_or_update(
            "network", "reg", endpoint("reg", registry, "amlregistry")
        ).result()
        images = resource("Microsoft.ContainerRegistry/registries", "sandboximages", "sandbox")
        acr = network.private_endpoints.begin_create_or_update(
            "network", "acr", endpoint("acr", images, "registry")
        ).result()
        assert len(acr.custom_dns_configs) == 2 and len(made.custom_dns_configs) == 1


class TestOperations:
    def test_pollers_wait_for_what_takes_time(self, fresh, recorder):
        azure = fresh("latencies: {scaled: 0.003}\n")
        network = azure.client(NetworkManagementClient, PLATFORM, recorder=recorder)
        poller = network.private_endpoints.begin_create_or_update(
            "network", "slow", endpoint("slow"), polling_interval=1
        )
        assert poller.status() == "InProgress"
        assert network.private_endpoints.get("network", "slow").provisioning_state == "Creating"
        assert poller.result().provisioning_state == "Succeeded"
        states = [body["status"] for *_, body in recorder.answers if isinstance(body, dict) and "status" in body]
        assert "InProgress" in states and states[-1] == "Succeeded"

    def test_a_failed_operation_is_told_with_azures_words(self, fresh):
        azure = fresh()
        fault = {
            "method": "PUT",
            "path": "/privateEndpoints/",
            "nth": 1,
            "effect": {"failOperation": {"code": "InternalServerError", "message": "An error occurred."}},
        }
        assert azure.ask("POST", "/_sim/faults", fault)[0] < 300
        network = azure.client(NetworkManagementClient, PLATFORM)
        with pytest.raises(HttpResponseError) as failed:
            network.private_endpoints.begin_create_or_update("network", "fails", endpoint("fails")).result()
        assert failed.value.error.code == "InternalServerError"
        assert network.private_endpoints.get("network", "fails").provisioning_state == "Failed"

    def test_strangers_do_not_see_how_an_operation_goes(self, fresh, recorder):
        azure = fresh()
        network = azure.client(NetworkManagementClient, PLATFORM, recorder=recorder)
        network.private_endpoints.begin_create_or_update("network", "mine", endpoint("mine")).result()
        headers = next(h for m, *_, h, _ in recorder.answers if m == "PUT")
        url = next(v for k, v in headers.items() if k.lower() == "azure-asyncoperation").removeprefix(azure.base)
        assert azure.ask("GET", url, token=azure.token("owner"))[0] == 200
        for who in ["reader", "stranger"]:
            status, _, body = azure.ask("GET", url, token=azure.token(who))
            assert (status, body["error"]["code"]) == (403, "AuthorizationFailed"), who

    def test_an_entity_tag_that_changed_stops_a_write(self, azure, network):
        before = network.virtual_networks.get("sandbox", "sandbox")
        path = f"{before.id}?api-version=2025-01-01"
        status, _, body = azure.ask(
            "PUT", path, vnet(["10.9.0.0/16"]), azure.token(), {"If-Match": 'W/"00000000-0000-0000-0000-000000000000"'}
        )
        assert (status, body["error"]["code"]) == (412, "PreconditionFailed")
        assert azure.ask("PUT", path, vnet(["10.9.0.0/16"]), azure.token(), {"If-Match": before.etag})[0] == 200
        after = network.virtual_networks.get("sandbox", "sandbox")
        assert [s.name for s in after.subnets] == ["endpoints"]
