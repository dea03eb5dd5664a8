"""azure-mgmt-resource and its parts: groups, resources of all types, providers, subscriptions, locks, policies; and
paths that lead nowhere."""

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resource.locks import ManagementLockClient
from azure.mgmt.resource.policy import PolicyClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.storage import StorageManagementClient
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

    def test_found_by_their_tags(self, resources):
        resources.resource_groups.update("us", {"tags": {"found": "by tag"}})
        found = resources.resource_groups.list(filter="tagName eq 'found' and tagValue eq 'by tag'")
        assert [g.name for g in found] == ["us"]
        assert list(resources.resource_groups.list(filter="tagName eq 'found' and tagValue eq 'x'")) == []

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

    @pytest.mark.parametrize(
        "filter, names",
        [
            (
                "resourceType eq 'Microsoft.Network/privateDnsZones' or resourceType eq 'Microsoft.Storage/storageAccounts'",
                {"privatelink.blob.core.windows.net", "sandboxdata"},
            ),
            ("substringof('sandboxim', name)", {"sandboximages"}),
            ("name eq 'hub' and location eq 'West Europe'", {"hub"}),
        ],
    )
    def test_filters_of_several_conditions(self, resources, filter, names):
        assert {r.name for r in resources.resources.list(filter=filter)} == names

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
        resources.tags.begin_delete_at_scope(HUB).result()
        assert not resources.tags.get_at_scope(HUB).properties.tags


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
            ("/subscriptions//resourceGroups/network", "2022-12-01", 400, "InvalidSubscriptionId"),
            (f"/subscriptions/{PLATFORM}/tagNames", "2022-12-01", 501, "NotModelledByAzureSim"),
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


    def test_made_and_found_at_a_resource(self, azure):
        """Of a resource without a parent the client leaves that part of the path empty."""
        locks = azure.client(ManagementLockClient, PLATFORM).management_locks
        hub = ["network", "Microsoft.Network", "", "virtualNetworks", "hub"]
        made = locks.create_or_update_at_resource_level(*hub, "here", {"level": "CanNotDelete", "notes": "hands off"})
        assert made.notes == "hands off" and "//" not in made.id
        assert [lock.name for lock in locks.list_at_resource_level(*hub)] == ["here"]
        locks.delete_at_resource_level(*hub, "here")
        assert list(locks.list_at_resource_level(*hub)) == []


ACCOUNT = "Microsoft.Storage/storageAccounts"
TAGLESS = {"allOf": [{"field": "type", "equals": ACCOUNT}, {"field": "tags['owner']", "exists": "false"}]}


def rule(effect, condition=None, **more):
    then = {"effect": effect, **more}
    condition = condition or {"field": "type", "equals": ACCOUNT}
    return {"properties": {"policyType": "Custom", "mode": "All", "policyRule": {"if": condition, "then": then}}}


class TestPolicies:
    """Made with the official client, felt by the official client of storage."""

    @pytest.fixture
    def there(self, fresh):
        self.azure = fresh()
        accounts = self.azure.client(StorageManagementClient, PLATFORM).storage_accounts
        return self.azure.client(PolicyClient, PLATFORM), accounts

    def assign(self, policies, definition, **more):
        made = policies.policy_definitions.create_or_update("tried", definition)
        body = {"properties": {"policyDefinitionId": made.id}, **more}
        return policies.policy_assignments.create(group("sandbox"), "tried", body)

    def test_nothing_is_assigned_at_first_and_what_is_made_is_listed(self, there):
        policies, _ = there
        assert list(policies.policy_assignments.list_for_resource_group("sandbox")) == []
        made = self.assign(policies, rule("audit"))
        assert (made.scope, made.enforcement_mode) == (group("sandbox"), "Default")
        assert [a.name for a in policies.policy_assignments.list_for_resource_group("sandbox")] == ["tried"]
        assert [d.name for d in policies.policy_definitions.list()] == ["tried"]
        policies.policy_assignments.delete(group("sandbox"), "tried")
        assert list(policies.policy_assignments.list_for_resource_group("sandbox")) == []

    def test_deny_stops_a_write_until_the_assignment_goes(self, there):
        policies, accounts = there
        self.assign(policies, rule("deny", TAGLESS))
        write = lambda tags: accounts.update("sandbox", "sandboxdata", {"tags": tags})
        assert code_of(lambda: [write({"a": "b"})]) == (403, "RequestDisallowedByPolicy")
        assert write({"owner": "me"}).tags == {"owner": "me"}
        policies.policy_assignments.delete(group("sandbox"), "tried")
        assert write({"a": "b"}).tags == {"a": "b"}

    def test_deny_action_stops_a_deletion(self, there):
        policies, accounts = there
        self.assign(policies, rule("denyAction", details={"actionNames": ["delete"]}))
        assert code_of(lambda: [accounts.delete("sandbox", "sandboxdata")]) == (403, "RequestDisallowedByPolicy")
        assert accounts.get_properties("sandbox", "sandboxdata").name == "sandboxdata"

    def test_append_adds_and_denies_what_it_would_have_to_change(self, there):
        policies, accounts = there
        self.assign(policies, rule("append", details=[{"field": "tags['owner']", "value": "finance"}]))
        assert accounts.update("sandbox", "sandboxdata", {"tags": {"a": "b"}}).tags == {"a": "b", "owner": "finance"}
        call = lambda: [accounts.update("sandbox", "sandboxdata", {"tags": {"owner": "me"}})]
        assert code_of(call) == (403, "RequestDisallowedByPolicy")

    def test_modify_needs_an_identity_and_changes_what_is_sent(self, there):
        policies, accounts = there
        operation = {"operation": "addOrReplace", "field": f"{ACCOUNT}/publicNetworkAccess", "value": "Disabled"}
        definition = rule("modify", details={"roleDefinitionIds": [], "operations": [operation]})
        assert code_of(lambda: [self.assign(policies, definition)]) == (400, "ResourceIdentityRequired")
        self.assign(policies, definition, identity={"type": "SystemAssigned"}, location="westeurope")
        after = accounts.update("sandbox", "sandboxdata", {"properties": {"publicNetworkAccess": "Enabled"}})
        assert after.public_network_access == "Disabled"

    def test_an_exemption_frees_what_it_names(self, there):
        policies, accounts = there
        assignment = self.assign(policies, rule("deny", TAGLESS))
        # This client has no exemptions.
        exempt = {"properties": {"policyAssignmentId": assignment.id, "exemptionCategory": "Waiver"}}
        path = f"{STORAGE}/providers/Microsoft.Authorization/policyExemptions/free"
        assert self.azure.arm("PUT", path, "2022-07-01-preview", exempt)[0] == 201
        assert accounts.update("sandbox", "sandboxdata", {"tags": {"a": "b"}}).tags == {"a": "b"}

    @pytest.mark.parametrize(
        "definition, code", [({"properties": {"policyRule": {}}}, "InvalidPolicyRule"), (rule(""), "InvalidPolicyRule")]
    )
    def test_what_is_no_policy_is_refused(self, there, definition, code):
        assert code_of(lambda: [self.assign(there[0], definition)]) == (400, code)

    def test_an_assignment_of_nothing_is_refused(self, there):
        body = {"properties": {"policyDefinitionId": "/providers/Microsoft.Authorization/policyDefinitions/none"}}
        call = lambda: [there[0].policy_assignments.create(group("sandbox"), "tried", body)]
        assert code_of(call) == (404, "PolicyDefinitionNotFound")


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
