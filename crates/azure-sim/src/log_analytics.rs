//! Log Analytics, as far as one question goes: who asked which target how often (azure.md §8.3, §8.4). The query language is not
//! understood: a query for callers is answered by one table of callers, gathered from the journal's streams and from callers
//! that the seed or a test put there; any other is refused, as Azure would where it is none, else in the simulator's own name.
//! The window is the request's `timespan`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::arm::answer::{ArmError, JsonResponse};
use crate::clock::Clock;
use crate::control::Control;
use crate::journal::{Entry, Leg, Record};
use crate::json::{guid, list, text};
use crate::targets::{TargetKind, parse_prefix};
use crate::world::{Place, World, key};

/// Provider type of workspaces.
const WORKSPACE: &str = "microsoft.operationalinsights/workspaces";

/// A caller that the logs know of besides those of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Caller {
    /// ARM id of the target; in a seed also the name of a registry, whose accounts were all called.
    pub target: String,
    /// Its address, perhaps with a port, as the log spells it.
    pub address: String,
    /// How many requests.
    #[serde(default = "one")]
    pub requests: u64,
    /// How long ago the last one was, in seconds before it is put there.
    #[serde(default)]
    pub seconds_ago: u64,
}

fn one() -> u64 {
    1
}

/// A caller and when it was last seen.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) caller: Caller,
    pub(crate) last: Timestamp,
}

/// The customer id of a workspace.
pub(crate) fn customer_id(workspace: &str) -> String {
    guid(&["workspace", &key(workspace)])
}

/// The customer id in a query's path.
pub(crate) fn customer_in(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/workspaces/")?
        .trim_end_matches('/')
        .strip_suffix("/query")
        .filter(|id| !id.contains('/'))
}

/// Answers a query; the second value is the object id of who asked.
pub(crate) fn serve(
    world: &World,
    control: &Control,
    clock: &Clock,
    records: &[Record],
    (headers, customer, body): (&http::HeaderMap, &str, &[u8]),
) -> (JsonResponse, Option<String>) {
    const AUDIENCES: &[&str] = &["https://api.loganalytics.io", "https://api.loganalytics.azure.com"];
    let checked = crate::tokens::bearer(headers)
        .ok_or_else(|| {
            ArmError::new(
                401,
                "AuthorizationRequiredError",
                "Valid authentication was not provided.",
            )
        })
        .and_then(|token| crate::tokens::check(control, token, clock));
    let (principal, audience) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return (refusal.answer(), None),
    };
    let object_id = Some(principal.object_id.clone());
    if !AUDIENCES.contains(&audience.trim_end_matches('/')) && !crate::tokens::is_loopback(&audience) {
        let said = format!("The token was issued for '{audience}', which is not this service.");
        return (ArmError::new(403, "InvalidTokenError", said).answer(), object_id);
    }
    let found = world
        .of_kind(WORKSPACE)
        .find(|w| text(&w.body, "/properties/customerId").eq_ignore_ascii_case(customer));
    let Some(workspace) = found else {
        let said = format!("The workspace '{customer}' could not be found.");
        return (ArmError::new(404, "WorkspaceNotFoundError", said).answer(), object_id);
    };
    let action = "Microsoft.OperationalInsights/workspaces/query/read";
    if !crate::permissions::allowed(world, &principal, action, &workspace.id) {
        let said = "The provided credentials have insufficient access to perform the requested operation";
        return (ArmError::new(403, "InsufficientAccessError", said).answer(), object_id);
    }
    let asked: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if text(&asked, "/query").is_empty() {
        let said = "Query is missing in the body of the request.";
        return (ArmError::new(400, "BadArgumentError", said).answer(), object_id);
    }
    if let Err(refusal) = check_query(text(&asked, "/query")) {
        return (refusal.answer(), object_id);
    }
    let since = window(text(&asked, "/timespan")).map(|w| clock.timestamp().checked_sub(w).unwrap_or(Timestamp::MIN));
    let rows = callers(world, control, clock, records, since.unwrap_or(Timestamp::MIN));
    let columns = [
        ("Resource", "string"),
        ("Caller", "string"),
        ("Requests", "long"),
        ("Last", "datetime"),
    ]
    .map(|(name, kind)| json!({ "name": name, "type": kind }));
    (
        JsonResponse::new(
            200,
            json!({ "tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}] }),
        ),
        object_id,
    )
}

/// Tables of a workspace that tell of callers.
const TABLES: &[&str] = &[
    "StorageBlobLogs",
    "ContainerRegistryLoginEvents",
    "ContainerRegistryRepositoryEvents",
];

/// Whether a query is one for callers.
///
/// # Errors
/// 400 where it is no query at all: brackets or quotes that do not close, or a beginning that is none. 501 where it may be
/// one, which only Azure could answer.
fn check_query(query: &str) -> Result<(), ArmError> {
    let begins = query
        .trim_start()
        .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !closes(query) {
        let said = "The request had some invalid properties";
        let syntax = "A recognition error occurred in the query.";
        return Err(ArmError::new(400, "BadArgumentError", said).nested("SyntaxError", syntax));
    }
    match TABLES.iter().any(|table| query.contains(table)) && query.contains("CallerIpAddress") {
        true => Ok(()),
        false => Err(ArmError::not_modelled(
            "queries other than for callers of storage and container registries",
        )),
    }
}

/// Whether every bracket and quote of a query closes. A backslash escapes outside of `@'…'`.
fn closes(query: &str) -> bool {
    let (mut open, mut quote, mut escapes, mut before) = (Vec::new(), None, true, ' ');
    let mut characters = query.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(_), '\\') if escapes => {
                characters.next();
            }
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => (quote, escapes) = (Some(c), before != '@'),
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') => {
                if open.pop() != Some(c) {
                    return false;
                }
            }
            (None, _) => {}
        }
        before = c;
    }
    open.is_empty() && quote.is_none()
}

/// An ISO 8601 duration in its simple forms (`PT3600S`, `PT1H`, `P7D`).
fn window(timespan: &str) -> Option<Duration> {
    let rest = timespan.strip_prefix('P')?;
    let form = rest.trim_start_matches(|c: char| c == 'T' || c.is_ascii_digit());
    let number: u64 = rest.strip_suffix(form)?.trim_start_matches('T').parse().ok()?;
    let seconds = match (form, rest.starts_with('T')) {
        ("S", true) => 1,
        ("M", true) => 60,
        ("H", true) => 3600,
        ("D", false) => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

fn callers(world: &World, control: &Control, clock: &Clock, records: &[Record], since: Timestamp) -> Vec<Value> {
    let mut seen: BTreeMap<(String, String), (u64, Timestamp)> = BTreeMap::new();
    let mut add = |resource: String, address: String, requests: u64, last: Timestamp| {
        if last >= since {
            let entry = seen.entry((resource, address)).or_insert((0, last));
            *entry = (entry.0.saturating_add(requests), entry.1.max(last));
        }
    };
    for logged in &control.callers {
        add(
            log_resource(world, &logged.caller.target),
            logged.caller.address.clone(),
            logged.caller.requests,
            logged.last,
        );
    }
    for record in records {
        let Entry::Stream(stream) = &record.entry else { continue };
        let (Some(target), Some(_)) = (&stream.target, stream.http_status) else {
            continue;
        };
        let Some(address) = client_address(world, &stream.network, stream.leg) else {
            continue;
        };
        let address = match world.switches.caller_addresses_with_port {
            true => format!("{address}:{}", 49_152 + record.seq % 16_384),
            false => address.to_string(),
        };
        let at = Duration::try_from_secs_f64(record.at).unwrap_or_default();
        add(log_resource(world, target), address, 1, clock.at(at));
    }
    let row = |((resource, address), (requests, last)): (&(String, String), &(u64, Timestamp))| {
        json!([resource, address, requests, last.to_string()])
    };
    seen.iter().map(row).collect()
}

/// Storage logs by its child.
fn log_resource(world: &World, target: &str) -> String {
    match world.get(target).map(|t| (TargetKind::of(&t.kind), t.id.clone())) {
        Some((Some(TargetKind::Storage), id)) => format!("{id}/blobServices/default"),
        Some((_, id)) => id,
        None => target.to_owned(),
    }
}

/// The address that the server saw: the network's own inside, its egress address outside.
fn client_address(world: &World, network: &str, leg: Leg) -> Option<Ipv4Addr> {
    let network = world.networks.get(network)?;
    match leg {
        Leg::None => None,
        Leg::Public => Some(network.egress_address),
        Leg::Endpoint => {
            let prefix = match &network.place {
                Place::VirtualNetwork(id) => {
                    let body = &world.get(id)?.body;
                    list(body, "/properties/addressSpace/addressPrefixes")
                        .first()?
                        .as_str()?
                        .to_owned()
                }
                Place::OnPremises(site) => site.address_prefixes.first()?.clone(),
                Place::Internet(_) => return Some(network.egress_address),
            };
            let (base, _) = parse_prefix(&prefix)?;
            Some(Ipv4Addr::from(u32::from(base).saturating_add(250)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_for_callers_are_told_from_others_and_from_nonsense() {
        let code = |query: &str| check_query(query).err().map(|e| e.code);
        let callers = r"StorageBlobLogs | extend C = replace_regex(CallerIpAddress, @'^(\d+):\d+$', @'\1')";
        assert_eq!(code(callers), None);
        assert_eq!(code("AzureActivity | take 1").unwrap(), "NotModelledByAzureSim");
        for nonsense in ["| take", "StorageBlobLogs | where (CallerIpAddress", "union 'x", "(]"] {
            assert_eq!(code(nonsense).unwrap(), "BadArgumentError", "{nonsense}");
        }
    }

    #[test]
    fn windows_are_simple_iso_durations() {
        assert_eq!(window("PT3600S"), Some(Duration::from_secs(3600)));
        assert_eq!(window("PT2H"), Some(Duration::from_secs(7200)));
        assert_eq!(window("P7D"), Some(Duration::from_secs(604_800)));
        for nonsense in [
            "",
            "P",
            "PT",
            "PTS",
            "7D",
            "PT1D",
            "P1S",
            "PTé",
            "PT99999999999999999999S",
        ] {
            assert_eq!(window(nonsense), None, "{nonsense}");
        }
    }
}
