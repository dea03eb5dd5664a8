//! What others must make DNS answer where `dns.mode` is `External`: in status, and as text in a ConfigMap of the operator's
//! namespace. It names exactly what the probes will demand: the public name leads by a CNAME to its `privatelink.` name, and that to
//! the private endpoint's addresses.
//!
//! | key, for each entry | for whom |
//! | --- | --- |
//! | `<entry>.zone` | who keeps the `privatelink.` zones, in Azure or on servers of their own |
//! | `<entry>.names` | servers that do not ask public DNS for the public names |
//! | `<entry>.forwarders` | servers that forward to one which answers from those zones |
//! | `<entry>.hosts` | single machines |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use sreg_api::registry::DnsMode;
use sreg_api::status::{DnsRecordStatus, PublishedDnsStatus};
use sreg_domain::desired::EndpointPlace;
use sreg_domain::{ClusterAction, Desired, Fact, Seen, StepKind, naming};

use crate::contribution::cluster_step;
use crate::endpoints::{self, WantedEndpoints, members};
use crate::plan::Step;
use crate::view::{View, WholeView};

/// Seconds that an answer may be kept, as in the zones that Azure writes.
const TTL: u32 = 10;
/// Seconds that the CNAME of a public name may be kept.
const CNAME_TTL: u32 = 300;
/// Records that status shows; the ConfigMap has all.
const MOST_RECORDS: usize = 32;

/// A public name, and the zone and `privatelink.` name that it leads to.
type Name = (String, Option<(String, String)>);

/// One name that must be answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// What clients ask for.
    pub(crate) fqdn: String,
    /// The zone of its `privatelink.` name and that name; `None` where it has none.
    private: Option<(String, String)>,
    /// Exactly these addresses.
    pub(crate) addresses: Vec<String>,
}

impl Record {
    /// `name → CNAME → addresses`.
    pub(crate) fn show(&self) -> String {
        let addresses = self.addresses.join(" ");
        match &self.private {
            Some((_, name)) => format!("{} CNAME {name}, {name} A {addresses}", self.fqdn),
            None => format!("{} A {addresses}", self.fqdn),
        }
    }
}

/// What must be answered for an entry. `None` while an endpoint's names or addresses are not known.
pub(crate) fn records(
    view: &WholeView<'_>,
    wanted: &WantedEndpoints<'_>,
    place: &EndpointPlace,
) -> Option<Vec<Record>> {
    if !wanted.complete {
        return None;
    }
    let mut addresses: BTreeMap<Name, BTreeSet<IpAddr>> = BTreeMap::new();
    for w in wanted.all.iter().filter(|w| w.place.name == place.name) {
        let members = members(view, w)?;
        members.iter().find(|m| !m.fqdns.is_empty())?;
        for member in members {
            for fqdn in &member.fqdns {
                let cloud = &view.desired.cloud;
                let private = cloud
                    .private_link_name(w.group, fqdn)
                    .map(|name| (cloud.zone(w.group), name));
                let key = (fqdn.to_string(), private);
                addresses.entry(key).or_default().insert(member.address);
            }
        }
    }
    let record = |((fqdn, private), addresses): (Name, BTreeSet<IpAddr>)| Record {
        fqdn,
        private,
        addresses: addresses.iter().map(ToString::to_string).collect(),
    };
    Some(addresses.into_iter().map(record).collect()).filter(|all: &Vec<Record>| !all.is_empty())
}

fn external<'a>(view: &'a WholeView<'_>) -> impl Iterator<Item = &'a EndpointPlace> {
    let places = view.spec.endpoints.iter();
    places.filter(|place| place.dns.mode == DnsMode::External)
}

/// What status shows.
pub(crate) fn status(view: &View<'_>) -> Option<PublishedDnsStatus> {
    let view = &view.whole()?;
    external(view).next()?;
    let wanted = endpoints::wanted(view);
    let mut lines = Vec::new();
    for place in external(view) {
        let Some(records) = records(view, &wanted, place) else {
            // What was published holds until more is known.
            return view.seen.object.status.external_dns.clone();
        };
        lines.extend(records.into_iter().map(|record| DnsRecordStatus {
            endpoint: place.name.clone(),
            fqdn: record.fqdn,
            private_link_name: record.private.map(|(_, name)| name),
            addresses: record.addresses,
        }));
    }
    lines.truncate(MOST_RECORDS);
    Some(PublishedDnsStatus {
        config_map: naming::published_dns_name(&view.desired.registry),
        records: lines,
    })
}

/// Publishes what has changed; takes it away once nobody needs it. It only tells people: nothing waits for it. What is left at the
/// end of the object is deleted with it ([`deletion`]).
pub(crate) fn step(view: &View<'_>) -> Option<Step> {
    let published = &view.seen.cluster.published_dns;
    // Whoever does not hold the registry has published nothing.
    if view.seen.object.deleting || !view.claim_is_ours() {
        return None;
    }
    let data = texts(&view.whole()?)?;
    let stands = match published {
        Fact::Unknown(_) => return None,
        Fact::Absent => data.is_empty(),
        Fact::Seen(there) => *there == data,
    };
    let config_map = naming::published_dns_name(&view.desired.registry);
    (!stands).then(|| cluster_step(StepKind::PublishDns, ClusterAction::PublishDns { config_map, data }))
}

/// Deletes what was published, at the end of the object that holds the claim.
pub(crate) fn deletion(view: &View<'_>) -> Option<Step> {
    view.seen.cluster.published_dns.seen()?;
    let config_map = naming::published_dns_name(&view.desired.registry);
    Some(cluster_step(
        StepKind::DeletePublishedDns,
        ClusterAction::DeletePublishedDns { config_map },
    ))
}

/// Everything that the ConfigMap holds. `None` while it is not fully known; empty where no entry is External.
fn texts(view: &WholeView<'_>) -> Option<BTreeMap<String, String>> {
    let wanted = endpoints::wanted(view);
    let mut data = BTreeMap::new();
    for place in external(view) {
        let records = records(view, &wanted, place)?;
        let entry = &place.name;
        let told = DnsTexts::of(&records);
        data.insert(format!("{entry}.zone"), told.zone);
        data.insert(format!("{entry}.names"), told.names);
        data.insert(format!("{entry}.forwarders"), told.forwarders);
        data.insert(format!("{entry}.hosts"), told.hosts);
    }
    Some(data)
}

/// What DNS must answer for the clients of one entry, for each who can make it answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsTexts {
    /// Who keeps the `privatelink.` zones.
    pub zone: String,
    /// Servers that do not ask public DNS for the public names.
    pub names: String,
    /// Servers that forward to one which answers from those zones.
    pub forwarders: String,
    /// Single machines.
    pub hosts: String,
}

impl DnsTexts {
    fn of(records: &[Record]) -> DnsTexts {
        DnsTexts {
            zone: zone(records),
            names: names(records),
            forwarders: forwarders(records),
            hosts: hosts(records),
        }
    }
}

/// What DNS must answer for each entry of `spec.endpoints`, whoever makes it answer; an entry whose endpoints' names or addresses are
/// not all known is left out.
pub fn dns_texts(desired: &Desired, seen: &Seen) -> BTreeMap<String, DnsTexts> {
    let ordered = seen.in_order();
    let view = View::new(desired, &ordered, seen.at);
    let Some(view) = view.whole() else {
        return BTreeMap::new();
    };
    let wanted = endpoints::wanted(&view);
    let known = view.spec.endpoints.iter().filter_map(|place| {
        let records = records(&view, &wanted, place)?;
        Some((place.name.clone(), DnsTexts::of(&records)))
    });
    known.collect()
}

fn zone(records: &[Record]) -> String {
    let mut zones: BTreeMap<&str, Vec<(&str, &Record)>> = BTreeMap::new();
    for record in records {
        if let Some((zone, name)) = &record.private {
            let relative = name
                .strip_suffix(zone.as_str())
                .map_or(name.as_str(), |head| head.trim_end_matches('.'));
            zones.entry(zone).or_default().push((relative, record));
        }
    }
    let mut text = String::from("; Zones that the DNS of these client networks must answer from.\n");
    for (zone, records) in zones {
        writeln!(text, "$ORIGIN {zone}.").ok();
        for (name, record) in records {
            for address in &record.addresses {
                writeln!(text, "{name} {TTL} IN {} {address}", kind(address)).ok();
            }
        }
    }
    text
}

fn names(records: &[Record]) -> String {
    let mut text = String::from(
        "; The public names. Public DNS answers these CNAMEs as soon as the private endpoints exist: only a server that does not ask it needs them.\n",
    );
    for record in records {
        let fqdn = &record.fqdn;
        match &record.private {
            Some((_, name)) => drop(writeln!(text, "{fqdn}. {CNAME_TTL} IN CNAME {name}.")),
            None => record.addresses.iter().for_each(|address| {
                writeln!(text, "{fqdn}. {TTL} IN {} {address}", kind(address)).ok();
            }),
        }
    }
    text
}

fn forwarders(records: &[Record]) -> String {
    // `head.suffix` leads to `head.zone`: what is left of a public name without its head is its suffix.
    let suffix = |record: &'_ Record| {
        let (zone, name) = record.private.as_ref()?;
        let head = name.strip_suffix(zone.as_str())?;
        record.fqdn.strip_prefix(head).map(str::to_owned)
    };
    let suffixes: BTreeSet<String> = records.iter().filter_map(suffix).collect();
    let mut text = String::from(
        "# For servers that keep no zone: forward the public suffixes (not the privatelink names) to a server that answers from the zones,\n# such as the inbound endpoint of an Azure DNS Private Resolver in a network that is linked to them. Put its address for SERVER.\n",
    );
    for suffix in suffixes {
        writeln!(
            text,
            "zone \"{suffix}\" {{ type forward; forward only; forwarders {{ SERVER; }}; }};"
        )
        .ok();
    }
    text
}

fn hosts(records: &[Record]) -> String {
    let mut text =
        String::from("# For single machines. A vantage point asks DNS servers, so these lines alone prove nothing.\n");
    for record in records {
        for address in &record.addresses {
            let canonical = record
                .private
                .as_ref()
                .map(|(_, name)| format!("{name} "))
                .unwrap_or_default();
            writeln!(text, "{address} {canonical}{}", record.fqdn).ok();
        }
    }
    text
}

fn kind(address: &str) -> &'static str {
    if address.contains(':') { "AAAA" } else { "A" }
}
