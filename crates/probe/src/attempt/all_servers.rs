//! Networks with several DNS servers: some client asks each of them.

use super::*;

const SECOND: &str = "10.0.0.6:53";

/// The vantage point's own resolver is right; this stands at the network's second DNS server.
async fn with_second(second: Peer) -> Attempt {
    let ca = Authority::new("Contoso Root");
    let endpoint = Peer::Tls(ca.server(&[FQDN]), CHALLENGE);
    let peers = [
        (RESOLVER, dns(|question, _| private(question))),
        (SECOND, second),
        (ENDPOINT, endpoint),
    ];
    let network = Neighbourhood::with(ca, peers, true).await;
    let servers = [SECOND.parse().unwrap(), RESOLVER.parse().unwrap()];
    attempt(&network.via(RESOLVER), &servers, &path(), Duration::from_secs(4)).await
}

#[tokio::test]
async fn a_second_server_that_answers_publicly_fails_the_path_and_is_named() {
    let publicly = dns(|question, _| reply(question, ResponseCode::NoError, &[(FQDN, "20.60.1.1")]));
    let found = with_second(publicly).await;
    assert_stopped(&found, Failed, Hop::Dns, "10.0.0.6:53 answers public 20.60.1.1");
    let nothing = dns(|question, _| reply(question, ResponseCode::NXDomain, &[]));
    assert_stopped(
        &with_second(nothing).await,
        Failed,
        Hop::Dns,
        "10.0.0.6:53 answers NXDOMAIN",
    );
}

#[tokio::test]
async fn a_second_server_that_sends_ipv6_clients_elsewhere_fails_the_path() {
    let found = with_second(dns(|question, _| {
        if question.queries[0].query_type == RecordType::A {
            return private(question);
        }
        reply(question, ResponseCode::NoError, &[(FQDN, "2603:1030::1")])
    }));
    assert_stopped(&found.await, Failed, Hop::Dns, "10.0.0.6:53 answers 2603:1030::1");
}

/// A stub asks the next server then, so that the path passes; whoever wants to lock is told that this one said nothing.
#[tokio::test]
async fn a_second_server_without_an_answer_is_named_beside_the_success() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let found = with_second(dns(move |question, _| reply(question, code, &[]))).await;
        assert_eq!(
            (found.outcome, found.silent_servers),
            (Succeeded, vec![SECOND.to_owned()]),
            "{}",
            found.message
        );
        assert!(found.message.contains("10.0.0.6:53"), "{}", found.message);
    }
    let found = with_second(dns(|_, _| None)).await;
    assert_eq!(
        (found.outcome, found.silent_servers),
        (Succeeded, vec![SECOND.to_owned()]),
        "{}",
        found.message
    );
    let found = with_second(dns(|question, _| private(question))).await;
    assert_eq!(
        (found.outcome, found.silent_servers.len()),
        (Succeeded, 0),
        "{}",
        found.message
    );
}
