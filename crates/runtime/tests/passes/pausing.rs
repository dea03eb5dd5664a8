//! The real controller against an Azure that undoes, refuses or forgets: it slows down by itself and says why.

use std::time::Duration;

use azure_sim::{FaultEffect, FaultRule};
use serde_json::json;

use super::testbed::Testbed;

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

fn struck(testbed: &Testbed) -> u64 {
    testbed.sim.faults().iter().map(|f| f.struck).sum()
}

fn said(testbed: &Testbed) -> String {
    testbed.status()["waitingFor"].to_string()
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
    let testbed = Testbed::quick();
    testbed
        .sim
        .inject(fault("PATCH", "/storageAccounts/", FaultEffect::Unchanged {}));
    let operator = testbed.start();
    testbed
        .until("stalled", HOUR, |testbed| testbed.state() == "Stalled")
        .await;
    assert!(said(&testbed).contains("Modify"), "{}", said(&testbed));
    tokio::time::sleep(2 * HOUR).await;
    assert!(struck(&testbed) <= 9, "{} writes in two hours", struck(&testbed));
    testbed.sim.clear_faults();
    testbed
        .until("locked", 2 * HOUR, |testbed| testbed.state() == "Locked")
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_break_glass_that_azure_accepts_and_does_not_carry_out_is_said() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    testbed
        .sim
        .inject(fault("PATCH", "/storageAccounts/", FaultEffect::Unchanged {}));
    testbed.break_the_glass("2h");
    testbed
        .until("stalled", HOUR / 6, |testbed| testbed.state() == "Stalled")
        .await;
    assert!(said(&testbed).contains("Modify"), "{}", said(&testbed));
    tokio::time::sleep(HOUR).await;
    assert!(
        (8..=20).contains(&struck(&testbed)),
        "{} writes in an hour",
        struck(&testbed)
    );
    operator.stop().await;
}

/// The switch of a container registry goes before its rules, in two operations: each has its effect, and nobody is said to undo it.
#[tokio::test(start_paused = true)]
async fn an_opening_in_two_writes_is_not_called_one_without_effect() {
    let testbed = Testbed::quick();
    let acr = testbed.restrict_container_registry(&["203.0.113.1"]);
    let operator = testbed.start();
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    let said = std::cell::RefCell::new(Vec::new());
    let hears = |testbed: &Testbed| said.borrow_mut().push(testbed.status().to_string());
    testbed.break_the_glass("10m");
    let begun = tokio::time::Instant::now();
    testbed
        .until("as it was", HOUR, |testbed| {
            hears(testbed);
            let body = testbed.sim.with_world(|world| world.get(&acr).unwrap().body.clone());
            testbed.state() == "BreakGlass" && body.to_string().contains("203.0.113.1")
        })
        .await;
    println!("as it was after {:?}", begun.elapsed());
    testbed
        .until("locked again", 4 * HOUR, |testbed| {
            hears(testbed);
            testbed.state() == "Locked"
        })
        .await;
    let said = said.into_inner();
    let false_alarm = said.iter().find(|status| status.contains("Azure accepted that"));
    assert_eq!(false_alarm, None);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_war_leaves_the_lock_ready() {
    let testbed = Testbed::quick_with(|object| object["spec"]["registry"]["tags"] = json!({"costCenter": "4711"}));
    testbed.sim.inject(fault(
        "PATCH",
        "MachineLearningServices/registries/",
        FaultEffect::Unchanged {},
    ));
    let operator = testbed.start();
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(testbed.state(), "Locked");
    assert!(
        testbed.status()["findings"].to_string().contains("costCenter=4711"),
        "{:#}",
        testbed.status()["findings"]
    );
    // Three of them are the claim's tag, which is upkeep beside the others from then on.
    assert!(struck(&testbed) <= 13, "{} writes in two hours", struck(&testbed));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_ends_with_a_code_nobody_knows_stalls_and_makes_no_circle() {
    let testbed = Testbed::quick();
    let effect = FaultEffect::FailOperation {
        code: "PrivateEndpointConnectionProvisioningFailed".into(),
        message: "call failed".into(),
        nested: None,
    };
    testbed.sim.inject(fault("PUT", "/privateEndpoints/", effect));
    let operator = testbed.start();
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(testbed.state(), "Stalled", "{}", said(&testbed));
    let waits = said(&testbed);
    assert!(
        waits.contains("EndpointFailedStalled") && waits.contains("PrivateEndpointConnectionProvisioningFailed"),
        "{waits}"
    );
    let writes = testbed.azure_writes();
    tokio::time::sleep(3 * HOUR).await;
    assert!(
        testbed.azure_writes() <= writes + 4,
        "{writes}, then {}",
        testbed.azure_writes()
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_subscription_is_told_as_one() {
    for (status, code) in [(409, "ReadOnlyDisabledSubscription"), (403, "RequestDisallowedByAzure")] {
        let testbed = Testbed::quick();
        testbed
            .sim
            .inject(fault("PUT", "/providers/", refused(status, code, None)));
        let operator = testbed.start();
        testbed
            .until("stalled", HOUR, |testbed| testbed.state() == "Stalled")
            .await;
        let waits = said(&testbed);
        assert!(waits.contains(code) && !waits.contains("grant the operator"), "{waits}");
        tokio::time::sleep(HOUR).await;
        let most = struck(&testbed);
        assert!(most <= 60, "{code}: {most} writes in an hour for all resources");
        operator.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_the_list_lacks_is_found_by_its_id() {
    let testbed = Testbed::quick();
    let nothing = FaultEffect::Status {
        status: 200,
        code: None,
        message: None,
        body: Some(json!({"value": []})),
        retry_after: None,
    };
    testbed.sim.inject(fault("GET", "/virtualNetworkLinks?", nothing));
    let operator = testbed.start();
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    let writes = testbed.azure_writes();
    tokio::time::sleep(HOUR).await;
    assert_eq!(testbed.azure_writes(), writes, "nothing is linked again");
    operator.stop().await;
}

/// The rules of a container registry are refused only when the operation ends, and it names none of them: they are narrowed down over
/// several visits, and nobody but the one that is refused stays shut out.
#[tokio::test(start_paused = true)]
async fn a_rule_that_a_container_registry_refuses_at_the_end_of_its_operation_keeps_no_other_out() {
    let testbed = Testbed::quick();
    let addresses = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    let acr = testbed.restrict_container_registry(&addresses);
    let operator = testbed.start();
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    let effect = FaultEffect::FailOperation {
        code: "SomethingNew".into(),
        message: "the request is not acceptable".into(),
        nested: None,
    };
    testbed.sim.inject(FaultRule {
        body_contains: Some("203.0.113.3".into()),
        ..fault("PATCH", "/registries/", effect)
    });
    let there = |testbed: &Testbed| {
        let body = testbed.sim.with_world(|world| world.get(&acr).unwrap().body.clone());
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
    testbed.break_the_glass("2h");
    let begun = tokio::time::Instant::now();
    testbed
        .until("the others are back", HOUR, |testbed| there(testbed).len() == 3)
        .await;
    let back = begun.elapsed();
    testbed
        .until("named", HOUR, |testbed| {
            let findings = testbed.status()["findings"].to_string();
            findings.contains("RulesNotPutBack") && findings.contains("203.0.113.3")
        })
        .await;
    let named = begun.elapsed();
    println!("the others are back after {back:?}, the rule is named after {named:?}");
    assert_eq!(testbed.state(), "BreakGlass", "{}", said(&testbed));
    assert!(back < Duration::from_secs(900), "{back:?}");
    assert!(named < Duration::from_secs(1200), "{named:?}");
    assert!(!there(&testbed).contains(&"203.0.113.3".to_owned()));
    operator.stop().await;
}
