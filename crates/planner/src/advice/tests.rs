use sreg_domain::Cause;

use super::*;

const ENDPOINT: &str = "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/privateEndpoints/pe";

fn refused(code: &str, message: &str) -> CallFailure {
    CallFailure {
        code: Some(code.into()),
        status: Some(403),
        ..CallFailure::local(format!("create private endpoint {ENDPOINT}"), Cause::Refused, message)
    }
}

fn said(code: &str, message: &str) -> String {
    advise(&refused(code, message)).1
}

const STORE: &str = "/subscriptions/s/resourceGroups/m/providers/Microsoft.Storage/storageAccounts/st";
const REGISTRY: &str = "/subscriptions/s/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/r";
const ZONE: &str = "/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/z";

/// What a sample is about: its step and its resource.
const ABOUT: &[(&str, StepKind, &str)] = &[
    ("by tags[costCenter] of the account", StepKind::Close, STORE),
    ("by tags[costCenter] of the registry", StepKind::Close, REGISTRY),
    ("Resource 'z' was disallowed", StepKind::CreateZone, ZONE),
];

/// The refusal of a sample.
fn with_sample<T>(code: &str, message: &str, look: impl FnOnce(Refusal<'_>) -> T) -> T {
    let failure = refused(code, message);
    let about = ABOUT.iter().find(|(part, ..)| message.contains(part));
    let Some((_, step, resource)) = about else {
        return look(Refusal::from(&failure));
    };
    let failure = CallFailure {
        attempt: format!("write {resource}"),
        ..failure
    };
    look(Refusal::of_step(&step.on("x"), &failure))
}

const STACK: &str = "/subscriptions/s/resourceGroups/net/providers/Microsoft.Resources/deploymentStacks/platform";

/// For each row what Azure says with such a code, and which of its words the advice has to hold.
const AS_AZURE_WRITES: &[(&str, &str, &str)] = &[
    (
        "DenyAssignmentAuthorizationFailed",
        "The client 'c' with object id 'me' has permission to perform action 'Microsoft.Network/privateEndpoints/write' on scope 'ENDPOINT'; however, the access is denied because of the deny assignment with name 'Deny assignment '55c8dc03' created by Deployment Stack 'STACK'.' and Id '55c8dc03' at scope 'ENDPOINT'.",
        "az resource show --ids STACK) deploys it again with --deny-settings-excluded-principals me",
    ),
    (
        "DenyAssignmentAuthorizationFailed",
        "The client 'c' with object id 'me' has permission to perform action 'Microsoft.Storage/storageAccounts/write' on scope 'ENDPOINT'; however, the access is denied because of the deny assignment with name 'System deny assignment' and Id '7ab1' at scope '/subscriptions/s/resourceGroups/m'.",
        "--url '/subscriptions/s/resourceGroups/m/providers/Microsoft.Authorization/denyAssignments/7ab1?api-version=",
    ),
    (
        "LinkedAuthorizationFailed",
        "The client 'c' with object id 'me' has permission to perform action 'Microsoft.Network/privateEndpoints/write' on scope 'ENDPOINT'; however, it does not have permission to perform action 'Microsoft.Network/virtualNetworks/subnets/join/action' on the '0' linked scope(s) '' or the linked scope(s) are invalid and is blocked by deny assignments on the '1' linked scope(s) '/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/v/subnets/e'.",
        "--url '/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/v/subnets/e/providers/Microsoft.Authorization/denyAssignments?",
    ),
    (
        "LinkedAuthorizationFailed",
        "The client has permission to perform action 'Microsoft.Storage/storageAccounts/privateEndpointConnectionsApproval/action' on scope 'ENDPOINT', however the current tenant '0a-tenant' is not authorized to access linked subscription '0b-other'.",
        "tenant 0a-tenant helps: subscription 0b-other belongs to another one",
    ),
    (
        "AuthorizationFailed",
        "The client 'c' with object id 'me' does not have authorization to perform action 'Microsoft.Network/privateEndpoints/write' over scope 'ENDPOINT' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        "--assignee-object-id me --assignee-principal-type ServicePrincipal --role \"Secure Registry Operator: private endpoints\" --scope ENDPOINT",
    ),
    (
        "RequestDisallowedByPolicy",
        "Resource 'pe' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"tags\",\"id\":\"/providers/Microsoft.Authorization/policyAssignments/tags\"}}]'. (denied by policy \"tags\" by tags[costCenter])",
        "under spec.tags, or spec.endpoints[].tags",
    ),
    (
        "RequestDisallowedByPolicy",
        "Resource 'st' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"tags\",\"id\":\"/providers/Microsoft.Authorization/policyAssignments/tags\"}}]'. (denied by policy \"tags\" by tags[costCenter] of the account)",
        "az tag update --resource-id /subscriptions/s/resourceGroups/m/providers/Microsoft.Storage/storageAccounts/st --operation Merge",
    ),
    (
        "RequestDisallowedByPolicy",
        "Resource 'r' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"tags\",\"id\":\"/providers/Microsoft.Authorization/policyAssignments/tags\"}}]'. (denied by policy \"tags\" by tags[costCenter] of the registry)",
        "under spec.registry.tags",
    ),
    (
        "RequestDisallowedByPolicy",
        "Resource 'z' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"zones\",\"id\":\"/providers/Microsoft.Authorization/policyAssignments/zones\"}}]'. (denied by policy \"zones\" by name)",
        "spec.endpoints[].dns.mode: Existing",
    ),
    (
        "RequestDisallowedByPolicy",
        "Resource 'pe' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"names\",\"id\":\"/providers/Microsoft.Authorization/policyAssignments/names\"}}]'. (denied by policy \"names\" by name)",
        "nameTemplate",
    ),
    (
        "RequestDisallowedByPolicy",
        "Resource 'pe' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"guard\",\"id\":\"/providers/Microsoft.Authorization/policyAssignments/guard\"},\"policyDefinition\":{\"name\":\"d\",\"id\":\"/d/d\"}}]'.",
        "--policy-assignment /providers/Microsoft.Authorization/policyAssignments/guard --scope ENDPOINT",
    ),
    (
        "ScopeLocked",
        "The scope 'ENDPOINT' cannot perform write operation because following scope(s) are locked: '/subscriptions/s/resourceGroups/net'. Please remove the lock and try again.",
        "--url '/subscriptions/s/resourceGroups/net/providers/Microsoft.Authorization/locks?",
    ),
    (
        "ScopeLocked",
        "Call to Microsoft.Network/privateDnsZones failed. Error message: The scope 'ENDPOINT' cannot perform delete operation because following scope(s) are locked: '/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/z'. Please remove the lock and try again.",
        "lock on /subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/z;",
    ),
    (
        "ReadOnlyDisabledSubscription",
        "The subscription 's' is disabled and therefore marked as read only. You cannot perform any write actions on this subscription until it is re-enabled.",
        "az account show --subscription s ",
    ),
    (
        "RequestDisallowedByAzure",
        "Resource 'pe' was disallowed by Azure: This policy maintains a set of best available regions where your subscription can deploy resources.",
        "support",
    ),
    (
        "MissingSubscriptionRegistration",
        "The subscription is not registered to use namespace 'Microsoft.Network'. See https://aka.ms/rps-not-found for how to register subscriptions.",
        "--namespace Microsoft.Network --subscription s",
    ),
    (
        "SubscriptionNotFound",
        "The subscription 's' could not be found.",
        "--subscription s ",
    ),
    (
        "ResourceGroupNotFound",
        "Resource group 'net' could not be found.",
        "az group create --name net ",
    ),
    (
        "InvalidAuthenticationTokenTenant",
        "The access token is from the wrong issuer 'https://sts.windows.net/a/'. It must match the tenant 'https://sts.windows.net/b/' associated with this subscription.",
        "az account show --subscription s --query tenantId",
    ),
    (
        "InvalidAuthenticationToken",
        "The access token is invalid.",
        "kubectl get deployment",
    ),
    (
        "NoRegisteredProviderFound",
        "No registered resource provider found for location 'westeurope' and API version '2024-05-01' for type 'privateEndpoints'.",
        "--namespace Microsoft.Network --subscription s",
    ),
    (
        "DisablingPublicNetworkAccessNotSupported",
        "Disabling public network access is not supported for the SKU Basic.",
        "az resource update --ids ENDPOINT",
    ),
    (
        "PrivateEndpointCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled",
        "Private endpoint ENDPOINT cannot be created in a subnet /subscriptions/s/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/e since it has private endpoint network policies enabled.",
        "--ids /subscriptions/s/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/e ",
    ),
    (
        "PrivateEndpointQuotaExceeded",
        "Cannot create more than 1000 private endpoints for this subscription in this region.",
        "az network private-endpoint list --subscription s",
    ),
    (
        "NetworkSecurityPerimeterAssociationConflict",
        "The resource is associated with a network security perimeter.",
        "--url 'ENDPOINT/networkSecurityPerimeterConfigurations?",
    ),
];

#[test]
fn nothing_that_azure_names_is_left_to_fill_in() {
    let named = |text: &str| text.replace("ENDPOINT", ENDPOINT).replace("STACK", STACK);
    for (code, message, holds) in AS_AZURE_WRITES {
        let text = with_sample(code, &named(message), |refusal| advise(refusal).1);
        assert!(text.contains(&named(holds)), "{code}: {text}");
        // What only a person knows.
        let unknown = ["LOCK", "LOCATION", "OBJECT_ID", "AZURE_TENANT_ID"];
        let text = unknown.iter().fold(text, |text, word| text.replace(word, ""));
        let text = text.replace("pe-{registry}-{group}-{hash}", "");
        let names = [
            "RESOURCE",
            "ROLE",
            "ASSIGNMENT",
            "SUBSCRIPTION",
            "PROVIDER",
            "SUBNET",
            "STACK_ID",
            "TENANT",
        ];
        let left = names.iter().find(|word| text.contains(*word));
        assert!(!text.contains('{') && left.is_none(), "{code}: {text}");
    }
    for each in ROWS {
        let is = |(code, message, _): &&(&str, &str, &str)| {
            with_sample(code, &named(message), row).is_some_and(|row| std::ptr::eq(row.advice, each.advice))
        };
        assert!(
            AS_AZURE_WRITES.iter().any(|said| is(&said)),
            "nothing is said by {:?}: {}",
            each.codes,
            each.advice
        );
    }
}

/// A policy's owner writes why it denies, and may write there what looks like Azure's identifiers.
#[test]
fn nobody_is_told_to_exempt_from_an_assignment_that_somebody_else_named() {
    const OTHER: &str = "\"policyAssignment\":{\"id\":\"/providers/Microsoft.Authorization/policyAssignments/theirs\"}";
    const OWN: &str =
        "\"policyAssignment\":{\"name\":\"own\",\"id\":\"/providers/Microsoft.Authorization/policyAssignments/own\"}";
    for (message, assignment) in [
        (
            format!("no. Reasons: '{OTHER}'. See error details for policy resource IDs."),
            "ASSIGNMENT",
        ),
        (
            format!("Resource '{OTHER}' was disallowed by policy. Policy identifiers: '[{{{OWN}}}]'."),
            "/providers/Microsoft.Authorization/policyAssignments/own",
        ),
        (
            "\"policyAssignment\":{\"id\":\"/subscriptions/s\"}".to_owned(),
            "ASSIGNMENT",
        ),
        (
            "\"policyAssignment\":{\"id\":\"/a/policyAssignments/x'; id; '\"}".to_owned(),
            r"'/a/policyAssignments/x'\''; id; '\'''",
        ),
    ] {
        let text = said("RequestDisallowedByPolicy", &message);
        assert!(
            text.contains(&format!("--policy-assignment {assignment} --scope ")),
            "{text}"
        );
    }
}

#[test]
fn an_id_that_cannot_be_taken_whole_is_left_to_fill_in() {
    for name in ["x;id", "x'; id; '", "x\"$HOME", "x,y"] {
        let named: Vec<&str> = ids(&format!("see /subscriptions/s/{name}")).map(|_| "an id").collect();
        assert!(named.is_empty(), "{name}");
    }
}

/// Some places stand on groups or subscriptions, whose ids tell nothing of what is in them.
#[test]
fn a_list_that_may_not_be_read_names_the_role_that_is_made_for_its_scope() {
    for (action, scope, place) in [
        (
            "Microsoft.Network/privateDnsZones/read",
            "/subscriptions/s",
            rights::Place::Subscription,
        ),
        (
            "Microsoft.Authorization/policyAssignments/read",
            "/subscriptions/s",
            rights::Place::Subscription,
        ),
        (
            "Microsoft.Authorization/denyAssignments/read",
            "/subscriptions/s/resourceGroups/net",
            rights::Place::Endpoints,
        ),
        ("Microsoft.Authorization/locks/read", ENDPOINT, rights::Place::Endpoints),
    ] {
        let why = Ignorance {
            attempt: format!("list x of {scope}"),
            kind: IgnoranceKind::Forbidden,
            message: format!(
                "no role allows action '{action}' over scope '{scope}', and without that Azure may answer with a list that is short or empty"
            ),
            code: None,
            correlation_id: None,
            retry_after: None,
        };
        let (reason, text) = advise(&why);
        assert_eq!(reason, WaitReason::PermissionStalled);
        let command = format!("--role \"{}\" --scope {scope}", place.role());
        assert!(text.ends_with(&command), "{action}: {text}");
    }
}

#[test]
fn what_is_looked_at_in_vain_is_answered_like_what_is_written() {
    let why = Ignorance {
        attempt: format!("read {ENDPOINT}"),
        kind: IgnoranceKind::Forbidden,
        message: format!(
            "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Network/privateEndpoints/read' over scope '{ENDPOINT}' or the scope is invalid."
        ),
        code: Some("AuthorizationFailed".into()),
        correlation_id: None,
        retry_after: None,
    };
    let (reason, text) = advise(&why);
    assert_eq!(reason, WaitReason::PermissionStalled);
    assert!(
        text.contains("--role \"Secure Registry Operator: private endpoints\""),
        "{text}"
    );
    let absent = Ignorance {
        code: Some("ResourceGroupNotFound".into()),
        kind: IgnoranceKind::Refused,
        ..why
    };
    let (reason, text) = advise(&absent);
    assert_eq!(reason, WaitReason::ScopeAbsentStalled);
    assert!(text.contains("az group create --name net "), "{text}");
}

/// Log Analytics names no action, and a resource group may have brackets in its name (azure-cli#799).
#[test]
fn who_refuses_without_an_action_and_names_with_brackets_are_understood() {
    let workspace = "/subscriptions/s/resourceGroups/logs(prod)/providers/Microsoft.OperationalInsights/workspaces/w";
    let why = Ignorance {
        attempt: format!("query {workspace} for clients"),
        kind: IgnoranceKind::Forbidden,
        message: "The provided credentials have insufficient access to perform the requested operation".into(),
        code: Some("InsufficientAccessError".into()),
        correlation_id: None,
        retry_after: None,
    };
    let (reason, text) = advise(&why);
    assert_eq!(reason, WaitReason::PermissionStalled);
    assert!(
        text.contains(&format!("--role \"{}\"", rights::Place::Workspace.role())),
        "{text}"
    );
    assert!(text.ends_with(&format!("--scope '{workspace}'")), "{text}");
    let identity = "/subscriptions/s/resourceGroups/ids/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a";
    let text = said(
        "LinkedAuthorizationFailed",
        &format!(
            "has permission to perform action 'x/write' on scope '/y'; however, it does not have permission to perform action 'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked scope(s) '{identity},{identity}2' or the linked scope(s) are invalid."
        ),
    );
    let command = format!("--role \"Managed Identity Operator\" --scope {identity}");
    assert!(text.ends_with(&command), "{text}");
    let named: Vec<&str> = ids("see (/subscriptions/s/resourceGroups/a(b)/x), or /subscriptions/s/y).").collect();
    assert_eq!(named, ["/subscriptions/s/resourceGroups/a(b)/x", "/subscriptions/s/y"]);
}

#[test]
fn the_advice_is_right_for_the_code() {
    let rights = said(
        "AuthorizationFailed",
        &format!(
            "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Network/privateEndpoints/write' over scope '{ENDPOINT}' or the scope is invalid."
        ),
    );
    assert!(rights.contains("--assignee-object-id o "), "{rights}");
    assert!(
        rights.contains("--role \"Secure Registry Operator: private endpoints\""),
        "{rights}"
    );
    assert!(rights.ends_with(&format!("--scope {ENDPOINT}")), "{rights}");
    let store = "/subscriptions/s/resourceGroups/m/providers/Microsoft.Storage/storageAccounts/st";
    let linked = said(
        "LinkedAuthorizationFailed",
        &format!(
            "The client 'c' with object id 'o' has permission to perform action 'Microsoft.Network/privateEndpoints/write' on scope '{ENDPOINT}'; however, it does not have permission to perform action 'PrivateEndpointConnectionsApproval/action' on the linked scope(s) '{store}' or the linked scope(s) are invalid."
        ),
    );
    assert!(linked.ends_with(&format!("--scope {store}")), "{linked}");
    let creation = |code: &str, message: &str| {
        let step = StepKind::CreateEndpoint.on("hub/blob");
        advise(Refusal::of_step(&step, &refused(code, message))).1
    };
    let policy = creation(
        "RequestDisallowedByPolicy",
        "Resource 'pe' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"tags\",\"id\":\"/providers/x/policyAssignments/tags\"}}]'.",
    );
    assert!(
        policy.contains("--policy-assignment /providers/x/policyAssignments/tags "),
        "{policy}"
    );
    assert!(
        policy.ends_with("--scope /subscriptions/s/resourceGroups/net"),
        "not yet there: {policy}"
    );
    let blocked = said(
        "LinkedAuthorizationFailed",
        "on the '0' linked scope(s) '' or the linked scope(s) are invalid and is blocked by deny assignments on the '1' linked scope(s) '/subscriptions/s/x'.",
    );
    assert!(
        !blocked.contains("az role assignment") && blocked.contains("no right"),
        "{blocked}"
    );
    for code in [
        "ScopeLocked",
        "ReadOnlyDisabledSubscription",
        "RequestDisallowedByAzure",
        "RequestDisallowedByPolicy",
    ] {
        let text = said(code, "no");
        assert!(
            !text.contains("az role assignment") && text.contains("no right"),
            "{code}: {text}"
        );
    }
    assert!(said("MissingSubscriptionRegistration", "x").contains("--namespace Microsoft.Network --subscription s"));
    assert!(said("SomethingNew", "x").contains(&format!("--resource-id {ENDPOINT} ")));
    let tags = said(
        "RequestDisallowedByPolicy",
        "no (denied by policy \"p\" by tags[owner])",
    );
    assert!(tags.contains("spec.tags"), "{tags}");
    let names = said("RequestDisallowedByPolicy", "no (denied by policy \"p\" by name)");
    assert!(names.ends_with("pe-{registry}-{group}-{hash}"), "{names}");
    let targets = said(
        "MissingSubscriptionRegistration",
        "The subscription 'other' is not registered to use namespace 'Microsoft.MachineLearningServices'. See how to register.",
    );
    assert!(
        targets.contains("--namespace Microsoft.MachineLearningServices --subscription other"),
        "{targets}"
    );
}
