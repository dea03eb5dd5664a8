//! Who approves a connection, and what refusals look like.

use azure_sim::world::ApprovalDenial;
use serde_json::json;

use crate::azure::*;

#[tokio::test(start_paused = true)]
async fn a_manual_connection_is_provisioned_but_pending_until_the_owner_decides() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let id = endpoint("blob");
    azure
        .done("PUT", &id, NETWORK, Some(manual_body(&storage, "blob")))
        .await;
    let made = azure.get(&id, NETWORK).await;
    assert_eq!(
        made.text("/properties/provisioningState"),
        "Succeeded",
        "which says nothing about approval"
    );
    assert_eq!(status(&azure, &id), "Pending");
    assert_eq!(made.list("/properties/customDnsConfigs").len(), 0);

    let connection = azure
        .get(&format!("{storage}/privateEndpointConnections"), STORAGE)
        .await
        .text("/value/0/id")
        .to_owned();
    let approve =
        json!({"properties": {"privateLinkServiceConnectionState": {"status": "Approved", "description": "ok"}}});
    let decided = azure.put(&connection, STORAGE, approve).await;
    assert_eq!(decided.status, 200);
    assert!(
        decided.header("azure-asyncoperation").is_none(),
        "storage decides at once"
    );
    assert_eq!(status(&azure, &id), "Approved");
    assert_eq!(
        azure.get(&id, NETWORK).await.list("/properties/customDnsConfigs").len(),
        1
    );
    let nonsense = json!({"properties": {"privateLinkServiceConnectionState": {"status": "Perhaps"}}});
    assert_eq!(azure.put(&connection, STORAGE, nonsense).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_container_registry_decides_by_operation_and_a_removed_connection_is_disconnected() {
    let azure = Azure::new().await;
    let (_, acr) = azure.accounts();
    let id = endpoint("acr");
    azure
        .done("PUT", &id, NETWORK, Some(manual_body(&acr, "registry")))
        .await;
    let connection = azure
        .get(&format!("{acr}/privateEndpointConnections"), ACR)
        .await
        .text("/value/0/id")
        .to_owned();
    let approve = json!({"properties": {"privateLinkServiceConnectionState": {"status": "Approved"}}});
    let started = azure.put(&connection, ACR, approve).await;
    assert!(started.header("azure-asyncoperation").is_some());
    assert_eq!(status(&azure, &id), "Pending");
    azure.finish(&started).await;
    assert_eq!(status(&azure, &id), "Approved");
    let dropped = azure.delete(&connection, ACR).await;
    assert!(dropped.header("location").is_some() && dropped.header("azure-asyncoperation").is_none());
    azure.finish(&dropped).await;
    assert_eq!(status(&azure, &id), "Disconnected");
    azure
        .done("PUT", &id, NETWORK, Some(manual_body(&acr, "registry")))
        .await;
    assert_eq!(status(&azure, &id), "Disconnected", "only a new endpoint cures it");
}

#[tokio::test(start_paused = true)]
async fn approval_needs_a_right_on_the_target() {
    let azure = Azure::with(|seed| {
        seed.principals[0].roles[1].not_actions = vec!["*/privateEndpointConnectionsApproval/action".into()];
    })
    .await;
    let (storage, _) = azure.accounts();
    let refused = azure
        .put(&endpoint("blob"), NETWORK, endpoint_body(&storage, "blob"))
        .await;
    assert_eq!((refused.status, refused.code()), (403, "LinkedAuthorizationFailed"));
    let said = refused.text("/error/message");
    assert!(
        said.contains("'PrivateEndpointConnectionsApproval/action'") && said.contains(&storage),
        "{said}"
    );
    assert!(
        !said.contains("Microsoft.Storage/storageAccounts/PrivateEndpoint"),
        "{said}"
    );
    assert_eq!(
        azure
            .put(&endpoint("blob"), NETWORK, manual_body(&storage, "blob"))
            .await
            .status,
        201
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_approval_comes_in_either_form() {
    for (switch, code) in [
        (ApprovalDenial::Linked, "LinkedAuthorizationFailed"),
        (ApprovalDenial::DenyAssignment, "DenyAssignmentAuthorizationFailed"),
    ] {
        let azure = Azure::with(|seed| {
            seed.switches.deny_managed_approval = true;
            seed.switches.approval_denial = switch;
        })
        .await;
        let (storage, acr) = azure.accounts();
        for (target, group) in [(&storage, "blob"), (&acr, "registry")] {
            let refused = azure.put(&endpoint("x"), NETWORK, endpoint_body(target, group)).await;
            assert_eq!((refused.status, refused.code()), (403, code));
            let said = refused.text("/error/message");
            let blocked = format!("is blocked by deny assignments on the '1' linked scope(s) '{target}'");
            assert_eq!(said.contains(&blocked), code == "LinkedAuthorizationFailed", "{said}");
            assert!(said.contains("eny assignment"), "{said}");
        }
        let registry = azure.registry();
        assert_eq!(
            azure
                .put(&endpoint("r"), NETWORK, endpoint_body(&registry, "amlregistry"))
                .await
                .status,
            201
        );
    }
}

#[tokio::test(start_paused = true)]
async fn connections_stay_pending_where_the_switch_says_so_and_hands_can_decide() {
    let azure = Azure::with(|seed| seed.switches.approval_pending = true).await;
    let (storage, _) = azure.accounts();
    let id = azure.make_endpoint("blob", &storage, "blob").await;
    assert_eq!(status(&azure, &id), "Pending");
    assert!(azure.sim.reject(&id));
    assert_eq!(status(&azure, &id), "Rejected");
    assert!(!azure.sim.approve(&id), "what was rejected cannot be approved");
    assert_eq!(status(&azure, &id), "Rejected");
    assert!(!azure.sim.approve("/nothing"));
}
