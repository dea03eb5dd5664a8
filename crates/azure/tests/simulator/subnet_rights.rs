//! Rights on subnets that rules of firewalls name: looked for where a grant covers them, with a number of questions that does not grow with
//! the rules.

use azure_sim::journal::Entry;
use serde_json::{Value, json};
use sreg_api::grant::NetworkUse;
use sreg_domain::rights::JOIN_VIA_SERVICE_ENDPOINT;
use sreg_domain::{ArmId, Grant, Grants, Purpose, TargetKind};

use crate::policies::without;
use crate::simulated::*;
use crate::steps::*;

/// Ten rules in each of forty networks, of which grants cover five.
async fn with_many_rules(bench: &mut Bench) -> Vec<ArmId> {
    let networks: Vec<ArmId> = (0..40).map(|at| network(&format!("many-{at:02}"))).collect();
    let subnets = networks
        .iter()
        .flat_map(|network| (0..10).map(|at| network.child("subnets", &format!("s{at}"))));
    let rules: Vec<Value> = subnets
        .map(|id| json!({"id": id.as_str(), "action": "Allow", "state": "Succeeded"}))
        .collect();
    let account = only(&bench.observe().await, TargetKind::Storage).id.clone();
    bench.simulator.change_by_hand(account.as_str(), |body| {
        body["properties"]["networkAcls"] =
            json!({"defaultAction": "Deny", "ipRules": [], "virtualNetworkRules": rules});
    });
    let granted: Vec<ArmId> = networks.into_iter().take(5).collect();
    let purpose = Purpose::Network(NetworkUse::Clients);
    bench.desired.grants = Grants::new(vec![Grant {
        name: "some".into(),
        scopes: [(purpose, granted.clone())].into(),
        vantage_points: Default::default(),
        requires: Ok(Default::default()),
    }]);
    granted
}

fn asked_about_rules(bench: &Bench, from: usize) -> Vec<String> {
    let records = bench.simulator.records_since(0);
    let requests = records.iter().filter_map(|r| match &r.entry {
        Entry::Request(request) => Some(request.path.to_ascii_lowercase()),
        Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => None,
    });
    let about = requests.filter(|path| path.contains("/permissions") && path.contains("/many-"));
    about.skip(from).collect()
}

#[tokio::test]
async fn many_subnet_rules_are_not_as_many_questions_and_networks_without_a_grant_are_none() {
    for action in [JOIN_VIA_SERVICE_ENDPOINT, "Microsoft.Nothing/at/all"] {
        let mut bench = without(action, "");
        let granted = with_many_rules(&mut bench).await;
        let mut before = 0;
        for visit in 0..2 {
            let azure = bench.observe().await;
            let asked = asked_about_rules(&bench, before);
            before += asked.len();
            let most = match (action == JOIN_VIA_SERVICE_ENDPOINT, visit) {
                // Five networks, and of their subnets as many as one visit asks.
                (true, _) => 5 + 32,
                (false, 0) => 5,
                (false, _) => 0,
            };
            assert!(
                asked.len() <= most,
                "{action}, visit {visit}: {}: {asked:#?}",
                asked.len()
            );
            let is_granted = |path: &String| granted.iter().any(|network| path.starts_with(network.key()));
            assert!(asked.iter().all(is_granted), "{asked:#?}");
            let facts = azure.rights.iter().filter(|(id, _)| id.key().contains("/many-"));
            let facts: Vec<_> = facts.collect();
            assert_eq!(facts.len(), 50);
            let allowed = facts
                .iter()
                .filter(|(_, fact)| fact.seen().is_some_and(|p| p.allow(JOIN_VIA_SERVICE_ENDPOINT)));
            assert_eq!(
                allowed.count(),
                if action == JOIN_VIA_SERVICE_ENDPOINT { 0 } else { 50 }
            );
        }
    }
}
