//! What those digests are made of that people approve and agents echo: one fact a line, in order, under a name with a version. An
//! approval outlives processes and versions of the operator, so nothing here follows from how a type happens to be printed; ids are
//! their lower-cased keys, and what Azure lists in any order is a set. A change of this text voids approvals: raise the version.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sreg_api::registry::ResolutionPolicy;

use crate::desired::{ClientNetwork, NetworkPlace};
use crate::digest::Digest;
use crate::ids::{ArmId, Location};
use crate::target::EndpointGroup;

/// What a digest stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestKind {
    /// A `ChangeApproval` of kind `Lockdown`.
    Lockdown,
    /// A `ChangeApproval` of kind `Opening`.
    Opening,
    /// A `ChangeApproval` of kind `NameChanges`: building what the spec wants.
    Building,
    /// A `ChangeApproval` of kind `NameChanges`: removing one endpoint.
    Removal,
    /// What a proof round proves.
    Subject,
    /// A complete proof.
    Evidence,
}

impl DigestKind {
    fn heading(self) -> &'static str {
        match self {
            DigestKind::Lockdown => "lockdown v1",
            DigestKind::Opening => "opening v1",
            DigestKind::Building => "name changes v1",
            DigestKind::Removal => "removal v1",
            DigestKind::Subject => "subject v1",
            DigestKind::Evidence => "evidence v1",
        }
    }
}

/// One fact.
#[derive(Debug, Clone, Copy)]
pub enum DigestLine<'a> {
    /// The object that it is for, by its uid: one that is made again is approved again.
    Object(&'a str),
    /// The spec that it is for, where whoever edits is not to approve.
    Generation(i64),
    /// The registry.
    Registry(&'a ArmId),
    /// A target that is closed.
    Closes(&'a ArmId),
    /// The registry that is opened.
    Opens(&'a ArmId),
    /// A required path.
    Path {
        /// Entry of `clientNetworks`.
        network: &'a str,
        /// What is asked for.
        fqdn: &'a str,
    },
    /// A client network with all that says where it is: a name alone could be pointed at another network after the approval.
    Network(&'a ClientNetwork),
    /// A network that is waived.
    UnprovenNetwork(&'a ArmId),
    /// A host that is waived.
    UnprovenHost(&'a str),
    /// An account that others use too.
    SharedAccount(&'a ArmId),
    /// What forbids opening again, by what it is and what it does.
    Obstacle(&'a str),
    /// A resource lock: over which target, its id, its level.
    ResourceLock(&'a ArmId, &'a str, &'a str),
    /// A deny assignment: over which target, its id.
    DenyAssignment(&'a ArmId, &'a str),
    /// A rule that the lock takes away: of which target, its key.
    LetsIn(&'a ArmId, &'a str),
    /// A target in a network security perimeter.
    Perimeter(&'a ArmId),
    /// An endpoint that is built: itself, its target, its subnet, the names that it takes over.
    Endpoint(&'a ArmId, &'a ArmId, &'a ArmId, &'a [String]),
    /// A link that is made: zone, network, policy.
    Link(&'a ArmId, &'a ArmId, ResolutionPolicy),
    /// Records that are written: endpoint, zone.
    Records(&'a ArmId, &'a ArmId),
    /// Who asks for the names of a group, in a fixed order.
    AskedBy(EndpointGroup, &'a str),
    /// An endpoint that is removed, and its target.
    Removes(&'a ArmId, &'a ArmId),
    /// Names that it carried.
    Names(&'a [String]),
    /// A region of the registry.
    Region(&'a Location),
    /// An address of an endpoint, with its names.
    Member(&'a ArmId, IpAddr, &'a [String]),
    /// The number of a proof round.
    Round(i64),
    /// What it proved.
    Subject(&'a Digest),
    /// A path that it proved.
    Proven {
        /// Entry of `clientNetworks`.
        network: &'a str,
        /// Who proved it.
        vantage_point: &'a str,
        /// What was asked for.
        fqdn: &'a str,
        /// The addresses that were demanded.
        addresses: &'a [String],
    },
}

impl DigestLine<'_> {
    fn fields(&self) -> Vec<String> {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let with = |head: &[&str], set: &[String]| {
            let set: BTreeSet<&String> = set.iter().collect();
            let mut all = words(head);
            all.extend(set.into_iter().cloned());
            all
        };
        match *self {
            DigestLine::Object(uid) => words(&["object", uid]),
            DigestLine::Generation(generation) => words(&["generation", &generation.to_string()]),
            DigestLine::Registry(id) => words(&["registry", id.key()]),
            DigestLine::Closes(id) => words(&["close", id.key()]),
            DigestLine::Opens(id) => words(&["open", id.key()]),
            DigestLine::Path { network, fqdn } => words(&["path", network, fqdn]),
            DigestLine::Network(network) => client_network(network),
            DigestLine::UnprovenNetwork(id) => words(&["unproven network", id.key()]),
            DigestLine::UnprovenHost(host) => words(&["unproven host", host]),
            DigestLine::SharedAccount(id) => words(&["shared account", id.key()]),
            DigestLine::Obstacle(key) => words(&["obstacle", key]),
            DigestLine::ResourceLock(target, lock, level) => words(&[
                "resource lock",
                target.key(),
                &lock.to_ascii_lowercase(),
                &level.to_ascii_lowercase(),
            ]),
            DigestLine::DenyAssignment(target, id) => {
                words(&["deny assignment", target.key(), &id.to_ascii_lowercase()])
            }
            DigestLine::LetsIn(target, rule) => words(&["lets in", target.key(), rule]),
            DigestLine::Perimeter(target) => words(&["perimeter", target.key()]),
            DigestLine::Endpoint(id, target, subnet, names) => {
                with(&["endpoint", id.key(), target.key(), subnet.key()], names)
            }
            DigestLine::Link(zone, network, policy) => words(&["link", zone.key(), network.key(), policy.as_str()]),
            DigestLine::Records(endpoint, zone) => words(&["records", endpoint.key(), zone.key()]),
            DigestLine::AskedBy(group, who) => words(&["asked by", group.group_id(), who]),
            DigestLine::Removes(endpoint, target) => words(&["remove", endpoint.key(), target.key()]),
            DigestLine::Names(names) => with(&["names"], names),
            DigestLine::Region(location) => words(&["region", &location.to_string()]),
            DigestLine::Member(endpoint, address, names) => {
                with(&["member", endpoint.key(), &address.to_string()], names)
            }
            DigestLine::Round(number) => words(&["round", &number.to_string()]),
            DigestLine::Subject(digest) => words(&["subject", digest.as_str()]),
            DigestLine::Proven {
                network,
                vantage_point,
                fqdn,
                addresses,
            } => with(&["proven", network, vantage_point, fqdn], addresses),
        }
    }
}

fn client_network(network: &ClientNetwork) -> Vec<String> {
    let ClientNetwork {
        name,
        place,
        vantage_point,
        endpoint,
        dns_servers,
    } = network;
    let set = |items: BTreeSet<String>| items.into_iter().collect::<Vec<_>>().join(" ");
    let (kind, place) = match place {
        NetworkPlace::VirtualNetwork(id) => ("virtual network", id.key().to_owned()),
        NetworkPlace::OnPremises(prefixes) => ("on premises", set(prefixes.iter().cloned().collect())),
    };
    let servers = set(dns_servers.iter().map(ToString::to_string).collect());
    let fields = ["network", name, kind, &place, vantage_point, endpoint, &servers];
    fields.iter().map(|field| (*field).to_owned()).collect()
}

/// The facts that a digest is made of.
#[derive(Debug, Clone)]
pub struct Preimage {
    kind: DigestKind,
    lines: BTreeSet<String>,
}

impl Preimage {
    /// Of nothing yet.
    pub fn of(kind: DigestKind) -> Preimage {
        Preimage {
            kind,
            lines: BTreeSet::new(),
        }
    }

    /// One fact more. Each field is quoted, so that no two facts read alike.
    pub fn add(&mut self, line: DigestLine<'_>) {
        self.lines.insert(serde_json::Value::from(line.fields()).to_string());
    }

    /// The text that is digested.
    pub fn text(&self) -> String {
        let lines = self.lines.iter().map(String::as_str);
        let all: Vec<&str> = std::iter::once(self.kind.heading()).chain(lines).collect();
        all.join("\n")
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(self.text().as_bytes())
    }
}

impl<'a> Extend<DigestLine<'a>> for Preimage {
    fn extend<T: IntoIterator<Item = DigestLine<'a>>>(&mut self, lines: T) {
        lines.into_iter().for_each(|line| self.add(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str =
        "/subscriptions/S/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/ContosoReg";
    const HUB: &str = "/subscriptions/S/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/Hub";

    fn id(text: &str) -> ArmId {
        text.parse().unwrap()
    }

    fn network(place: NetworkPlace) -> ClientNetwork {
        ClientNetwork {
            name: "hub".into(),
            place,
            vantage_point: "hub-agent".into(),
            endpoint: "hub".into(),
            dns_servers: vec!["10.0.0.5".parse().unwrap(), "10.0.0.4".parse().unwrap()],
        }
    }

    fn lockdown(registry: &ArmId, networks: &[ClientNetwork]) -> Preimage {
        let mut preimage = Preimage::of(DigestKind::Lockdown);
        preimage.add(DigestLine::Object("uid-1"));
        preimage.add(DigestLine::Closes(registry));
        preimage.extend(networks.iter().map(DigestLine::Network));
        preimage.add(DigestLine::Path {
            network: "hub",
            fqdn: "contosoreg.blob.core.windows.net",
        });
        preimage.add(DigestLine::Obstacle("policy \"guard\"\ndenies it"));
        preimage.add(DigestLine::ResourceLock(registry, "/S/Locks/Keep", "ReadOnly"));
        preimage
    }

    /// Whoever changes this text voids every approval in the field.
    #[test]
    fn what_is_approved_reads_so() {
        let office = network(NetworkPlace::OnPremises(vec![
            "10.2.0.0/16".into(),
            "10.1.0.0/16".into(),
        ]));
        let networks = [network(NetworkPlace::VirtualNetwork(id(HUB))), office];
        assert_eq!(
            lockdown(&id(REGISTRY), &networks).text(),
            r#"lockdown v1
["close","/subscriptions/s/resourcegroups/ml/providers/microsoft.machinelearningservices/registries/contosoreg"]
["network","hub","on premises","10.1.0.0/16 10.2.0.0/16","hub-agent","hub","10.0.0.4 10.0.0.5"]
["network","hub","virtual network","/subscriptions/s/resourcegroups/net/providers/microsoft.network/virtualnetworks/hub","hub-agent","hub","10.0.0.4 10.0.0.5"]
["object","uid-1"]
["obstacle","policy \"guard\"\ndenies it"]
["path","hub","contosoreg.blob.core.windows.net"]
["resource lock","/subscriptions/s/resourcegroups/ml/providers/microsoft.machinelearningservices/registries/contosoreg","/s/locks/keep","readonly"]"#
        );
    }

    #[test]
    fn what_agents_echo_reads_so() {
        let addresses = ["10.0.1.5".to_owned(), "10.0.1.4".to_owned()];
        let mut subject = Preimage::of(DigestKind::Subject);
        subject.add(DigestLine::Region(&Location::from("westeurope")));
        subject.add(DigestLine::Member(
            &id(HUB),
            "10.0.1.4".parse().unwrap(),
            &["b.x".to_owned(), "a.x".to_owned()],
        ));
        assert_eq!(
            subject.text(),
            r#"subject v1
["member","/subscriptions/s/resourcegroups/net/providers/microsoft.network/virtualnetworks/hub","10.0.1.4","a.x","b.x"]
["region","westeurope"]"#
        );
        let mut evidence = Preimage::of(DigestKind::Evidence);
        evidence.add(DigestLine::Round(7));
        evidence.add(DigestLine::Subject(&Digest::from_text("abc")));
        evidence.add(DigestLine::Proven {
            network: "hub",
            vantage_point: "hub-agent",
            fqdn: "a.x",
            addresses: &addresses,
        });
        assert_eq!(
            evidence.text(),
            "evidence v1\n[\"proven\",\"hub\",\"hub-agent\",\"a.x\",\"10.0.1.4\",\"10.0.1.5\"]\n[\"round\",\"7\"]\n[\"subject\",\"abc\"]"
        );
    }

    #[test]
    fn what_changes_names_reads_so() {
        let (registry, hub) = (id(REGISTRY), id(HUB));
        let names = ["x.azurecr.io".to_owned()];
        let mut building = Preimage::of(DigestKind::Building);
        building.add(DigestLine::Registry(&registry));
        building.add(DigestLine::Generation(3));
        building.add(DigestLine::Endpoint(&hub, &registry, &hub, &names));
        building.add(DigestLine::Link(&hub, &hub, ResolutionPolicy::NxDomainRedirect));
        building.add(DigestLine::AskedBy(EndpointGroup::ContainerRegistry, "hub spoke"));
        let h = hub.key();
        let r = registry.key();
        assert_eq!(
            building.text(),
            format!(
                "name changes v1\n[\"asked by\",\"registry\",\"hub spoke\"]\n[\"endpoint\",\"{h}\",\"{r}\",\"{h}\",\"x.azurecr.io\"]\n[\"generation\",\"3\"]\n[\"link\",\"{h}\",\"{h}\",\"NxDomainRedirect\"]\n[\"registry\",\"{r}\"]"
            )
        );
    }

    /// A line that is new does not compile before it stands below.
    fn name_of(line: &DigestLine<'_>) -> &'static str {
        match line {
            DigestLine::Object(_) => "object",
            DigestLine::Generation(_) => "generation",
            DigestLine::Registry(_) => "registry",
            DigestLine::Closes(_) => "close",
            DigestLine::Opens(_) => "open",
            DigestLine::Path { .. } => "path",
            DigestLine::Network(_) => "network",
            DigestLine::UnprovenNetwork(_) => "unproven network",
            DigestLine::UnprovenHost(_) => "unproven host",
            DigestLine::SharedAccount(_) => "shared account",
            DigestLine::Obstacle(_) => "obstacle",
            DigestLine::ResourceLock(..) => "resource lock",
            DigestLine::DenyAssignment(..) => "deny assignment",
            DigestLine::LetsIn(..) => "lets in",
            DigestLine::Perimeter(_) => "perimeter",
            DigestLine::Endpoint(..) => "endpoint",
            DigestLine::Link(..) => "link",
            DigestLine::Records(..) => "records",
            DigestLine::AskedBy(..) => "asked by",
            DigestLine::Removes(..) => "remove",
            DigestLine::Names(_) => "names",
            DigestLine::Region(_) => "region",
            DigestLine::Member(..) => "member",
            DigestLine::Round(_) => "round",
            DigestLine::Subject(_) => "subject",
            DigestLine::Proven { .. } => "proven",
        }
    }

    #[test]
    fn every_line_begins_with_its_name_and_holds_all_that_it_was_given() {
        let (hub, digest, location) = (id(HUB), Digest::from_text("abc"), Location::from("westeurope"));
        let h = hub.key();
        let names = ["a.x".to_owned()];
        let lines = [
            (DigestLine::Opens(&hub), vec![h]),
            (DigestLine::UnprovenNetwork(&hub), vec![h]),
            (DigestLine::UnprovenHost("a.x"), vec!["a.x"]),
            (DigestLine::SharedAccount(&hub), vec![h]),
            (DigestLine::LetsIn(&hub, "ip 1.2.3.4"), vec![h, "ip 1.2.3.4"]),
            (DigestLine::Perimeter(&hub), vec![h]),
            (DigestLine::Records(&hub, &hub), vec![h, h]),
            (DigestLine::Removes(&hub, &hub), vec![h, h]),
            (DigestLine::Names(&names), vec!["a.x"]),
            (DigestLine::Region(&location), vec!["westeurope"]),
            (DigestLine::Subject(&digest), vec!["abc"]),
        ];
        for (line, fields) in lines {
            let expected: Vec<&str> = std::iter::once(name_of(&line)).chain(fields).collect();
            assert_eq!(line.fields(), expected);
        }
        let headings = [
            (DigestKind::Lockdown, "lockdown v1"),
            (DigestKind::Opening, "opening v1"),
            (DigestKind::Building, "name changes v1"),
            (DigestKind::Removal, "removal v1"),
            (DigestKind::Subject, "subject v1"),
            (DigestKind::Evidence, "evidence v1"),
        ];
        for (kind, heading) in headings {
            assert_eq!(Preimage::of(kind).text(), heading);
        }
    }

    #[test]
    fn spelling_and_order_void_nothing_and_another_place_does() {
        let networks = [network(NetworkPlace::VirtualNetwork(id(HUB)))];
        let before = lockdown(&id(REGISTRY), &networks).digest();
        let mut other = network(NetworkPlace::VirtualNetwork(id(&HUB.to_uppercase())));
        other.dns_servers.reverse();
        assert_eq!(lockdown(&id(&REGISTRY.to_lowercase()), &[other]).digest(), before);
        let elsewhere = network(NetworkPlace::VirtualNetwork(id(&HUB.replace("Hub", "spoke"))));
        assert_ne!(lockdown(&id(REGISTRY), &[elsewhere]).digest(), before);
        let mut opening = Preimage::of(DigestKind::Opening);
        opening.add(DigestLine::Closes(&id(REGISTRY)));
        let mut closing = Preimage::of(DigestKind::Lockdown);
        closing.add(DigestLine::Closes(&id(REGISTRY)));
        assert_ne!(opening.digest(), closing.digest(), "one approval is no other");
    }
}
