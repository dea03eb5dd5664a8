//! What Azure refuses for the sake of other people's things: a rule of a subnet that serves it no more, and the deletion of what
//! somebody locked.

use serde_json::Value;

use super::super::azures::{ADDRESS, lock_deletion, rule_subnet, storage, take_service_endpoint};
use super::{MINUTE, Stage, break_it, open_by_spec};
use crate::testbed::Testbed;

/// In the emergency Azure takes the subnet's rule no more: the address is let in again, all three are open, the rule is named.
pub async fn rules_refused(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    take_service_endpoint(stage.act("take the service endpoint away"));
    break_it(stage).await?;
    let rules = |testbed: &Testbed, kind: &str, field: &str| -> Vec<String> {
        let account = storage(testbed).unwrap_or_default();
        let body = testbed
            .sim
            .with_world(|world| world.get(&account).map(|it| it.body.clone()))
            .unwrap_or_default();
        let rules = body["properties"]["networkAcls"][kind].as_array().cloned();
        let of = |rule: &Value| rule[field].as_str().unwrap_or_default().to_owned();
        rules.unwrap_or_default().iter().map(of).collect()
    };
    let addresses = rules(stage.testbed, "ipRules", "value");
    let subnets = rules(stage.testbed, "virtualNetworkRules", "id");
    if addresses != [ADDRESS] || !subnets.is_empty() {
        return Err(format!("open to {addresses:?} and {subnets:?}"));
    }
    // Somebody may take the status away: it is told again.
    stage
        .until("told which rule is missing", 4 * MINUTE, |testbed| {
            let findings = testbed.status()["findings"].to_string();
            findings.contains("RulesNotPutBack") && findings.contains(rule_subnet())
        })
        .await?;
    stage.locked().await?;
    // What was refused while it was open is a matter of the past.
    stage
        .until("forgotten", 180 * MINUTE, |testbed| {
            testbed.status()["refusals"].is_null()
        })
        .await?;
    stage.locked().await
}

/// A lock keeps one endpoint: the others go, and what is kept is kept with its zone group and its record.
pub async fn deletion_under_a_lock(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    open_by_spec(stage).await?;
    let endpoints = |testbed: &Testbed| ids(testbed, "microsoft.network/privateendpoints");
    let all = endpoints(stage.testbed);
    let kept = all
        .iter()
        .find(|id| id.contains("-blob"))
        .ok_or("no endpoint of the storage account")?;
    lock_deletion(stage.act("lock an endpoint"), kept);
    stage.delete().await?;
    let left = endpoints(stage.testbed);
    if left != [kept.clone()] {
        return Err(format!("left of {all:?}: {left:?}"));
    }
    let groups = ids(stage.testbed, "microsoft.network/privateendpoints/privatednszonegroups");
    let records = ids(stage.testbed, "microsoft.network/privatednszones/a");
    match (groups.len(), records.len()) {
        (1, 1) => Ok(()),
        _ => Err(format!("{kept} was left with {groups:?} and {records:?}")),
    }
}

/// What the operator made of a kind.
fn ids(testbed: &Testbed, kind: &str) -> Vec<String> {
    testbed.sim.with_world(|world| {
        let all = world.of_kind(kind).map(|resource| resource.id.clone());
        all.filter(|id| !id.contains("/sandbox/")).collect()
    })
}
