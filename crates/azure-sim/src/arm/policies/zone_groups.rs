//! DeployIfNotExists of zone groups (azure.md §4.2): an assigned policy whose condition holds for a new endpoint makes it one, some
//! time after it, unless it has one by then.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Applied, applying, standing};
use crate::arm::call::Call;
use crate::arm::connections;
use crate::arm::path::name_of;
use crate::journal::Actor;
use crate::json::text;
use crate::operations::{Last, Plan};
use crate::world::World;

/// How long after an endpoint's operation a policy looks whether it has a zone group, unless it says otherwise.
const EVALUATION_DELAY: Duration = Duration::from_secs(600);

/// Plans what assigned policies will do for the endpoint that this call has written, `operation` being the call's own.
pub(crate) fn plan_zone_groups(call: &mut Call<'_>, operation: &str) {
    let Some(written) = standing(call) else { return };
    let policies = applying(call.world, &written, call.clock.at(call.now));
    let makes = |p: &Applied<'_>| {
        p.has_effect("deployIfNotExists")
            && text(&p.rule, "/then/details/type")
                .eq_ignore_ascii_case("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    };
    let makers = policies.iter().filter(|p| makes(p));
    let planned: Vec<(Duration, String)> = makers
        .filter_map(|p| Some((delay(&p.rule), zone_of(call.world, &p.rule)?)))
        .collect();
    let ends = call.control.operations.get(operation).map_or(call.now, |o| o.ends);
    for (number, (delay, zone)) in planned.into_iter().enumerate() {
        let endpoint = written.id.clone();
        let plan = Plan {
            id: format!("{operation}-policy-{number}"),
            resource: format!("{endpoint}/privateDnsZoneGroups/deployedByPolicy"),
            length: ends.saturating_add(delay).saturating_sub(call.now),
            last: Last::NoContent,
            started_by: String::new(),
            busy: Vec::new(),
            effect: Box::new(move |world, at| {
                let actor = std::mem::replace(&mut world.actor, Actor::Policy);
                deploy(world, &endpoint, &zone, at);
                world.actor = actor;
                Ok(())
            }),
        };
        call.control.operations.start(plan, call.now);
    }
}

/// `AfterProvisioning`, `AfterProvisioningSuccess`, or a duration such as `PT10M`.
fn delay(rule: &Value) -> Duration {
    match text(rule, "/then/details/evaluationDelay") {
        "" => EVALUATION_DELAY,
        after if after.starts_with("After") => Duration::ZERO,
        duration => {
            let parsed = duration.parse::<jiff::SignedDuration>().ok();
            parsed
                .and_then(|d| Duration::try_from(d).ok())
                .unwrap_or(EVALUATION_DELAY)
        }
    }
}

/// The zone that the deployment is handed.
fn zone_of(world: &World, rule: &Value) -> Option<String> {
    let handed = rule
        .pointer("/then/details/deployment/properties/parameters")?
        .as_object()?;
    let zones = handed.values().filter_map(|p| world.get(text(p, "/value")));
    let mut zones = zones.filter(|r| r.kind == "microsoft.network/privatednszones");
    zones.next().map(|z| z.id.clone())
}

/// Makes the zone group, unless the endpoint has one already.
fn deploy(world: &mut World, endpoint: &str, zone: &str, at: Duration) {
    let bare = !world.below(endpoint).any(|r| r.kind.ends_with("/privatednszonegroups"));
    let Some(endpoint) = world.get(endpoint).filter(|_| bare).map(|e| e.id.clone()) else {
        return;
    };
    let id = format!("{endpoint}/privateDnsZoneGroups/deployedByPolicy");
    let body = json!({
        "id": id, "name": "deployedByPolicy", "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        "properties": {"provisioningState": "Succeeded", "privateDnsZoneConfigs": [{
            "name": name_of(zone).replace('.', "-"),
            "properties": {"provisioningState": "Succeeded", "privateDnsZoneId": zone, "recordSets": []}}]},
    });
    world.put(&id, body, at);
    connections::refresh_names(world, &endpoint, at);
}
