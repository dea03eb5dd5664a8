//! Attempts against real sockets: through a SOCKS5 proxy as to an Azure network, and directly on loopback.

#[path = "all_servers.rs"]
mod all_servers;
#[path = "both_kinds.rs"]
mod both_kinds;
#[path = "neighbourhood.rs"]
mod neighbourhood;

use std::sync::atomic::{AtomicU32, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use sreg_api::probe::ProbeOutcome::{Failed, Succeeded, Unknown};
use sreg_api::probe::ProbeService;
use tokio::net::TcpListener;

use super::*;
use crate::{Dialer, ResolverAddress, TrustRoots};
use neighbourhood::{Authority, By, Neighbourhood, Peer, direct_dns, dns, host_suffixes, reply, serve_tls};

const FQDN: &str = "crcontoso.azurecr.io";
const PRIVATE: &str = "crcontoso.privatelink.azurecr.io";
const RESOLVER: &str = "168.63.129.16:53";
const ENDPOINT: &str = "10.1.0.4:443";
const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer realm=\"https://crcontoso.azurecr.io/oauth2/token\",service=\"crcontoso.azurecr.io\"\r\ncontent-length: 0\r\n\r\n";
const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\n\r\n{\"errors\":[{\"code\":\"DENIED\",\"message\":\"client with IP '20.1.2.3' is not allowed access. Refer ...\"}]}";
/// For attempts that should succeed; those that meet silence take much less.
const AMPLE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(500);

fn path() -> ProbePath {
    ProbePath {
        fqdn: FQDN.to_owned(),
        service: ProbeService::ContainerRegistry,
        addresses: vec!["10.1.0.4".to_owned()],
        private_link_name: Some(PRIVATE.to_owned()),
    }
}

fn private(question: &Message) -> Option<Message> {
    reply(
        question,
        ResponseCode::NoError,
        &[(FQDN, PRIVATE), (PRIVATE, "10.1.0.4")],
    )
}

/// A network in which everything is right but what stands at the endpoint.
async fn with_endpoint(make: impl FnOnce(&Authority) -> Peer) -> Neighbourhood {
    let ca = Authority::new("Contoso Root");
    let endpoint = make(&ca);
    Neighbourhood::with(
        ca,
        [(RESOLVER, dns(|question, _| private(question))), (ENDPOINT, endpoint)],
        true,
    )
    .await
}

/// A network in which everything is right but what the resolver says.
async fn with_resolver(resolver: Peer, udp: bool) -> Neighbourhood {
    let ca = Authority::new("Contoso Root");
    let endpoint = Peer::Tls(ca.server(&[FQDN]), CHALLENGE);
    Neighbourhood::with(ca, [(RESOLVER, resolver), (ENDPOINT, endpoint)], udp).await
}

async fn look(network: &Neighbourhood, limit: Duration) -> Attempt {
    attempt(&network.via(RESOLVER), &[], &path(), limit).await
}

#[track_caller]
fn assert_stopped(found: &Attempt, outcome: ProbeOutcome, hop: Hop, says: &str) {
    assert_eq!((found.outcome, found.hop), (outcome, Some(hop)), "{found:?}");
    assert!(found.message.contains(says), "`{}` should say `{says}`", found.message);
}

#[tokio::test]
async fn a_reached_service_passes_all_hops_through_the_proxy() {
    let network = with_endpoint(|ca| Peer::Tls(ca.server(&[FQDN]), CHALLENGE)).await;
    let found = look(&network, AMPLE).await;
    assert_eq!((found.outcome, found.hop), (Succeeded, None), "{found:?}");
    assert_eq!(
        (found.addresses, found.cname_chain),
        (vec!["10.1.0.4".to_owned()], vec![PRIVATE.to_owned()])
    );
    assert_eq!(
        found.message,
        "168.63.129.16:53 answers 10.1.0.4; crcontoso.azurecr.io answers 401 with its own Bearer challenge"
    );
}

#[tokio::test]
async fn the_public_name_is_spoken_to() {
    const ECHO: &str = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n{\"errors\":[{\"code\":\"DENIED\",\"message\":\"client with IP {request}\"}]}";
    let network = with_endpoint(|ca| Peer::Tls(ca.server(&[FQDN]), ECHO)).await;
    let found = look(&network, AMPLE).await;
    assert_stopped(
        &found,
        Failed,
        Hop::Http,
        "GET /v2/ HTTP/1.1|host: crcontoso.azurecr.io|",
    );
}

#[tokio::test]
async fn denial_is_told_at_the_http_hop() {
    let network = with_endpoint(|ca| Peer::Tls(ca.server(&[FQDN]), DENIED)).await;
    assert_stopped(
        &look(&network, AMPLE).await,
        Failed,
        Hop::Http,
        "client with IP '20.1.2.3'",
    );
}

#[tokio::test]
async fn a_busy_service_says_nothing() {
    let network =
        with_endpoint(|ca| Peer::Tls(ca.server(&[FQDN]), "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")).await;
    assert_stopped(&look(&network, AMPLE).await, Unknown, Hop::Http, "answers 503");
    let network = with_endpoint(|ca| Peer::Tls(ca.server(&[FQDN]), "")).await;
    assert_stopped(
        &look(&network, SHORT).await,
        Unknown,
        Hop::Http,
        "no HTTP answer in time",
    );
}

#[tokio::test]
async fn what_speaks_no_http_fails() {
    let network = with_endpoint(|ca| Peer::Tls(ca.server(&[FQDN]), "220 mail.example ESMTP\r\n")).await;
    assert_stopped(&look(&network, AMPLE).await, Failed, Hop::Http, "gives no HTTP answer");
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_matter() {
    const BROKEN_OFF: &str = "HTTP/1.1 401 No\r\nwww-authenticate: Bearer realm=\"https://crcontoso.azurecr.io\"\r\ncontent-length: 99999999\r\n\r\nx";
    let network = with_endpoint(|ca| Peer::Tls(ca.server(&[FQDN]), BROKEN_OFF)).await;
    assert_eq!(look(&network, AMPLE).await.outcome, Succeeded);
}

#[tokio::test]
async fn refusal_and_silence_at_443_are_told_apart() {
    let refusing = with_endpoint(|_| Peer::Refuses).await;
    let refused = look(&refusing, AMPLE).await;
    assert_stopped(&refused, Failed, Hop::Tcp, "10.1.0.4:443 refuses");
    assert_eq!(
        refused.message,
        "10.1.0.4:443 refuses the connection: nothing listens there"
    );
    let unreachable = with_endpoint(|_| Peer::Unreachable).await;
    assert_stopped(
        &look(&unreachable, AMPLE).await,
        Failed,
        Hop::Tcp,
        "host unreachable, says the SOCKS5 proxy",
    );
    let silent = with_endpoint(|_| Peer::Silent).await;
    let unanswered = look(&silent, SHORT).await;
    assert_stopped(&unanswered, Failed, Hop::Tcp, "does not answer");
    assert_eq!(
        unanswered.message,
        "10.1.0.4:443 does not answer: no route, a network rule, or an endpoint that is not approved or gone"
    );
}

#[tokio::test]
async fn every_address_must_accept() {
    let ca = Authority::new("Contoso Root");
    let both = |q: &Message, _| {
        reply(
            q,
            ResponseCode::NoError,
            &[(FQDN, PRIVATE), (PRIVATE, "10.1.0.4"), (PRIVATE, "10.1.0.5")],
        )
    };
    let server = ca.server(&[FQDN]);
    let peers = [
        (RESOLVER, dns(both)),
        (ENDPOINT, Peer::Tls(server, CHALLENGE)),
        ("10.1.0.5:443", Peer::Refuses),
    ];
    let network = Neighbourhood::with(ca, peers, true).await;
    let path = ProbePath {
        addresses: vec!["10.1.0.5".to_owned(), "10.1.0.4".to_owned()],
        ..path()
    };
    let found = attempt(&network.via(RESOLVER), &[], &path, AMPLE).await;
    assert_stopped(&found, Failed, Hop::Tcp, "10.1.0.5:443 refuses");
}

#[tokio::test]
async fn a_proxy_that_fails_says_nothing_about_the_path() {
    let failing = with_endpoint(|_| Peer::ProxyFails).await;
    assert_stopped(
        &look(&failing, AMPLE).await,
        Unknown,
        Hop::Tcp,
        "cannot be used: general failure",
    );
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let via = Via {
        dialer: Dialer::Socks5(closed.to_string()),
        ..failing.via(RESOLVER)
    };
    assert_stopped(
        &attempt(&via, &[], &path(), AMPLE).await,
        Unknown,
        Hop::Dns,
        "cannot be used",
    );
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let via = Via {
        dialer: Dialer::Socks5(mute.local_addr().unwrap().to_string()),
        ..via
    };
    assert_stopped(
        &attempt(&via, &[], &path(), SHORT).await,
        Unknown,
        Hop::Dns,
        "did not answer in time",
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_fails_at_tls() {
    let network = with_endpoint(|ca| Peer::Tls(ca.server(&[PRIVATE]), CHALLENGE)).await;
    assert_stopped(
        &look(&network, AMPLE).await,
        Failed,
        Hop::Tls,
        "not valid for crcontoso.azurecr.io; it names",
    );
}

#[tokio::test]
async fn interception_fails_at_tls_even_under_the_same_name() {
    for (name, says) in [
        ("Middlebox Root", "authority unknown here"),
        ("Contoso Root", "did not make"),
    ] {
        let network = with_endpoint(|_| Peer::Tls(Authority::new(name).server(&[FQDN]), CHALLENGE)).await;
        assert_stopped(&look(&network, AMPLE).await, Failed, Hop::Tls, says);
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_fails_at_tls() {
    let network = with_endpoint(|_| Peer::HangsUp).await;
    assert_stopped(
        &look(&network, AMPLE).await,
        Failed,
        Hop::Tls,
        "cut during the TLS handshake",
    );
}

#[tokio::test]
async fn a_truncated_answer_is_asked_again_by_tcp() {
    let truncating = dns(|question, by| {
        let mut answer = private(question)
            .filter(|_| by == By::Tcp)
            .or_else(|| reply(question, ResponseCode::NoError, &[]))?;
        answer.metadata.truncation = by == By::Udp;
        Some(answer)
    });
    let found = look(&with_resolver(truncating, true).await, AMPLE).await;
    assert_eq!(found.outcome, Succeeded, "{found:?}");
    assert!(found.message.contains("truncated"), "{}", found.message);
}

#[tokio::test]
async fn a_proxy_without_udp_is_asked_by_tcp_and_the_message_says_so() {
    let found = look(
        &with_resolver(dns(|question, by| private(question).filter(|_| by == By::Tcp)), false).await,
        AMPLE,
    )
    .await;
    assert_eq!(found.outcome, Succeeded, "{found:?}");
    assert!(found.message.contains("the proxy carries no UDP"), "{}", found.message);
}

#[tokio::test]
async fn one_lost_datagram_is_no_outage() {
    let asked = AtomicU32::new(0);
    let lossy = dns(move |question, _| private(question).filter(|_| asked.fetch_add(1, Ordering::SeqCst) > 0));
    assert_eq!(
        look(&with_resolver(lossy, true).await, Duration::from_secs(2))
            .await
            .outcome,
        Succeeded
    );
}

#[tokio::test]
async fn a_forged_reply_is_passed_over() {
    let asked = AtomicU32::new(0);
    let forged = dns(move |question, _| {
        let mut answer = private(question)?;
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            answer.metadata.id = answer.metadata.id.wrapping_add(1);
        }
        Some(answer)
    });
    let found = look(&with_resolver(forged, true).await, Duration::from_secs(2)).await;
    assert_eq!(found.outcome, Succeeded, "the second, true one counts: {found:?}");
}

#[tokio::test]
async fn what_the_resolver_says_stops_at_dns() {
    let public = dns(|q, _| reply(q, ResponseCode::NoError, &[(FQDN, "20.60.1.1")]));
    assert_stopped(
        &look(&with_resolver(public, true).await, AMPLE).await,
        Failed,
        Hop::Dns,
        "answers public 20.60.1.1",
    );
    let missing = dns(|q, _| reply(q, ResponseCode::NXDomain, &[(FQDN, PRIVATE)]));
    let found = look(&with_resolver(missing, true).await, AMPLE).await;
    assert_stopped(
        &found,
        Failed,
        Hop::Dns,
        "no record for crcontoso.privatelink.azurecr.io",
    );
    assert_eq!(found.cname_chain, [PRIVATE], "evidence is kept with a failure");
    let failing = dns(|q, _| reply(q, ResponseCode::ServFail, &[]));
    assert_stopped(
        &look(&with_resolver(failing, true).await, AMPLE).await,
        Failed,
        Hop::Dns,
        "(SERVFAIL)",
    );
    let silent = dns(|_, _| None);
    assert_stopped(
        &look(&with_resolver(silent, true).await, SHORT).await,
        Failed,
        Hop::Dns,
        "gives no answer",
    );
    assert_stopped(
        &look(&with_resolver(Peer::Refuses, false).await, AMPLE).await,
        Failed,
        Hop::Dns,
        "refuses questions",
    );
}

#[tokio::test]
async fn recursion_is_desired_and_the_name_is_asked_as_it_stands() {
    let strict = dns(|question, _| {
        let asked = question.queries[0].name.to_ascii();
        private(question).filter(|_| question.metadata.recursion_desired && asked == "crcontoso.azurecr.io.")
    });
    assert_eq!(look(&with_resolver(strict, true).await, AMPLE).await.outcome, Succeeded);
}

/// Without a proxy, to this machine.
fn directly(ca: &Authority, resolver: SocketAddr) -> (Via, ProbePath) {
    let via = Via {
        dialer: Dialer::Direct,
        resolver: ResolverAddress::Address(resolver),
        roots: TrustRoots::only(ca.pem.as_bytes()).unwrap(),
        host_suffixes: host_suffixes(),
        storage_version: "2023-11-03".to_owned(),
    };
    let path = ProbePath {
        addresses: vec!["127.0.0.1".to_owned()],
        private_link_name: None,
        ..path()
    };
    (via, path)
}

#[tokio::test]
async fn directly_the_same_hops_pass() {
    let ca = Authority::new("Contoso Root");
    let (resolver, _dns) = direct_dns(|q, _| reply(q, ResponseCode::NoError, &[(FQDN, "127.0.0.1")])).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (via, path) = directly(&ca, resolver);
    let (found, ()) = tokio::join!(attempt_at_port(&via, &[], &path, AMPLE, port), async {
        serve_tls(listener.accept().await.unwrap().0, ca.server(&[FQDN]), CHALLENGE).await;
    });
    assert_eq!(found.outcome, Succeeded, "{found:?}");
    drop(listener);
    let found = attempt_at_port(&via, &[], &path, AMPLE, port).await;
    assert_stopped(&found, Failed, Hop::Tcp, "refuses the connection");
}

/// What was proven an attempt ago is no proof of this one: neither a cached answer nor a pooled connection may stand in for it.
#[tokio::test]
async fn each_attempt_asks_dns_anew_and_opens_a_connection_of_its_own() {
    let ca = Authority::new("Contoso Root");
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let (resolver, _dns) = direct_dns(move |q, _| {
        // The record is good for a minute, and moves after the second question.
        let asked = u8::from(q.queries[0].query_type == RecordType::A);
        let moved = count.fetch_add(usize::from(asked), std::sync::atomic::Ordering::SeqCst) >= 2;
        let address = if moved { "127.0.0.2" } else { "127.0.0.1" };
        reply(q, ResponseCode::NoError, &[(FQDN, address)])
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (via, path) = directly(&ca, resolver);
    for attempt in 1..=2 {
        // Each time somebody has to knock.
        let (found, ()) = tokio::join!(attempt_at_port(&via, &[], &path, AMPLE, port), async {
            serve_tls(listener.accept().await.unwrap().0, ca.server(&[FQDN]), CHALLENGE).await;
        });
        assert_eq!(found.outcome, Succeeded, "{attempt}: {found:?}");
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), attempt);
    }
    let found = attempt_at_port(&via, &[], &path, AMPLE, port).await;
    assert_stopped(&found, Failed, Hop::Dns, "127.0.0.2");
}

#[tokio::test]
async fn directly_a_dead_resolver_is_named() {
    let network = with_endpoint(|_| Peer::Silent).await;
    let unused = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let via = Via {
        dialer: Dialer::Direct,
        ..network.via(&unused.to_string())
    };
    assert_stopped(
        &attempt(&via, &[], &path(), AMPLE).await,
        Failed,
        Hop::Dns,
        "nothing listens there",
    );
    let mute = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let via = Via {
        dialer: Dialer::Direct,
        ..network.via(&mute.local_addr().unwrap().to_string())
    };
    assert_stopped(
        &attempt(&via, &[], &path(), SHORT).await,
        Failed,
        Hop::Dns,
        "gives no answer",
    );
}

#[tokio::test]
async fn hosts_outside_the_cloud_are_not_contacted() {
    let network = with_resolver(dns(|_, _| panic!("contacted")), true).await;
    for fqdn in ["internal.contoso.example", "169.254.169.254", "azurecr.io.evil.example"] {
        let found = attempt(
            &network.via(RESOLVER),
            &[],
            &ProbePath {
                fqdn: fqdn.to_owned(),
                ..path()
            },
            AMPLE,
        )
        .await;
        assert_eq!((found.outcome, found.hop), (Unknown, None), "{found:?}");
        assert!(found.message.starts_with("not tried:"), "{}", found.message);
    }
    let found = attempt(
        &network.via(RESOLVER),
        &[],
        &ProbePath {
            addresses: vec![],
            ..path()
        },
        AMPLE,
    )
    .await;
    assert_eq!(
        (found.outcome, found.hop),
        (Unknown, None),
        "an empty set proves nothing: {found:?}"
    );
}
