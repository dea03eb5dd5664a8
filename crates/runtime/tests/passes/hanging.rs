//! An opening waits for nothing that it does not need: something of Azure hangs, and a break-glass opens all the same.

use std::time::Duration;

use azure_sim::{FaultEffect, FaultRule};
use serde_json::Value;

use super::testbed::Testbed;

const HOUR: Duration = Duration::from_secs(3600);

fn hangs(path: &str) -> FaultRule {
    answers(path, FaultEffect::TimeoutBeforeEffect {})
}

fn answers(path: &str, effect: FaultEffect) -> FaultRule {
    FaultRule {
        name: None,
        method: Some("GET".into()),
        path: Some(path.into()),
        body_contains: None,
        nth: None,
        times: None,
        probability: None,
        seed: 0,
        effect,
    }
}

fn status(status: u16, retry_after: Option<u64>) -> FaultEffect {
    FaultEffect::Status {
        status,
        code: Some("ServerBusy".into()),
        message: None,
        body: None,
        retry_after,
    }
}

async fn locked(testbed: &Testbed) {
    testbed
        .until("locked", 6 * HOUR, |testbed| testbed.state() == "Locked")
        .await;
    tokio::time::sleep(Duration::from_secs(120)).await;
}

/// What hangs, how many are open then, whether a look at everything is under way when the emergency begins, and after how many seconds
/// the first and the last opening write are sent at most. Each hanging read is waited for twice, by the
/// visit and by the fence before the write. docs/break-glass.md says the numbers.
#[tokio::test(start_paused = true)]
async fn whatever_hangs_a_break_glass_opens_within_seconds_all_that_it_can() {
    for (path, open, under_way, first, last) in [
        ("nothing", 3, false, 2, 2),
        ("nothing", 3, true, 2, 2),
        ("providers/Microsoft.Network/", 3, false, 10, 10),
        ("providers/Microsoft.Network/", 3, true, 10, 10),
        ("privateDnsZones", 3, false, 10, 10),
        ("providers/Microsoft.Authorization/", 3, true, 10, 10),
        ("replications", 3, false, 10, 10),
        ("storageAccounts", 2, false, 20, 20),
        ("Microsoft.ContainerRegistry", 2, true, 20, 20),
        ("Microsoft.MachineLearningServices/registries", 2, false, 20, 20),
        ("Microsoft.MachineLearningServices/registries", 2, true, 20, 20),
    ] {
        let testbed = Testbed::quick();
        let operator = testbed.start();
        locked(&testbed).await;
        testbed.sim.inject(hangs(path));
        if under_way {
            testbed.apply_quick(|object| object["spec"]["drift"] = serde_json::json!({"interval": "9m"}));
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let (begun, before) = (testbed.sim.now(), testbed.openings().len());
        testbed.break_the_glass("30m");
        testbed
            .until(path, Duration::from_secs(40), |testbed| {
                testbed.open_targets().len() == open
            })
            .await;
        let sent = testbed.openings();
        let after = |at: &Duration| at.saturating_sub(begun).as_secs_f64();
        let took: Vec<f64> = sent.iter().skip(before).map(after).collect();
        println!("{path}, a look under way: {under_way}: {took:?}");
        let (earliest, latest) = (took.first().copied(), took.last().copied());
        assert!(earliest.is_some_and(|at| at <= f64::from(first)), "{path}: {took:?}");
        assert!(latest.is_some_and(|at| at <= f64::from(last)), "{path}: {took:?}");
        operator.kill().await;
    }
}

/// A container registry refuses a rule at the end of its operation: how that stands is asked, whatever hangs.
#[tokio::test(start_paused = true)]
async fn a_rule_that_azure_refuses_keeps_no_other_out_while_the_network_provider_hangs() {
    let testbed = Testbed::quick();
    let (good, bad) = ("203.0.113.1", "203.0.113.3");
    let acr = testbed.restrict_container_registry(&[good, bad]);
    let operator = testbed.start();
    locked(&testbed).await;
    let effect = FaultEffect::FailOperation {
        code: "InvalidIpRule".into(),
        message: format!("The IP rule {bad} is not valid for this registry."),
        nested: None,
    };
    testbed.sim.inject(FaultRule {
        method: Some("PATCH".into()),
        body_contains: Some(bad.into()),
        ..answers("/registries/", effect)
    });
    testbed.sim.inject(hangs("Microsoft.Network"));
    testbed.break_the_glass("1h");
    let begun = tokio::time::Instant::now();
    let rules = |testbed: &Testbed| {
        let body = testbed.sim.with_world(|world| world.get(&acr).unwrap().body.clone());
        body["properties"]["networkRuleSet"]["ipRules"].to_string()
    };
    testbed
        .until("the other is back", HOUR, |testbed| rules(testbed).contains(good))
        .await;
    let back = begun.elapsed();
    let told = |testbed: &Testbed| {
        let findings = testbed.status()["findings"].to_string();
        findings.contains("RulesNotPutBack") && findings.contains(bad)
    };
    testbed.until("named", HOUR, told).await;
    println!(
        "the other is back after {back:?}, the rule is named after {:?}",
        begun.elapsed()
    );
    assert!(back < Duration::from_secs(120), "{back:?}");
    operator.kill().await;
}

/// An operation that closes something is under way, and nobody can tell how it stands.
#[tokio::test(start_paused = true)]
async fn an_operation_whose_state_cannot_be_read_does_not_hold_an_opening_back() {
    for unreadable in [
        FaultEffect::TimeoutBeforeEffect {},
        status(429, Some(300)),
        status(503, None),
    ] {
        let testbed = Testbed::quick();
        let operator = testbed.start();
        testbed
            .until("closing", 6 * HOUR, |testbed| !testbed.closings().is_empty())
            .await;
        testbed.sim.inject(answers("/operation", unreadable.clone()));
        testbed
            .until("closed", 6 * HOUR, |testbed| testbed.open_targets().len() < 3)
            .await;
        testbed.break_the_glass("30m");
        testbed
            .until(&format!("{unreadable:?}"), Duration::from_secs(40), |testbed| {
                testbed.open_targets().len() == 3
            })
            .await;
        operator.kill().await;
    }
}

/// What status said of public access when it was last written is not what is true now.
#[tokio::test(start_paused = true)]
async fn what_somebody_closes_in_an_emergency_opens_within_seconds_though_status_calls_it_open() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    locked(&testbed).await;
    testbed.break_the_glass("2h");
    let open = |testbed: &Testbed| testbed.status()["publicAccess"]["summary"] == "Open";
    testbed.until("open", HOUR, open).await;
    testbed.sim.inject(hangs("providers/Microsoft.Network/"));
    let account = testbed
        .open_targets()
        .into_iter()
        .find(|id| id.contains("/storageAccounts/"));
    let close = |body: &mut Value| body["properties"]["publicNetworkAccess"] = "Disabled".into();
    assert!(testbed.sim.change_by_hand(&account.unwrap(), close) && testbed.open_targets().len() == 2);
    testbed.apply_quick(|object| object["spec"]["drift"] = serde_json::json!({"interval": "9m"}));
    testbed
        .until("open again", Duration::from_secs(40), |testbed| {
            testbed.open_targets().len() == 3
        })
        .await;
    operator.kill().await;
}

/// A provider that is only slow is waited for once there is nothing to open.
#[tokio::test(start_paused = true)]
async fn what_is_open_is_looked_at_in_full_though_somebody_broke_the_glass() {
    let testbed = Testbed::quick();
    let context = testbed.context();
    let operator = testbed.start();
    locked(&testbed).await;
    testbed.break_the_glass("2h");
    let open = |testbed: &Testbed| testbed.status()["publicAccess"]["summary"] == "Open";
    testbed.until("open", HOUR, open).await;
    operator.kill().await;
    testbed
        .sim
        .inject(answers("virtualNetworks/", FaultEffect::Delay { seconds: 6.0 }));
    let (_, _, seen, _) = testbed.look(&context).await;
    let networks = &seen.azure.virtual_networks;
    assert!(
        !networks.is_empty() && networks.values().all(|network| network.seen().is_some()),
        "{networks:?}"
    );
}
