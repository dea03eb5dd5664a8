//! Alerts and dashboards ask for metrics that exist, and each alert has a section in the guide.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use sreg_api::conditions::State;
use sreg_runtime::metrics::{Metrics, PassResult};

use crate::{chart, repository};

/// Names of the series that a scrape can hold.
fn series() -> BTreeSet<String> {
    let scraped = Metrics::new();
    // A family is told of from its first series on.
    scraped.step("close", "done");
    scraped.pass("secureregistries", PassResult::Settled, Duration::from_secs(1));
    let mut names = BTreeSet::new();
    for line in scraped.encode().lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    names
}

/// Words of an expression that are metrics of ours.
fn metrics(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("secureregistry_"))
        .map(str::to_owned)
        .collect()
}

fn alerts() -> Vec<Value> {
    let text = std::fs::read_to_string(chart().join("files/alerts.yaml")).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn alerts_ask_for_metrics_that_exist() {
    let known = series();
    assert!(
        known.contains("secureregistry_locked") && known.contains("secureregistry_passes_total"),
        "{known:?}"
    );
    for alert in alerts() {
        let asked = metrics(alert["expr"].as_str().unwrap());
        assert!(!asked.is_empty(), "{alert}");
        let unknown: Vec<&String> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", alert["alert"]);
    }
}

#[test]
fn alerts_name_states_and_reasons_that_exist() {
    let reasons = std::fs::read_to_string(repository().join("docs/troubleshooting.md")).unwrap();
    let mut named = 0;
    for alert in alerts() {
        let expression = alert["expr"].as_str().unwrap();
        for (label, is_known) in [
            (
                "state=",
                &(|word: &str| word.parse::<State>().is_ok()) as &dyn Fn(&str) -> bool,
            ),
            ("reason=", &|word: &str| reasons.contains(&format!("| `{word}` |"))),
        ] {
            for rest in expression.split(label).skip(1) {
                let quoted = rest.split('"').nth(1).unwrap();
                for word in quoted.split('|') {
                    assert!(is_known(word), "{}: {word}", alert["alert"]);
                    named += 1;
                }
            }
        }
    }
    assert!(named > 10);
}

#[test]
fn every_alert_has_a_section_in_the_guide_and_the_other_way_round() {
    let guide = std::fs::read_to_string(repository().join("docs/alerts.md")).unwrap();
    let sections: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    let names: Vec<&str> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    assert_eq!(names, sections);
}

#[test]
fn dashboards_ask_for_metrics_that_exist() {
    let known = series();
    let mut panels = 0;
    for entry in std::fs::read_dir(chart().join("files/dashboards")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let asked = metrics(target["expr"].as_str().unwrap());
                assert!(
                    !asked.is_empty() && asked.is_subset(&known),
                    "{}: {asked:?}",
                    panel["title"]
                );
            }
            panels += 1;
        }
    }
    assert!(panels >= 10);
}

/// promtool, as Prometheus itself, plays `alerts.yaml`: when each speaks, and when it keeps quiet.
#[test]
fn alerts_speak_when_they_should_and_keep_quiet_when_not() {
    let script = repository().join("tools/promtool.sh");
    let located = std::process::Command::new(script).arg("--locate").output().unwrap();
    assert!(located.status.success(), "{}", String::from_utf8_lossy(&located.stderr));
    let played = repository().join("tests/tests/chart/alerts.yaml");
    let output = std::process::Command::new(String::from_utf8(located.stdout).unwrap().trim())
        .args(["test", "rules"])
        .arg(&played)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // One that nothing plays could be anything.
    let text = std::fs::read_to_string(played).unwrap();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let spoken = format!("    alertname: {name}\n    exp_alerts:\n    - exp_labels");
        assert!(text.contains(&spoken), "{name} is never heard");
        assert!(
            text.contains(&format!("alertname: {name}, exp_alerts: []")),
            "{name} never keeps quiet"
        );
    }
}
