"""azure-mgmt-resource and its parts: groups, resources of all types, providers, subscriptions, locks, policies; and
paths that lead nowhere."""

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resource.locks import ManagementLockClient
from azure.mgmt.resource.policy import PolicyClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from simulator import ML, PLATFORM, TENANT, group, resource

HUB = resource("Microsoft.Network/virtualNetworks", "hub", "network")
STORAGE = resource("Microsoft.Storage/storageAccounts", "sandboxdata", "sandbox")


@pytest.fixture(scope="module")
def resources(azure):
    return azure.client(ResourceManagementClient, PLATFORM)


def code_of(call):
    with pytest.raises(HttpResponseError) as refusal:
        answer = call()
        answer.result() if hasattr(answer, "result") else list(answer)
    return refusal.value.status_code, refusal.value.error.code


class TestGroups:
    def test_made_checked_patched_and_deleted(self, resources):
        assert not resources.resource_groups.check_existence("new")
        made = resources.resource_groups.create_or_update("new", {"location": "West Europe", "tags": {"a": "b"}})
        assert (made.location, made.properties.provisioning_state) == ("westeurope", "Succeeded")
        assert resources.resource_groups.check_existence("new")
        assert resources.resource_groups.update("new", {"tags": {"c": "d"}}).tags == {"c": "d"}
        assert code_of(lambda: [resources.resource_groups.create_or_update("new", {"location": "eastus"})]) == (
            409,
            "InvalidResourceGroupLocation",
        )
        resources.resource_groups.begin_delete("new").result()
        assert not resources.resource_groups.check_existence("new")

    def test_letters_outside_ascii(self, azure):
        ml = azure.client(ResourceManagementClient, ML)
        assert ml.resource_groups.get("rg-größe").name == "rg-größe"
        assert "rg-größe" in [g.name for g in ml.resource_groups.list()]

    @pytest.mark.parametrize("name", ["ends.", "a b", "a/b", "x" * 91])
    def test_names_that_none_has(self, resources, name):
        with pytest.raises(Exception) as refusal:
            resources.resource_groups.create_or_update(name, {"location": "westeurope"})
        assert getattr(refusal.value, "status_code", 400) in (400, 404, 405)

    def test_none_without_a_location_or_in_an_unknown_one(self, resources):
        assert code_of(lambda: [resources.resource_groups.create_or_update("x", {"tags": {}})]) == (
            400,
            "LocationRequired",
        )
        assert code_of(lambda: [resources.resource_groups.create_or_update("x", {"location": "mars"})]) == (
            400,
            "LocationNotAvailableForResourceType",
        )

    def test_that_of_a_registry_goes_only_with_it(self, azure):
        ml = azure.client(ResourceManagementClient, ML)
        managed = next(g.name for g in ml.resource_groups.list() if g.managed_by)
        assert code_of(lambda: ml.resource_groups.begin_delete(managed)) == (403, "DenyAssignmentAuthorizationFailed")


class TestResources:
    def test_listed_by_subscription_group_and_filter(self, resources):
        everything = [r.id for r in resources.resources.list()]
        assert HUB in everything and STORAGE in everything
        assert [
            r.name
            for r in resources.resources.list_by_resource_group(
                "network", filter="resourceType eq 'Microsoft.Network/virtualNetworks'"
            )
        ] == ["hub", "spoke"]
        assert code_of(lambda: resources.resources.list(filter="nonsense")) == (400, "InvalidFilterInQueryString")

    def test_top_makes_pages(self, resources):
        pages = [list(page) for page in resources.resources.list(top=1).by_page()]
        assert len(pages) > 2 and all(len(page) <= 1 for page in pages)

    def test_read_checked_and_changed_by_id(self, resources):
        assert resources.resources.get_by_id(HUB, api_version="2025-01-01").name == "hub"
        assert resources.resources.check_existence_by_id(HUB, api_version="2025-01-01") is True
        assert resources.resources.check_existence_by_id(HUB + "x", api_version="2025-01-01") is False
        changed = resources.resources.begin_update_by_id(
            STORAGE, {"tags": {"by": "id"}}, api_version="2025-01-01"
        ).result()
        assert changed.tags == {"by": "id"}

    def test_tags_at_a_scope(self, resources):
        merged = resources.tags.begin_update_at_scope(
            HUB, {"operation": "Merge", "properties": {"tags": {"x": "y"}}}
        ).result()
        assert merged.properties.tags["x"] == "y"
        assert resources.tags.get_at_scope(HUB).properties.tags == merged.properties.tags


class TestProviders:
    def test_listed_and_read(self, resources):
        assert "Microsoft.Network" in [p.namespace for p in resources.providers.list()]
        network = resources.providers.get("Microsoft.Network")
        versions = {t.resource_type: t.api_versions for t in network.resource_types}
        assert network.registration_state == "Registered" and "2026-03-01" in versions["privateEndpoints"]

    def test_registered(self, fresh):
        azure = fresh()
        resources = azure.client(ResourceManagementClient, PLATFORM)
        assert resources.providers.register("Microsoft.Network").registration_state == "Registered"

    def test_none_that_never_was(self, resources):
        assert code_of(lambda: [resources.providers.get("Contoso.Nothing")]) == (404, "InvalidResourceNamespace")


class TestVersions:
    @pytest.mark.parametrize(
        "path, version",
        [
            (HUB, "2026-03-01"),
            (HUB, "2026-01-01"),
            (HUB, "2018-10-01"),
            (STORAGE, "2026-09-01"),
            (STORAGE, "2025-08-01"),
            (STORAGE, "2019-06-01"),
            (resource("Microsoft.ContainerRegistry/registries", "sandboximages", "sandbox"), "2026-09-01-preview"),
            (resource("Microsoft.ContainerRegistry/registries", "sandboximages", "sandbox"), "2019-12-01-preview"),
            (resource("Microsoft.MachineLearningServices/registries", "contosoreg", "ml", ML), "2022-10-01-preview"),
            (resource("Microsoft.MachineLearningServices/registries", "contosoreg", "ml", ML), "2023-04-01"),
            (resource("Microsoft.OperationalInsights/workspaces", "logs", "network"), "2025-07-01"),
            (
                resource("Microsoft.Network/privateDnsZones", "privatelink.blob.core.windows.net", "sandbox"),
                "2018-09-01",
            ),
            (f"{group('network')}", "2024-11-01"),
            (f"{group('network')}/providers/Microsoft.Authorization/locks", "2016-09-01"),
            (f"{group('network')}/providers/Microsoft.Authorization/policyAssignments", "2026-06-01"),
            (f"{group('network')}/providers/Microsoft.Authorization/policyAssignments", "2025-11-01"),
            (
                resource("Microsoft.Network/privateEndpoints", "sandboxdata-blob", "sandbox") + "/privateDnsZoneGroups",
                "2022-01-01",
            ),
        ],
    )
    def test_what_azure_ever_shipped_is_served(self, azure, path, version):
        assert azure.arm("GET", path.replace("ö", "%C3%B6"), version)[0] == 200

    @pytest.mark.parametrize(
        "path, version, status, code",
        [
            (HUB, "2026-03-02", 400, "NoRegisteredProviderFound"),
            (HUB, "latest", 400, "NoRegisteredProviderFound"),
            (group("network"), "1999-01-01", 400, "InvalidApiVersionParameter"),
            (resource("Microsoft.Network/virtualNetwork", "hub", "network"), "2025-01-01", 404, "InvalidResourceType"),
            (
                resource("Contoso.Network/virtualNetworks", "hub", "network"),
                "2025-01-01",
                404,
                "InvalidResourceNamespace",
            ),
            (
                resource("Microsoft.Compute/virtualMachines", "vm", "network"),
                "2025-01-01",
                501,
                "NotModelledByAzureSim",
            ),
            (resource("Microsoft.Network/loadBalancers", "lb", "network"), "2025-01-01", 501, "NotModelledByAzureSim"),
            (f"/subscriptions/{PLATFORM}/nowhere", "2022-12-01", 404, "NotFound"),
            ("/nowhere", "2022-12-01", 404, "MissingSubscription"),
        ],
    )
    def test_what_never_was_is_refused_and_what_is_not_modelled_says_so(self, azure, path, version, status, code):
        got, _, body = azure.arm("GET", path, version)
        assert (got, body["error"]["code"]) == (status, code)


class TestTenant:
    def test_subscriptions_tenants_and_locations(self, azure):
        client = azure.client(SubscriptionClient)
        assert {s.subscription_id for s in client.subscriptions.list()} == {PLATFORM, ML}
        assert [t.tenant_id for t in client.tenants.list()] == [TENANT]
        assert "westeurope" in [location.name for location in client.subscriptions.list_locations(PLATFORM)]

    def test_each_sees_its_own(self, azure):
        seen = {
            who: {s.subscription_id for s in azure.client(SubscriptionClient, who=who).subscriptions.list()}
            for who in ["reader", "stranger"]
        }
        assert seen == {"reader": {ML}, "stranger": set()}


class TestLocks:
    def test_made_inherited_and_removed(self, azure):
        locks = azure.client(ManagementLockClient, PLATFORM)
        resources = azure.client(ResourceManagementClient, PLATFORM)
        locks.management_locks.create_or_update_at_resource_group_level("us", "keep", {"level": "CanNotDelete"})
        assert [lock.name for lock in locks.management_locks.list_at_resource_group_level("us")] == ["keep"]
        assert code_of(lambda: resources.resource_groups.begin_delete("us")) == (409, "ScopeLocked")
        locks.management_locks.delete_at_resource_group_level("us", "keep")
        assert list(locks.management_locks.list_at_resource_group_level("us")) == []


class TestPolicies:
    def test_assignments_are_listed(self, azure):
        policies = azure.client(PolicyClient, PLATFORM)
        assert list(policies.policy_assignments.list_for_resource_group("network")) == []
        assert list(policies.policy_definitions.list()) == []


class TestRights:
    def test_who_may_only_read_is_told_what_is_missing(self, azure):
        reader = azure.client(ResourceManagementClient, ML, who="reader")
        assert reader.resource_groups.get("ml").name == "ml"
        with pytest.raises(HttpResponseError) as refusal:
            reader.resource_groups.update("ml", {"tags": {}})
        assert refusal.value.status_code == 403 and "resourceGroups/write" in refusal.value.message
        assert code_of(
            lambda: azure.client(ResourceManagementClient, PLATFORM, who="reader").resource_groups.list()
        ) == (403, "AuthorizationFailed")
