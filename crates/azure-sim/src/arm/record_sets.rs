//! Record sets of private zones, of every type that Azure has (azure.md §4.1); synchronous. The SOA of a zone is always there,
//! can be changed and not deleted. A PATCH may hold any part: what it leaves out stays.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::Call;
use super::path::{name_of, parent_of};
use crate::json::{flag, list, set, text};
use crate::world::{Resource, World};

/// Provider type of zones.
pub(crate) const ZONE: &str = "microsoft.network/privatednszones";
/// Provider type of their links.
pub(crate) const LINK: &str = "microsoft.network/privatednszones/virtualnetworklinks";

/// One type of record sets: how it is spelled, and the field of `properties` that holds its records.
struct RecordType {
    name: &'static str,
    field: &'static str,
}

const TYPES: &[RecordType] = &[
    RecordType {
        name: "A",
        field: "aRecords",
    },
    RecordType {
        name: "AAAA",
        field: "aaaaRecords",
    },
    RecordType {
        name: "CNAME",
        field: "cnameRecord",
    },
    RecordType {
        name: "MX",
        field: "mxRecords",
    },
    RecordType {
        name: "PTR",
        field: "ptrRecords",
    },
    RecordType {
        name: "SOA",
        field: "soaRecord",
    },
    RecordType {
        name: "SRV",
        field: "srvRecords",
    },
    RecordType {
        name: "TXT",
        field: "txtRecords",
    },
];

/// The record type of a kind such as `microsoft.network/privatednszones/a`.
fn type_of(kind: &str) -> Option<&'static RecordType> {
    let word = kind.strip_prefix(ZONE)?.strip_prefix('/')?;
    TYPES.iter().find(|t| t.name.eq_ignore_ascii_case(word))
}

/// Whether a resource is a record set.
pub(crate) fn is_record(resource: &Resource) -> bool {
    type_of(&resource.kind).is_some()
}

/// Answers requests for record sets: of one type, and the list of all (`ALL`).
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let (id, zone) = (call.path.text.clone(), call.path.parent());
    if call.world.get(&zone).is_none() {
        return Err(call.parent_missing(&zone));
    }
    if call.path.is_collection() {
        return listed(call, &zone);
    }
    let kind = call.path.kind();
    let Some(record_type) = type_of(&kind) else {
        return Err(call.no_such_method());
    };
    match call.method {
        Method::GET => call.read(),
        Method::PUT | Method::PATCH => write(call, record_type, &zone),
        Method::DELETE if record_type.name == "SOA" => Err(ArmError::bad_request(
            "The SOA record set of a private zone cannot be deleted.",
        )),
        Method::DELETE => {
            if call.world.get(&id).is_none() {
                return Ok(JsonResponse::empty(204));
            }
            call.check_preconditions()?;
            call.world.remove(&id, call.now);
            refresh_zone(call.world, &zone, call.now);
            Ok(JsonResponse::empty(200))
        }
        _ => Err(call.no_such_method()),
    }
}

/// The zone's record sets, of one type or all; `$recordsetnamesuffix` keeps those whose names end like that.
fn listed(call: &Call<'_>, zone: &str) -> Result<JsonResponse, ArmError> {
    if call.method != Method::GET {
        return Err(call.no_such_method());
    }
    let kind = call.path.kind();
    let every = kind.ends_with("/all");
    let suffix = call
        .parameter("$recordsetnamesuffix")
        .unwrap_or("")
        .to_ascii_lowercase();
    let fits = |r: &&Resource| {
        is_record(r) && (every || r.kind == kind) && name_of(&r.id).to_ascii_lowercase().ends_with(&suffix)
    };
    let found = call.world.below(zone).filter(fits);
    Ok(JsonResponse::list(
        found.map(|r| super::rendering::render(call.world, r)).collect(),
    ))
}

fn write(call: &mut Call<'_>, record_type: &RecordType, zone: &str) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    call.check_preconditions()?;
    let body = call.body()?;
    let before = call.world.get(&id).map(|r| r.body["properties"].clone());
    if before.is_none() && call.method == Method::PATCH {
        return Err(ArmError::not_found(&id));
    }
    let sent = body
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let mut properties = match (&before, &call.method) {
        (Some(before), &Method::PATCH) => before.as_object().cloned().unwrap_or_default(),
        (Some(_) | None, _) => Map::new(),
    };
    for (name, value) in &sent {
        let own = [record_type.field, "ttl", "metadata"];
        if let Some(own) = own.iter().find(|own| own.eq_ignore_ascii_case(name)) {
            properties.insert((*own).to_owned(), value.clone());
        } else if TYPES.iter().any(|t| t.field.eq_ignore_ascii_case(name)) && !value.is_null() {
            let said = format!("A record set of type '{}' holds no '{name}'.", record_type.name);
            return Err(ArmError::bad_request(said));
        }
    }
    check(record_type, call.path.name(), &properties)?;
    if before.is_none() && shares_name(call.world, zone, record_type, call.path.name()) {
        let said = format!(
            "The name '{}' has a CNAME record set, or would get one beside others.",
            call.path.name()
        );
        return Err(ArmError::bad_request(said));
    }
    let name = call.path.name().to_owned();
    put(call.world, zone, record_type.name, &name, properties, call.now);
    call.path_answer(if before.is_some() { 200 } else { 201 })
}

/// A CNAME stands alone with its name.
fn shares_name(world: &World, zone: &str, record_type: &RecordType, name: &str) -> bool {
    let mut others = world
        .below(zone)
        .filter(|r| is_record(r) && name_of(&r.id).eq_ignore_ascii_case(name));
    match record_type.name {
        "CNAME" => others.next().is_some(),
        _ => others.any(|r| r.kind.ends_with("/cname")),
    }
}

/// What a record set needs: a TTL, records of its type, and metadata of text.
fn check(record_type: &RecordType, name: &str, properties: &Map<String, Value>) -> Result<(), ArmError> {
    let refuse = |said: String| Err(ArmError::bad_request(said));
    if !matches!(properties.get("ttl").and_then(Value::as_u64), Some(1..=2_147_483_647)) {
        return refuse("A record set needs a TTL between 1 and 2147483647.".to_owned());
    }
    let metadata = properties.get("metadata").and_then(Value::as_object);
    if metadata.is_some_and(|m| m.values().any(|v| !v.is_string())) {
        return refuse("The metadata of a record set is text by name.".to_owned());
    }
    let records = properties.get(record_type.field).unwrap_or(&Value::Null);
    match record_type.name {
        "SOA" if name != "@" => refuse("The SOA record set of a private zone is called '@'.".to_owned()),
        "SOA" => Ok(()),
        "CNAME" if name == "@" => refuse("The apex of a zone cannot have a CNAME record set.".to_owned()),
        "CNAME" if text(records, "/cname").is_empty() => refuse("A CNAME record set needs its 'cname'.".to_owned()),
        "CNAME" => Ok(()),
        _ => {
            let all = records.as_array().map_or(&[][..], Vec::as_slice);
            if all.is_empty() || all.len() > 20 {
                return refuse("A record set holds between 1 and 20 records.".to_owned());
            }
            match all.iter().find(|r| !is_record_value(record_type.name, r)) {
                Some(bad) => refuse(format!(
                    "The record {bad} is not valid in a set of type '{}'.",
                    record_type.name
                )),
                None => Ok(()),
            }
        }
    }
}

fn is_record_value(record_type: &str, record: &Value) -> bool {
    let number = |name: &str| record.get(name).and_then(Value::as_u64).is_some_and(|n| n <= 65_535);
    let named = |name: &str| !text(record, name).is_empty();
    match record_type {
        "A" => text(record, "/ipv4Address").parse::<Ipv4Addr>().is_ok(),
        "AAAA" => text(record, "/ipv6Address").parse::<Ipv6Addr>().is_ok(),
        "MX" => number("preference") && named("/exchange"),
        "PTR" => named("/ptrdname"),
        "SRV" => number("priority") && number("weight") && number("port") && named("/target"),
        "TXT" => {
            let parts = list(record, "/value");
            !parts.is_empty() && parts.iter().all(|p| p.as_str().is_some_and(|p| p.len() <= 255))
        }
        _ => true,
    }
}

fn put(world: &mut World, zone: &str, record_type: &str, name: &str, properties: Map<String, Value>, now: Duration) {
    let zone_id = world.get(zone).map_or(zone.to_owned(), |z| z.id.clone());
    let id = format!("{zone_id}/{record_type}/{name}");
    let zone_name = name_of(&zone_id);
    let mut properties = Value::Object(properties);
    properties["fqdn"] = json!(match name {
        "@" => format!("{zone_name}."),
        name => format!("{name}.{zone_name}."),
    });
    properties["isAutoRegistered"] = json!(false);
    if properties.get("metadata").is_none_or(|m| !m.is_object()) {
        properties["metadata"] = json!({});
    }
    let body = json!({
        "id": id, "name": name, "type": format!("Microsoft.Network/privateDnsZones/{record_type}"), "properties": properties,
    });
    world.put(&id, body, now);
    refresh_zone(world, &parent_of(&id), now);
}

/// Counts a zone's records and links anew.
pub(crate) fn refresh_zone(world: &mut World, zone: &str, now: Duration) {
    let records = world.below(zone).filter(|r| r.kind != LINK).count();
    let links: Vec<bool> = world
        .below(zone)
        .filter(|r| r.kind == LINK)
        .map(|r| flag(&r.body, "/properties/registrationEnabled"))
        .collect();
    let registering = links.iter().filter(|registers| **registers).count();
    world.edit(zone, now, |b| {
        for (field, count) in [
            ("numberOfRecordSets", records),
            ("numberOfVirtualNetworkLinks", links.len()),
            ("numberOfVirtualNetworkLinksWithRegistration", registering),
        ] {
            set(b, &["properties", field], json!(count));
        }
    });
}

/// Writes an A record set over whatever is there.
pub(crate) fn write_addresses(
    world: &mut World,
    zone: &str,
    name: &str,
    (addresses, ttl, metadata): (&[String], u64, Value),
    now: Duration,
) {
    let records: Vec<Value> = addresses.iter().map(|a| json!({ "ipv4Address": a })).collect();
    let properties = [
        ("ttl", json!(ttl)),
        ("aRecords", json!(records)),
        ("metadata", metadata),
    ];
    let properties = properties
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    put(world, zone, "A", name, properties, now);
}

/// Writes the SOA that every zone has.
pub(crate) fn write_authority(world: &mut World, zone: &str, now: Duration) {
    let soa = json!({
        "host": "azureprivatedns.net", "email": "azureprivatedns-host.microsoft.com", "serialNumber": 1,
        "refreshTime": 3600, "retryTime": 300, "expireTime": 2_419_200, "minimumTtl": 10,
    });
    let properties = [("ttl", json!(3600)), ("soaRecord", soa)];
    let properties = properties
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    put(world, zone, "SOA", "@", properties, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_judged_by_their_type() {
        let code = |kind: &str, name: &str, properties: Value| {
            let record_type = TYPES.iter().find(|t| t.name == kind).unwrap();
            check(record_type, name, properties.as_object().unwrap())
                .err()
                .map(|e| e.message)
        };
        for (kind, name, properties) in [
            ("A", "www", json!({"ttl": 1, "aRecords": [{"ipv4Address": "10.0.0.1"}]})),
            (
                "AAAA",
                "@",
                json!({"ttl": 1, "aaaaRecords": [{"ipv6Address": "fd00::1"}], "metadata": {"a": "b"}}),
            ),
            ("CNAME", "www", json!({"ttl": 1, "cnameRecord": {"cname": "x.y"}})),
            ("TXT", "www", json!({"ttl": 1, "txtRecords": [{"value": ["a", "b"]}]})),
            (
                "MX",
                "@",
                json!({"ttl": 1, "mxRecords": [{"preference": 10, "exchange": "m.x"}]}),
            ),
            (
                "SRV",
                "_a._tcp",
                json!({"ttl": 1, "srvRecords": [{"priority": 1, "weight": 1, "port": 1, "target": "t"}]}),
            ),
        ] {
            assert_eq!(code(kind, name, properties), None, "{kind}");
        }
        for (kind, name, properties) in [
            ("A", "www", json!({"ttl": 0, "aRecords": [{"ipv4Address": "10.0.0.1"}]})),
            ("A", "www", json!({"ttl": 1, "aRecords": []})),
            (
                "A",
                "www",
                json!({"ttl": 1, "aRecords": [{"ipv4Address": "10.0.0.256"}]}),
            ),
            (
                "A",
                "www",
                json!({"ttl": 1, "aRecords": [{"ipv4Address": "10.0.0.1"}], "metadata": {"a": 1}}),
            ),
            ("CNAME", "@", json!({"ttl": 1, "cnameRecord": {"cname": "x.y"}})),
            ("SOA", "www", json!({"ttl": 1})),
            (
                "MX",
                "@",
                json!({"ttl": 1, "mxRecords": [{"preference": 70_000, "exchange": "m.x"}]}),
            ),
        ] {
            assert!(code(kind, name, properties.clone()).is_some(), "{properties}");
        }
    }
}
