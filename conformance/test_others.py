"""Sign-in, roles, Log Analytics, and what the simulator says that it does not model: alerts, Resource Graph."""

import base64
import datetime
import json
import time

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientAssertionCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.monitor import MonitorManagementClient
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.monitor.query import LogsQueryClient
from simulator import CLIENTS, OBJECTS, PLATFORM, TENANT, group


class TestSignIn:
    def test_a_secret_gives_a_token_for_the_audience_asked_for(self, azure):
        token = azure.token("reader")
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert (claims["aud"], claims["oid"], claims["tid"]) == (
            "https://management.azure.com",
            OBJECTS["reader"],
            TENANT,
        )

    @pytest.mark.parametrize(
        "more, code",
        [
            ({"secret": "wrong"}, "AADSTS7000215"),
            ({"client": "0c000000-0000-4000-8000-00000000ffff"}, "AADSTS700016"),
            ({"tenant": "0a000000-0000-4000-8000-0000000000aa"}, "AADSTS90002"),
        ],
    )
    def test_what_entra_refuses(self, azure, more, code):
        with pytest.raises((ClientAuthenticationError, ValueError)) as refusal:
            azure.credential(**more).get_token("https://management.azure.com/.default")
        assert code in str(refusal.value) or "Unable to get authority configuration" in str(refusal.value)

    def assertion(self, azure, **claims):
        claims = {
            "iss": "https://issuer.example",
            "sub": "system:serviceaccount:ml:runner",
            "aud": "api://AzureADTokenExchange",
            "exp": int(time.time()) + 600,
            **claims,
        }
        encode = lambda part: base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        token = f"{encode({'alg': 'RS256'})}.{encode(claims)}.c2lnbmF0dXJl"
        return ClientAssertionCredential(
            TENANT,
            CLIENTS["owner"],
            lambda: token,
            authority=azure.base,
            disable_instance_discovery=True,
            connection_verify=azure.ca,
        )

    def test_an_assertion_does_too(self, azure):
        assert self.assertion(azure).get_token("https://management.azure.com/.default").token

    @pytest.mark.parametrize(
        "claims, code",
        [
            ({"iss": "https://other.example"}, "AADSTS700211"),
            ({"sub": "somebody"}, "AADSTS700213"),
            ({"aud": "elsewhere"}, "AADSTS700212"),
            ({"exp": 1}, "AADSTS700024"),
        ],
    )
    def test_each_claim_of_an_assertion_is_looked_at(self, azure, claims, code):
        with pytest.raises(ClientAuthenticationError) as refusal:
            self.assertion(azure, **claims).get_token("https://management.azure.com/.default")
        assert code in refusal.value.message

    def test_a_token_for_somebody_else_is_refused(self, azure):
        token = azure.token(scope="https://vault.azure.net/.default")
        status, headers, body = azure.ask("GET", "/subscriptions?api-version=2022-12-01", token=token)
        assert (status, body["error"]["code"]) == (401, "InvalidAuthenticationTokenAudience")
        challenge = next(v for k, v in headers.items() if k.lower() == "www-authenticate")
        assert f'authorization_uri="{azure.base}/{TENANT}"' in challenge

    @pytest.mark.parametrize("version, one", [("2015-01-01", True), ("2019-05-01", False), ("2022-09-01", True)])
    def test_the_clouds_endpoints_are_told_without_a_token(self, azure, version, one):
        status, _, body = azure.ask("GET", f"/metadata/endpoints?api-version={version}")
        cloud = body if one else body[0]
        assert status == 200 and cloud["authentication"]["loginEndpoint"] == azure.base


class TestRoles:
    def test_assignments_and_definitions(self, azure):
        roles = azure.client(AuthorizationManagementClient, PLATFORM)
        mine = list(
            roles.role_assignments.list_for_scope(group("network"), filter=f"principalId eq '{OBJECTS['owner']}'")
        )
        assert [a.principal_id for a in mine] == [OBJECTS["owner"]]
        owner = next(d for d in roles.role_definitions.list(group("network")) if d.role_name == "Owner")
        assert mine[0].role_definition_id.endswith(owner.name) and owner.permissions[0].actions == ["*"]

    def test_permissions_and_deny_assignments(self, azure):
        roles = azure.client(AuthorizationManagementClient, PLATFORM)
        assert [p.actions for p in roles.permissions.list_for_resource_group("network")] == [["*"]]
        assert list(roles.deny_assignments.list_for_scope(group("network"))) == []

    GRANTED = "0d000000-0000-4000-8000-000000000001"

    def grant(self, roles, role="Reader", scope=group("network"), name=GRANTED):
        definition = next(d for d in roles.role_definitions.list(scope) if d.role_name == role)
        given = {"roleDefinitionId": definition.id, "principalId": OBJECTS["stranger"], "principalType": "ServicePrincipal"}
        return roles.role_assignments.create(scope, name, {"properties": given})

    def test_a_role_that_is_given_holds_once_it_has_got_about_and_so_does_its_end(self, fresh):
        azure = fresh("switches: {roleAssignmentDelaySeconds: 300}\n")
        roles = azure.client(AuthorizationManagementClient, PLATFORM)
        read = lambda: azure.arm("GET", group("network"), "2022-12-01", who="stranger")[0]
        later = lambda: azure.ask("POST", "/_sim/clock", {"advanceSeconds": 301})
        assert read() == 403
        assert self.grant(roles).principal_id == OBJECTS["stranger"]
        assert self.GRANTED in [a.name for a in roles.role_assignments.list_for_scope(group("network"))]
        assert read() == 403, "listed at once, in force later"
        later()
        assert read() == 200
        roles.role_assignments.delete(group("network"), self.GRANTED)
        assert self.GRANTED not in [a.name for a in roles.role_assignments.list_for_scope(group("network"))]
        assert read() == 200, "no longer listed, in force for a while"
        later()
        assert read() == 403

    def test_what_is_no_assignment_is_refused(self, fresh):
        roles = fresh().client(AuthorizationManagementClient, PLATFORM)
        self.grant(roles)
        for more, status, code in [
            ({"name": "0d000000-0000-4000-8000-000000000002"}, 409, "RoleAssignmentExists"),
            ({"name": "reader"}, 400, "InvalidRoleAssignmentId"),
        ]:
            with pytest.raises(HttpResponseError) as refusal:
                self.grant(roles, **more)
            assert (refusal.value.status_code, refusal.value.error.code) == (status, code)
        for properties, code in [
            ({"roleDefinitionId": "x/none", "principalId": OBJECTS["reader"]}, "RoleDefinitionDoesNotExist"),
            ({"roleDefinitionId": "x/none", "principalId": "nobody"}, "PrincipalNotFound"),
        ]:
            with pytest.raises(HttpResponseError) as refusal:
                roles.role_assignments.create(group("dns"), self.GRANTED, {"properties": properties})
            assert refusal.value.error.code == code

    def test_a_role_of_ones_own_is_made_given_and_kept_while_it_is_given(self, fresh):
        azure = fresh()
        roles = azure.client(AuthorizationManagementClient, PLATFORM)
        name = "0d000000-0000-4000-8000-0000000000aa"
        permissions = [{"actions": ["Microsoft.Resources/subscriptions/resourceGroups/read"], "notActions": []}]
        body = {"properties": {"roleName": "Group reader", "permissions": permissions, "assignableScopes": [group("dns")]}}
        assert roles.role_definitions.create_or_update(group("dns"), name, body).role_type == "CustomRole"
        self.grant(roles, "Group reader", group("dns"))
        assert azure.arm("GET", group("dns"), "2022-12-01", who="stranger")[0] == 200
        with pytest.raises(HttpResponseError) as refusal:
            roles.role_definitions.delete(group("dns"), name)
        assert refusal.value.error.code == "RoleDefinitionHasAssignments"
        roles.role_assignments.delete(group("dns"), self.GRANTED)
        roles.role_definitions.delete(group("dns"), name)
        assert "Group reader" not in [d.role_name for d in roles.role_definitions.list(group("dns"))]


class TestLogs:
    QUERY = (
        "StorageBlobLogs | project Resource=_ResourceId, Caller=CallerIpAddress"
        " | summarize Requests=count() by Resource, Caller"
    )

    @pytest.fixture(scope="class")
    def workspace(self, azure):
        found = azure.client(LogAnalyticsManagementClient, PLATFORM).workspaces.get("network", "logs")
        return found.customer_id

    @pytest.fixture(scope="class")
    def logs(self, azure):
        return LogsQueryClient(
            azure.credential(),
            endpoint=azure.base,
            audience="https://api.loganalytics.io",
            connection_verify=azure.ca,
            retry_total=0,
        )

    def test_callers_are_told(self, logs, workspace):
        answer = logs.query_workspace(workspace, self.QUERY, timespan=datetime.timedelta(days=1))
        assert "203.0.113.7" in [row["Caller"] for row in answer.tables[0].rows]

    @pytest.mark.parametrize("query, status", [("| where (", 400), ("", 400), ("AzureActivity | take 1", 501)])
    def test_what_is_no_query_is_refused_and_others_are_not_modelled(self, logs, workspace, query, status):
        with pytest.raises(HttpResponseError) as refusal:
            logs.query_workspace(workspace, query, timespan=None)
        assert refusal.value.status_code == status

    def test_a_token_for_arm_is_none_for_logs(self, azure, workspace):
        status, _, body = azure.ask("POST", f"/v1/workspaces/{workspace}/query", {"query": self.QUERY}, azure.token())
        assert (status, body["error"]["code"]) == (403, "InvalidTokenError")


class TestNotModelled:
    """Azure has these; the simulator says that it is the simulator who refuses."""

    def refused(self, call):
        with pytest.raises(HttpResponseError) as refusal:
            list(call())
        assert (refusal.value.status_code, refusal.value.error.code) == (501, "NotModelledByAzureSim")
        assert "azure-sim" in refusal.value.message

    def test_alerts(self, azure):
        monitor = azure.client(MonitorManagementClient, PLATFORM)
        self.refused(lambda: monitor.activity_log_alerts.list_by_subscription_id())

    def test_resource_graph(self, azure):
        graph = azure.client(ResourceGraphClient)
        self.refused(lambda: [graph.resources({"subscriptions": [PLATFORM], "query": "Resources | project id"})])
