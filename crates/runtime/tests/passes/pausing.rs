//! The real controller against an Azure that undoes, refuses or forgets: it slows down by itself and says why.

use std::time::Duration;

use azure_sim::{FaultEffect, FaultRule};
use serde_json::json;

use super::stand::Stand;

const HOUR: Duration = Duration::from_secs(3600);

fn fault(method: &str, path: &str, effect: FaultEffect) -> FaultRule {
    FaultRule {
        name: None,
        method: Some(method.into()),
        path: Some(path.into()),
        body_contains: None,
        nth: None,
        times: None,
        probability: None,
        seed: 0,
        effect,
    }
}

fn struck(stand: &Stand) -> u64 {
    stand.sim.faults().iter().map(|f| f.struck).sum()
}

fn said(stand: &Stand) -> String {
    stand.status()["waitingFor"].to_string()
}

fn refused(status: u16, code: &str, retry_after: Option<u64>) -> FaultEffect {
    FaultEffect::Status {
        status,
        code: Some(code.into()),
        message: Some("said so".into()),
        body: None,
        retry_after,
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_puts_back_what_the_lock_writes_is_named_and_not_fought() {
    let stand = Stand::quick();
    stand
        .sim
        .inject(fault("PATCH", "/storageAccounts/", FaultEffect::Unchanged {}));
    let operator = stand.start();
    stand.until("stalled", HOUR, |stand| stand.state() == "Stalled").await;
    assert!(said(&stand).contains("Modify"), "{}", said(&stand));
    tokio::time::sleep(2 * HOUR).await;
    assert!(struck(&stand) <= 9, "{} writes in two hours", struck(&stand));
    stand.sim.clear_faults();
    stand.until("locked", 2 * HOUR, |stand| stand.state() == "Locked").await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_break_glass_that_azure_accepts_and_does_not_carry_out_is_said() {
    let stand = Stand::quick();
    let operator = stand.start();
    stand.until("locked", HOUR, |stand| stand.state() == "Locked").await;
    stand
        .sim
        .inject(fault("PATCH", "/storageAccounts/", FaultEffect::Unchanged {}));
    stand.break_the_glass("2h");
    stand
        .until("stalled", HOUR / 6, |stand| stand.state() == "Stalled")
        .await;
    assert!(said(&stand).contains("Modify"), "{}", said(&stand));
    tokio::time::sleep(HOUR).await;
    assert!(
        (8..=20).contains(&struck(&stand)),
        "{} writes in an hour",
        struck(&stand)
    );
    operator.stop().await;
}

/// The switch of a container registry goes before its rules, in two operations: each has its effect, and nobody is said to undo it.
#[tokio::test(start_paused = true)]
async fn an_opening_in_two_writes_is_not_called_one_without_effect() {
    let stand = Stand::quick();
    let acr = stand.restrict_container_registry(&["203.0.113.1"]);
    let operator = stand.start();
    stand.until("locked", HOUR, |stand| stand.state() == "Locked").await;
    let said = std::cell::RefCell::new(Vec::new());
    let hears = |stand: &Stand| said.borrow_mut().push(stand.status().to_string());
    stand.break_the_glass("10m");
    let begun = tokio::time::Instant::now();
    stand
        .until("as it was", HOUR, |stand| {
            hears(stand);
            let body = stand.sim.with_world(|world| world.get(&acr).unwrap().body.clone());
            stand.state() == "BreakGlass" && body.to_string().contains("203.0.113.1")
        })
        .await;
    println!("as it was after {:?}", begun.elapsed());
    stand
        .until("locked again", 4 * HOUR, |stand| {
            hears(stand);
            stand.state() == "Locked"
        })
        .await;
    let said = said.into_inner();
    let false_alarm = said.iter().find(|status| status.contains("Azure accepted that"));
    assert_eq!(false_alarm, None);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_war_leaves_the_lock_ready() {
    let stand = Stand::quick_with(|object| object["spec"]["registry"]["tags"] = json!({"costCenter": "4711"}));
    stand.sim.inject(fault(
        "PATCH",
        "MachineLearningServices/registries/",
        FaultEffect::Unchanged {},
    ));
    let operator = stand.start();
    stand.until("locked", HOUR, |stand| stand.state() == "Locked").await;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(stand.state(), "Locked");
    assert!(
        stand.status()["findings"].to_string().contains("costCenter=4711"),
        "{:#}",
        stand.status()["findings"]
    );
    // Three of them are the claim's tag, which is upkeep beside the others from then on.
    assert!(struck(&stand) <= 13, "{} writes in two hours", struck(&stand));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_ends_with_a_code_nobody_knows_stalls_and_makes_no_circle() {
    let stand = Stand::quick();
    let effect = FaultEffect::FailOperation {
        code: "PrivateEndpointConnectionProvisioningFailed".into(),
        message: "call failed".into(),
        nested: None,
    };
    stand.sim.inject(fault("PUT", "/privateEndpoints/", effect));
    let operator = stand.start();
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(stand.state(), "Stalled", "{}", said(&stand));
    let waits = said(&stand);
    assert!(
        waits.contains("EndpointFailedStalled") && waits.contains("PrivateEndpointConnectionProvisioningFailed"),
        "{waits}"
    );
    let writes = stand.azure_writes();
    tokio::time::sleep(3 * HOUR).await;
    assert!(
        stand.azure_writes() <= writes + 4,
        "{writes}, then {}",
        stand.azure_writes()
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_subscription_is_told_as_one() {
    for (status, code) in [(409, "ReadOnlyDisabledSubscription"), (403, "RequestDisallowedByAzure")] {
        let stand = Stand::quick();
        stand
            .sim
            .inject(fault("PUT", "/providers/", refused(status, code, None)));
        let operator = stand.start();
        stand.until("stalled", HOUR, |stand| stand.state() == "Stalled").await;
        let waits = said(&stand);
        assert!(waits.contains(code) && !waits.contains("grant the operator"), "{waits}");
        tokio::time::sleep(HOUR).await;
        let most = struck(&stand);
        assert!(most <= 60, "{code}: {most} writes in an hour for all resources");
        operator.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_the_list_lacks_is_found_by_its_id() {
    let stand = Stand::quick();
    let nothing = FaultEffect::Status {
        status: 200,
        code: None,
        message: None,
        body: Some(json!({"value": []})),
        retry_after: None,
    };
    stand.sim.inject(fault("GET", "/virtualNetworkLinks?", nothing));
    let operator = stand.start();
    stand.until("locked", HOUR, |stand| stand.state() == "Locked").await;
    let writes = stand.azure_writes();
    tokio::time::sleep(HOUR).await;
    assert_eq!(stand.azure_writes(), writes, "nothing is linked again");
    operator.stop().await;
}

/// The rules of a container registry are refused only when the operation ends, and it names none of them: they are narrowed down over
/// several visits, and nobody but the one that is refused stays shut out.
#[tokio::test(start_paused = true)]
async fn a_rule_that_a_container_registry_refuses_at_the_end_of_its_operation_keeps_no_other_out() {
    let stand = Stand::quick();
    let addresses = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    let acr = stand.restrict_container_registry(&addresses);
    let operator = stand.start();
    stand.until("locked", HOUR, |stand| stand.state() == "Locked").await;
    let effect = FaultEffect::FailOperation {
        code: "SomethingNew".into(),
        message: "the request is not acceptable".into(),
        nested: None,
    };
    stand.sim.inject(FaultRule {
        body_contains: Some("203.0.113.3".into()),
        ..fault("PATCH", "/registries/", effect)
    });
    let there = |stand: &Stand| {
        let body = stand.sim.with_world(|world| world.get(&acr).unwrap().body.clone());
        let properties = &body["properties"];
        assert!(
            properties["publicNetworkAccess"] == "Disabled" || properties["networkRuleSet"]["defaultAction"] == "Deny",
            "never wider than before: {properties}"
        );
        let rules = properties["networkRuleSet"]["ipRules"].as_array().unwrap().iter();
        rules
            .map(|rule| rule["value"].as_str().unwrap().to_owned())
            .collect::<Vec<String>>()
    };
    stand.break_the_glass("2h");
    let begun = tokio::time::Instant::now();
    stand
        .until("the others are back", HOUR, |stand| there(stand).len() == 3)
        .await;
    let back = begun.elapsed();
    stand
        .until("named", HOUR, |stand| {
            let findings = stand.status()["findings"].to_string();
            findings.contains("RulesNotPutBack") && findings.contains("203.0.113.3")
        })
        .await;
    let named = begun.elapsed();
    println!("the others are back after {back:?}, the rule is named after {named:?}");
    assert_eq!(stand.state(), "BreakGlass", "{}", said(&stand));
    assert!(back < Duration::from_secs(900), "{back:?}");
    assert!(named < Duration::from_secs(1200), "{named:?}");
    assert!(!there(&stand).contains(&"203.0.113.3".to_owned()));
    operator.stop().await;
}
