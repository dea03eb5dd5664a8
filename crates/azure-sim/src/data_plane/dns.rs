//! DNS on the wire: a question in, the resolver's answer out, the same over UDP and TCP but for the length. Bytes that
//! are no question are dropped or get FORMERR; nothing here panics on them.

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::resolver::{DnsAnswer, QuestionType, Rcode};

/// How a question came; what fits into an answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub(super) enum Transport {
    /// A datagram: 512 bytes, or what EDNS allows.
    Udp,
    /// A stream: 65,535 bytes.
    Tcp,
}

/// The largest datagram that is sent whatever the client allows.
const LARGEST_DATAGRAM: u16 = 4096;

/// A question taken from the wire.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    message: Message,
    /// The name, lower case, without the final dot.
    pub(super) name: String,
    /// The record type, as asked.
    pub(super) record_type: RecordType,
}

impl Asked {
    /// What the resolver is to look for.
    pub(super) fn wanted(&self) -> QuestionType {
        if self.record_type == RecordType::A {
            QuestionType::A
        } else if self.record_type == RecordType::CNAME {
            QuestionType::Cname
        } else {
            QuestionType::Other
        }
    }
}

/// What became of the bytes.
#[derive(Debug, Clone)]
pub(super) enum Received {
    /// One question that can be answered.
    Question(Box<Asked>),
    /// A message that gets this error.
    Error(Vec<u8>),
    /// Nothing that could be answered (an answer, or no DNS at all).
    Garbage,
}

/// Reads a message.
pub(super) fn receive(bytes: &[u8]) -> Received {
    let Ok(message) = Message::from_vec(bytes) else {
        return malformed(bytes);
    };
    if message.metadata.message_type == MessageType::Response {
        return Received::Garbage;
    }
    let error = |code| refuse(&message, code);
    if message.metadata.op_code != OpCode::Query {
        return error(ResponseCode::NotImp);
    }
    if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return error(ResponseCode::BADVERS);
    }
    let [query] = message.queries.as_slice() else {
        return error(ResponseCode::FormErr);
    };
    if query.query_class() != DNSClass::IN {
        return error(ResponseCode::Refused);
    }
    let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let record_type = query.query_type();
    Received::Question(Box::new(Asked {
        message,
        name,
        record_type,
    }))
}

/// FORMERR where the header is whole enough to tell a question from an answer (RFC 1035 §4.1.1).
fn malformed(bytes: &[u8]) -> Received {
    match bytes {
        [high, low, flags, _, _, _, _, _, _, _, _, _, ..] if flags & 0x80 == 0 => {
            let message = Message::error_msg(u16::from_be_bytes([*high, *low]), OpCode::Query, ResponseCode::FormErr);
            message.to_vec().map_or(Received::Garbage, Received::Error)
        }
        _ => Received::Garbage,
    }
}

fn refuse(question: &Message, code: ResponseCode) -> Received {
    let mut message = response_to(question);
    message.metadata.response_code = code;
    message.to_vec().map_or(Received::Garbage, Received::Error)
}

fn response_to(question: &Message) -> Message {
    let mut message = Message::response(question.metadata.id, question.metadata.op_code);
    message.metadata.recursion_desired = question.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_queries(question.queries.iter().cloned());
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_DATAGRAM).set_version(0);
        message.set_edns(edns);
    }
    message
}

/// The answer as bytes for this transport, and its answer section as text for the journal. `None` when it cannot be
/// written, which is a name that no wire carries.
pub(super) fn reply(asked: &Asked, answer: &DnsAnswer, transport: Transport) -> Option<(Vec<u8>, Vec<String>)> {
    let mut message = response_to(&asked.message);
    message.metadata.authoritative = answer.authoritative;
    message.metadata.response_code = match answer.rcode {
        Rcode::NoError => ResponseCode::NoError,
        Rcode::NxDomain => ResponseCode::NXDomain,
        Rcode::ServFail => ResponseCode::ServFail,
    };
    let as_asked = asked.message.queries.first()?.name();
    let owner = |name: &str| {
        if name == asked.name {
            Some(as_asked.clone())
        } else {
            absolute(name)
        }
    };
    for alias in &answer.chain {
        let data = RData::CNAME(CNAME(absolute(&alias.target)?));
        message.add_answer(Record::from_rdata(owner(&alias.name)?, alias.ttl, data));
    }
    let last = answer
        .chain
        .last()
        .map_or(asked.name.as_str(), |alias| alias.target.as_str());
    for address in &answer.addresses {
        message.add_answer(Record::from_rdata(owner(last)?, answer.ttl, RData::A(A(*address))));
    }
    if answer.addresses.is_empty() && answer.rcode != Rcode::ServFail {
        message.add_authority(start_of_authority(answer)?);
    }
    let texts = message
        .answers
        .iter()
        .map(|r| format!("{} {} {}", plain(&r.name), r.record_type(), plain_data(&r.data)));
    let texts = texts.collect();
    let bytes = message.to_vec().ok()?;
    let room = match transport {
        Transport::Tcp => u16::MAX,
        Transport::Udp => asked.message.max_payload().min(LARGEST_DATAGRAM),
    };
    if bytes.len() <= usize::from(room) {
        return Some((bytes, texts));
    }
    Some((message.truncate().to_vec().ok()?, texts))
}

fn start_of_authority(answer: &DnsAnswer) -> Option<Record> {
    let server = absolute(if answer.authoritative {
        "azureprivatedns.net"
    } else {
        "ns1-01.azure-dns.com"
    })?;
    let contact = absolute("azuredns-hostmaster.microsoft.com")?;
    let minimum = answer.ttl;
    let data = SOA::new(server, contact, 1, 3600, 300, 2_419_200, minimum);
    // A zone that no wire carries can only come from an odd question; the root vouches for those.
    let zone = absolute(&answer.zone).unwrap_or_else(Name::root);
    Some(Record::from_rdata(zone, minimum, RData::SOA(data)))
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn plain_data(data: &RData) -> String {
    data.to_string().trim_end_matches('.').to_owned()
}

/// An answer that an injected fault gives.
pub(super) fn forged(addresses: Vec<Ipv4Addr>, rcode: Rcode) -> DnsAnswer {
    DnsAnswer {
        rcode,
        addresses,
        ttl: 10,
        zone: ".".into(),
        ..DnsAnswer::failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::resolver::Alias;
    use hickory_proto::op::Query;

    fn question(name: &str, record_type: RecordType, edns: Option<u16>) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
        if let Some(payload) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }

    fn asked(bytes: &[u8]) -> Box<Asked> {
        match receive(bytes) {
            Received::Question(asked) => asked,
            other @ (Received::Error(_) | Received::Garbage) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_case_of_a_question_comes_back_and_does_not_matter() {
        let asked = asked(&question("AcC.bLob.core.windows.NET.", RecordType::A, None));
        assert_eq!(asked.name, "acc.blob.core.windows.net");
        let (bytes, _) = reply(
            &asked,
            &forged(vec![Ipv4Addr::new(10, 0, 0, 4)], Rcode::NoError),
            Transport::Udp,
        )
        .unwrap();
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!(message.answers[0].name.to_ascii(), "AcC.bLob.core.windows.NET.");
        assert!(message.metadata.recursion_available && message.metadata.recursion_desired);
    }

    #[test]
    fn what_does_not_fit_into_a_datagram_is_truncated_and_comes_whole_by_tcp() {
        let addresses: Vec<Ipv4Addr> = (0..60).map(|i| Ipv4Addr::new(10, 0, 0, i)).collect();
        let answer = forged(addresses, Rcode::NoError);
        let plain = asked(&question("a.azurecr.io.", RecordType::A, None));
        let read = |asked, transport| Message::from_vec(&reply(asked, &answer, transport).unwrap().0).unwrap();
        let short = read(&plain, Transport::Udp);
        assert!(short.metadata.truncation && short.answers.is_empty());
        let long = read(&plain, Transport::Tcp);
        assert!(!long.metadata.truncation);
        assert_eq!(long.answers.len(), 60);
        let wide = asked(&question("a.azurecr.io.", RecordType::A, Some(1232)));
        assert_eq!(read(&wide, Transport::Udp).answers.len(), 60);
    }

    #[test]
    fn an_absence_carries_the_zone_that_vouches_for_it_and_the_chain_before_it() {
        let asked = asked(&question("a.azurecr.io.", RecordType::A, None));
        let answer = DnsAnswer {
            rcode: Rcode::NxDomain,
            chain: vec![Alias {
                name: "a.azurecr.io".into(),
                target: "a.privatelink.azurecr.io".into(),
                ttl: 1800,
            }],
            addresses: vec![],
            authoritative: true,
            ttl: 10,
            zone: "privatelink.azurecr.io".into(),
        };
        let (bytes, texts) = reply(&asked, &answer, Transport::Udp).unwrap();
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
        assert!(message.metadata.authoritative);
        assert_eq!(message.authorities[0].name.to_ascii(), "privatelink.azurecr.io.");
        assert_eq!(texts, ["a.azurecr.io CNAME a.privatelink.azurecr.io"]);
    }

    #[test]
    fn odd_names_get_an_answer_too() {
        let odd: [&[&[u8]]; 4] = [
            &[],
            &[b"localhost"],
            &[b"_x", b"a.b c", b"example"],
            &[b"\xff\x00\\", b"\xfe"],
        ];
        for labels in odd {
            let mut message = Message::query();
            message.add_query(Query::query(Name::from_labels(labels.to_vec()).unwrap(), RecordType::A));
            let asked = asked(&message.to_vec().unwrap());
            let zone = asked
                .name
                .split_once('.')
                .map_or(asked.name.clone(), |(_, parent)| parent.to_owned());
            let answer = DnsAnswer {
                zone,
                ..forged(vec![], Rcode::NxDomain)
            };
            let (bytes, _) = reply(&asked, &answer, Transport::Udp).unwrap_or_else(|| panic!("{labels:?}"));
            assert_eq!(
                Message::from_vec(&bytes).unwrap().queries,
                message.queries,
                "{labels:?}"
            );
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_no_answer_outgrows_its_datagram() {
        use rand::{Rng, SeedableRng};
        let mut dice = rand::rngs::StdRng::seed_from_u64(7);
        let whole = question("contosost.blob.core.windows.net.", RecordType::A, Some(1232));
        let answer = forged(vec![Ipv4Addr::LOCALHOST; 200], Rcode::NoError);
        let mut questions = 0;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..dice.random_range(0..4) {
                let at = dice.random_range(0..bytes.len());
                bytes[at] = dice.random();
            }
            bytes.truncate(dice.random_range(0..=bytes.len() * 2));
            if let Received::Question(asked) = receive(&bytes) {
                questions += 1;
                let (reply, _) = reply(&asked, &answer, Transport::Udp).unwrap();
                assert!(reply.len() <= usize::from(LARGEST_DATAGRAM));
            }
        }
        assert!(questions > 1000, "{questions}");
    }

    #[test]
    fn bytes_that_are_no_question_are_dropped_or_told_so() {
        assert!(matches!(receive(&[]), Received::Garbage));
        assert!(matches!(receive(&[0; 11]), Received::Garbage));
        let mut answer = question("a.", RecordType::A, None);
        answer[2] |= 0x80;
        assert!(matches!(receive(&answer), Received::Garbage));
        let mut cut = question("a.azurecr.io.", RecordType::A, None);
        cut.truncate(15);
        assert!(matches!(receive(&cut), Received::Error(bytes) if bytes[3] & 0x0f == 1 && bytes[..2] == cut[..2]));
        let mut update = question("a.", RecordType::A, None);
        update[2] |= 5 << 3;
        assert!(matches!(receive(&update), Received::Error(bytes) if bytes[3] & 0x0f == 4));
    }
}
