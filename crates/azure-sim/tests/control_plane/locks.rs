//! Resource locks (`Microsoft.Authorization/locks`).

use serde_json::json;

use crate::azure::*;

const LOCKS: &str = "2016-09-01";
const BLOB: &str = "privatelink.blob.core.windows.net";

async fn lock(azure: &Azure, scope: &str, level: &str) -> String {
    let id = format!("{scope}/providers/Microsoft.Authorization/locks/hands-off");
    let made = azure.put(&id, LOCKS, json!({"properties": {"level": level}})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    id
}

#[tokio::test(start_paused = true)]
async fn a_lock_forbids_deleting_what_lies_below_it_and_read_only_every_write() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let made = azure.make_endpoint("pe", &storage, "blob").await;
    let group = made.rsplit_once("/providers/").unwrap().0.to_owned();
    for scope in [PLATFORM.to_owned(), group.clone(), made.clone()] {
        for (level, write) in [("CanNotDelete", false), ("ReadOnly", true)] {
            let id = lock(&azure, &scope, level).await;
            let refused = azure.delete(&made, NETWORK).await;
            assert_eq!(
                (refused.status, refused.code()),
                (409, "ScopeLocked"),
                "{scope} {level}"
            );
            let body = azure.get(&made, NETWORK).await.body;
            let written = azure.put(&made, NETWORK, body).await;
            assert_eq!(written.status == 409, write, "{scope} {level}: {}", written.body);
            if !write {
                azure.finish(&written).await;
            }
            assert_eq!(azure.delete(&id, LOCKS).await.status, 200);
        }
    }
    assert_eq!(azure.delete(&made, NETWORK).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn a_list_holds_the_locks_at_above_and_below_its_scope() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let made = azure.make_endpoint("pe", &storage, "blob").await;
    for scope in [PLATFORM, &made, ML] {
        lock(&azure, scope, "CanNotDelete").await;
    }
    let list = format!("{made}/providers/Microsoft.Authorization/locks");
    assert_eq!(azure.get(&list, LOCKS).await.list("/value").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lock_on_a_zone_keeps_the_records_and_with_them_the_zone_group() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let zone = azure.make_zone(BLOB, &["hub"]).await;
    let made = azure.make_endpoint("pe", &storage, "blob").await;
    let group = format!("{made}/privateDnsZoneGroups/secureregistry");
    azure.done("PUT", &group, NETWORK, Some(group_body(&zone))).await;
    lock(&azure, &zone, "CanNotDelete").await;
    let started = azure.delete(&group, NETWORK).await;
    let ended = azure.finish(&started).await;
    assert!(ended.body.to_string().contains("ScopeLocked"), "{}", ended.body);
    let records = azure.get(&format!("{zone}/A"), DNS).await.list("/value");
    assert_eq!(records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_only_lock_on_a_zone_lets_no_zone_group_write_records() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let zone = azure.make_zone(BLOB, &["hub"]).await;
    let made = azure.make_endpoint("pe", &storage, "blob").await;
    let group = format!("{made}/privateDnsZoneGroups/secureregistry");
    let record = format!("{zone}/A/{}", storage.rsplit('/').next().unwrap());
    for (scope, level, writes) in [
        (zone.clone(), "ReadOnly", false),
        (record, "ReadOnly", false),
        (format!("{zone}/A/theirs"), "ReadOnly", true),
        (zone.clone(), "CanNotDelete", true),
    ] {
        let id = lock(&azure, &scope, level).await;
        let started = azure.put(&group, NETWORK, group_body(&zone)).await;
        let ended = azure.finish(&started).await;
        assert_eq!(
            ended.body.to_string().contains("ScopeLocked"),
            !writes,
            "{scope} {level}: {}",
            ended.body
        );
        let records = azure.get(&format!("{zone}/A"), DNS).await.list("/value");
        assert_eq!(records.len(), usize::from(writes), "{scope} {level}");
        assert_eq!(azure.delete(&id, LOCKS).await.status, 200);
        azure.done("DELETE", &group, NETWORK, None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_on_other_records_of_a_zone_keeps_no_zone_group() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let zone = azure.make_zone(BLOB, &["hub"]).await;
    let made = azure.make_endpoint("pe", &storage, "blob").await;
    let group = format!("{made}/privateDnsZoneGroups/secureregistry");
    azure.done("PUT", &group, NETWORK, Some(group_body(&zone))).await;
    for below in ["SOA/@", "A/theirs"] {
        lock(&azure, &format!("{zone}/{below}"), "CanNotDelete").await;
    }
    azure.done("DELETE", &group, NETWORK, None).await;
    let records = azure.get(&format!("{zone}/A"), DNS).await.list("/value");
    assert_eq!(records.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_read_only_lock_refuses_what_would_close_or_open_a_target() {
    let azure = Azure::new().await;
    let (storage, acr) = azure.accounts();
    let group = storage.rsplit_once("/providers/").unwrap().0.to_owned();
    let registry = azure.registry();
    for (target, scope, version) in [
        (&storage, &storage, STORAGE),
        (&acr, &group, ACR),
        (&registry, &registry, REGISTRY),
    ] {
        let id = lock(&azure, scope, "ReadOnly").await;
        let change = json!({"properties": {"publicNetworkAccess": "Disabled"}});
        let refused = azure.patch(target, version, change).await;
        assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"), "{target}");
        let body = azure.get(target, version).await.body;
        let refused = azure.put(target, version, body.clone()).await;
        assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"), "{target}");
        assert_eq!(azure.get(target, version).await.body, body, "nothing of it has changed");
        assert_eq!(azure.delete(&id, LOCKS).await.status, 200);
    }
}
