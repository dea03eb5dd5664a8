//! What a DNS answer means for a path. Pure: a reply goes in, addresses and CNAME chain come out, or the sentence that says
//! why clients here do not get to the private endpoint.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use sreg_api::probe::ProbePath;

use crate::Stop;

/// Longer chains are cut: no resolver's real answer has them, and status keeps no more.
const LONGEST_CHAIN: usize = 16;
/// Further addresses are dropped, for the same reason.
const MOST_ADDRESSES: usize = 32;

/// What a resolver said about a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Addresses at the end of the chain, in order of the answer.
    pub(crate) addresses: Vec<IpAddr>,
    /// Targets of the CNAMEs, from the asked name on, lower case, without the final dot.
    pub(crate) cname_chain: Vec<String>,
}

/// Whether `reply` answers exactly `question`: same id, same question, and a response at all.
pub(crate) fn answers(question: &Message, reply: &Message) -> bool {
    reply.metadata.id == question.metadata.id
        && reply.metadata.message_type == hickory_proto::op::MessageType::Response
        && reply.queries == question.queries
}

/// Follows the CNAME chain through the answer section. Records that are not on the chain do not count.
pub(crate) fn follow(reply: &Message) -> Looked {
    let Some(question) = reply.queries.first() else {
        return Looked::default();
    };
    let mut owner: &Name = &question.name;
    let mut cname_chain = Vec::new();
    while let Some(target) = cname_of(reply, owner).filter(|_| cname_chain.len() < LONGEST_CHAIN) {
        cname_chain.push(plain(target));
        owner = target;
    }
    let addresses = reply
        .answers
        .iter()
        .filter(|record| record.name == *owner)
        .filter_map(|record| {
            if let (RData::A(address), RecordType::A) = (&record.data, question.query_type) {
                Some(IpAddr::V4(address.0))
            } else if let (RData::AAAA(address), RecordType::AAAA) = (&record.data, question.query_type) {
                Some(IpAddr::V6(address.0))
            } else {
                None
            }
        });
    Looked {
        addresses: addresses.take(MOST_ADDRESSES).collect(),
        cname_chain,
    }
}

fn cname_of<'a>(reply: &'a Message, owner: &Name) -> Option<&'a Name> {
    reply
        .answers
        .iter()
        .filter(|record| record.name == *owner)
        .find_map(|record| {
            if let RData::CNAME(target) = &record.data {
                Some(&target.0)
            } else {
                None
            }
        })
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// The addresses that the path demands. Nothing demanded, or nonsense, proves nothing.
pub(crate) fn demanded(path: &ProbePath) -> Result<BTreeSet<IpAddr>, Stop> {
    let parsed: Result<BTreeSet<IpAddr>, _> = path.addresses.iter().map(|text| text.parse()).collect();
    match parsed {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(Stop::unknown(
            "not tried: the probe names no address that must be answered",
        )),
        Err(_) => Err(Stop::unknown(format!(
            "not tried: the probe demands {:?}, which is no list of addresses",
            path.addresses
        ))),
    }
}

/// Judges what `server` said. `Ok` when clients that ask it are sent to exactly the private endpoint's addresses.
pub(crate) fn judge(
    path: &ProbePath,
    demanded: &BTreeSet<IpAddr>,
    code: ResponseCode,
    looked: &Looked,
    server: &str,
) -> Result<(), Stop> {
    let fqdn = &path.fqdn;
    let by_way = by_way_of(&looked.cname_chain);
    if code == ResponseCode::NXDomain {
        let hint = match looked.cname_chain.last() {
            Some(last) => format!(": no record for {last} in the zone that this network sees"),
            None => String::new(),
        };
        return Err(Stop::failed(format!(
            "{server} answers NXDOMAIN for {fqdn}{by_way}{hint}"
        )));
    }
    if code == ResponseCode::ServFail {
        return Err(Stop::failed(format!(
            "{server} could not resolve {fqdn} (SERVFAIL): its forwarder or upstream fails"
        )));
    }
    if code != ResponseCode::NoError {
        return Err(Stop::failed(format!("{server} does not answer for {fqdn} ({code})")));
    }
    if looked.addresses.is_empty() {
        return Err(Stop::failed(format!("{server} answers no address for {fqdn}{by_way}")));
    }
    let answered: BTreeSet<IpAddr> = looked.addresses.iter().copied().collect();
    if answered != *demanded {
        return Err(Stop::failed(wrong_addresses(
            fqdn, &answered, demanded, &by_way, server,
        )));
    }
    match path.private_link_name.as_deref().map(|name| name.trim_end_matches('.')) {
        Some(name) if !looked.cname_chain.iter().any(|step| step.eq_ignore_ascii_case(name)) => {
            Err(Stop::failed(format!(
                "{server} answers the right addresses for {fqdn}, but not by way of a CNAME to {name}{by_way}: \
             a record of its own would go stale"
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// Judges addresses of the kind that is not demanded. `Ok` when each is demanded after all, or leads to one that is: NAT64's
/// synthesis of it (RFC 6052), or its IPv4-mapped form.
pub(crate) fn judge_beside(
    fqdn: &str,
    demanded: &BTreeSet<IpAddr>,
    answered: &[IpAddr],
    server: &str,
) -> Result<(), Stop> {
    let leads_there = |address: &IpAddr| {
        let behind = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => embedded(*v6),
        };
        demanded.contains(address) || behind.is_some_and(|v4| demanded.contains(&IpAddr::V4(v4)))
    };
    let strangers: Vec<IpAddr> = answered.iter().filter(|a| !leads_there(a)).copied().collect();
    let Some(first) = strangers.first() else {
        return Ok(());
    };
    let kind = if first.is_ipv6() { "IPv6" } else { "IPv4" };
    Err(Stop::failed(format!(
        "{server} answers {} for {fqdn} beside the private endpoint's {}: clients that prefer {kind} go there, not to the endpoint",
        list(&strangers),
        list(demanded)
    )))
}

/// The IPv4 address in one of `64:ff9b::/96` or `::ffff:0:0/96`.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else {
        return address.to_ipv4_mapped();
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

fn wrong_addresses(
    fqdn: &str,
    answered: &BTreeSet<IpAddr>,
    demanded: &BTreeSet<IpAddr>,
    by_way: &str,
    server: &str,
) -> String {
    let (got, wanted) = (list(answered), list(demanded));
    if answered.iter().all(is_public) {
        format!(
            "{server} answers public {got} for {fqdn}{by_way} instead of the private endpoint's {wanted}: \
             this network does not see the private zone, or the zone has no record"
        )
    } else if answered.is_subset(demanded) {
        format!("{server} answers only {got} for {fqdn}{by_way}, not all of the private endpoint's {wanted}")
    } else {
        format!("{server} answers {got} for {fqdn}{by_way}, not exactly the private endpoint's {wanted}")
    }
}

fn by_way_of(chain: &[String]) -> String {
    if chain.is_empty() {
        String::new()
    } else {
        format!(" (CNAME {})", chain.join(" → "))
    }
}

pub(crate) fn list<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    addresses
        .into_iter()
        .map(IpAddr::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Not private (RFC 1918, unique local), shared, link-local or loopback.
fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{MessageType, OpCode, Query};
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, AAAA, CNAME};
    use sreg_api::probe::{ProbeOutcome, ProbeService};

    use super::*;

    const FQDN: &str = "stcontoso.blob.core.windows.net";
    const PRIVATE: &str = "stcontoso.privatelink.blob.core.windows.net";

    fn name(text: &str) -> Name {
        Name::from_ascii(format!("{text}.")).unwrap()
    }

    fn alias(owner: &str, target: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
    }

    fn address(owner: &str, address: &str) -> Record {
        let data = match address.parse().unwrap() {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        };
        Record::from_rdata(name(owner), 10, data)
    }

    fn reply(answers: Vec<Record>) -> Message {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name(FQDN), RecordType::A));
        message.add_answers(answers);
        message
    }

    fn path(addresses: &[&str]) -> ProbePath {
        ProbePath {
            fqdn: FQDN.to_owned(),
            service: ProbeService::Blob,
            addresses: addresses.iter().map(|&a| a.to_owned()).collect(),
            private_link_name: Some(PRIVATE.to_owned()),
        }
    }

    fn judged(path: &ProbePath, code: ResponseCode, answers: Vec<Record>) -> Result<(), Stop> {
        judge(
            path,
            &demanded(path).unwrap(),
            code,
            &follow(&reply(answers)),
            "168.63.129.16:53",
        )
    }

    fn refused_with(path: &ProbePath, code: ResponseCode, answers: Vec<Record>) -> String {
        let stop = judged(path, code, answers).unwrap_err();
        assert_eq!(stop.outcome, ProbeOutcome::Failed, "{}", stop.message);
        stop.message
    }

    #[test]
    fn exactly_the_endpoints_addresses_by_way_of_the_privatelink_name_pass() {
        let chain = vec![
            alias(FQDN, &PRIVATE.to_uppercase()),
            address(PRIVATE, "10.1.0.5"),
            address(PRIVATE, "10.1.0.4"),
        ];
        assert_eq!(
            judged(&path(&["10.1.0.4", "10.1.0.5"]), ResponseCode::NoError, chain.clone()),
            Ok(())
        );
        let looked = follow(&reply(chain));
        assert_eq!(looked.cname_chain, [PRIVATE]);
        assert_eq!(list(&looked.addresses), "10.1.0.5, 10.1.0.4", "in order of the answer");
    }

    #[test]
    fn each_way_of_going_wrong_has_a_sentence_of_its_own() {
        let chain = |at: &str| vec![alias(FQDN, PRIVATE), address(PRIVATE, at)];
        let one = path(&["10.1.0.4"]);
        let cases = [
            (
                ResponseCode::NXDomain,
                vec![],
                &one,
                "answers NXDOMAIN for stcontoso.blob.core.windows.net",
            ),
            (
                ResponseCode::NXDomain,
                vec![alias(FQDN, PRIVATE)],
                &one,
                "no record for stcontoso.privatelink.blob",
            ),
            (ResponseCode::ServFail, vec![], &one, "(SERVFAIL)"),
            (ResponseCode::Refused, vec![], &one, "does not answer for"),
            (ResponseCode::NoError, vec![], &one, "answers no address"),
            (
                ResponseCode::NoError,
                vec![alias(FQDN, PRIVATE)],
                &one,
                "(CNAME stcontoso.privatelink.blob",
            ),
            (
                ResponseCode::NoError,
                chain("20.60.1.1"),
                &one,
                "answers public 20.60.1.1",
            ),
            (
                ResponseCode::NoError,
                chain("10.9.0.4"),
                &one,
                "not exactly the private endpoint's 10.1.0.4",
            ),
            (
                ResponseCode::NoError,
                chain("10.1.0.4"),
                &path(&["10.1.0.4", "10.1.0.5"]),
                "answers only 10.1.0.4",
            ),
            (
                ResponseCode::NoError,
                vec![address(FQDN, "10.1.0.4")],
                &one,
                "but not by way of a CNAME",
            ),
        ];
        for (code, answers, path, says) in cases {
            let message = refused_with(path, code, answers);
            assert!(message.contains(says), "`{message}` should say `{says}`");
            assert!(message.starts_with("168.63.129.16:53 "), "{message}");
        }
    }

    #[test]
    fn a_private_address_beside_a_public_one_is_no_proof() {
        let both = vec![
            alias(FQDN, PRIVATE),
            address(PRIVATE, "10.1.0.4"),
            address(PRIVATE, "20.60.1.1"),
        ];
        assert!(refused_with(&path(&["10.1.0.4"]), ResponseCode::NoError, both).contains("10.1.0.4, 20.60.1.1"));
    }

    #[test]
    fn records_beside_the_chain_do_not_count() {
        let stray = vec![
            alias(FQDN, PRIVATE),
            address("other.example", "10.1.0.4"),
            address(FQDN, "10.1.0.4"),
        ];
        assert!(refused_with(&path(&["10.1.0.4"]), ResponseCode::NoError, stray).contains("answers no address"));
        assert!(
            follow(&reply(vec![address(FQDN, "fd00::4")])).addresses.is_empty(),
            "AAAA to a question for A"
        );
    }

    #[test]
    fn a_chain_that_bites_its_tail_ends() {
        let looked = follow(&reply(vec![alias(FQDN, PRIVATE), alias(PRIVATE, FQDN)]));
        assert_eq!((looked.cname_chain.len(), looked.addresses.len()), (LONGEST_CHAIN, 0));
        assert_eq!(
            follow(&Message::new(1, MessageType::Response, OpCode::Query)),
            Looked::default()
        );
    }

    #[test]
    fn without_a_demanded_address_nothing_is_tried() {
        for addresses in [&[][..], &["ten.one"], &["10.1.0.4", ""]] {
            let stop = demanded(&path(addresses)).unwrap_err();
            assert_eq!(stop.outcome, ProbeOutcome::Unknown, "{addresses:?}");
        }
    }

    #[test]
    fn only_the_reply_to_this_question_counts() {
        let mut question = Message::new(7, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(name(FQDN), RecordType::A));
        assert!(answers(&question, &reply(vec![])));
        assert!(!answers(&question, &question), "an echo is no answer");
        let mut other = reply(vec![]);
        other.metadata.id = 8;
        assert!(!answers(&question, &other));
        let mut other = reply(vec![]);
        other.queries[0].name = name("stfabrikam.blob.core.windows.net");
        assert!(!answers(&question, &other));
    }
}
