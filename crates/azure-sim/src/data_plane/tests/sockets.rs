//! The data plane over real sockets: what agents and people get at each hop, and what the journal says of it.

use std::net::{IpAddr, SocketAddr};

use fast_socks5::ReplyError;
use fast_socks5::client::Socks5Datagram;
use fast_socks5::util::target_addr::TargetAddr;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use rustls::CertificateError;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::client::{Azure, DEADLINE, Failed, addresses, is_silent, question, question_of};
use super::*;
use crate::data_plane::{AZURE_DNS, Effect, HttpFault};
use crate::journal::{Entry, Leg};

fn closed() -> World {
    let mut world = private_world();
    for target in [STORAGE, ACR, REGISTRY] {
        change(&mut world, target, "/properties/publicNetworkAccess", json!("Disabled"));
    }
    world
}

#[tokio::test]
async fn after_the_lock_the_private_leg_serves_and_the_public_leg_is_denied_in_http_only() {
    let azure = Azure::of(closed()).await;
    let private = azure.get("spoke", BLOB_PRIVATE, BLOB, "/").await.unwrap();
    assert_eq!(private.status, 401);
    assert_eq!(private.headers["x-ms-error-code"], "NoAuthenticationInformation");
    let public = azure.get("internet", public_address(BLOB), BLOB, "/").await.unwrap();
    assert_eq!((public.status, public.body.len()), (403, 246));
    let login = public_address(LOGIN);
    let denied = azure.get("hub", login, LOGIN, "/v2/").await.unwrap();
    assert!(
        denied.status == 403
            && denied
                .body
                .contains("client with IP '203.0.113.1' is not allowed access"),
        "{denied:?}"
    );
    azure
        .journal_shows(|s| {
            (s.network.as_str(), s.leg, s.sni.as_deref(), s.http_status)
                == ("spoke", Leg::Endpoint, Some(BLOB), Some(401))
                && s.target == Some(key(STORAGE))
        })
        .await;
    azure
        .journal_shows(|s| {
            (s.network.as_str(), s.leg, s.http_path.as_deref(), s.http_status)
                == ("hub", Leg::Public, Some("/v2/"), Some(403))
        })
        .await;
    azure.running.shutdown().await;
}

#[tokio::test]
async fn a_vnet_that_is_not_involved_resolves_and_connects_publicly_while_others_go_private() {
    let azure = Azure::of(private_world()).await;
    let answer = azure.ask_udp("lonely", AZURE_DNS, BLOB).await.unwrap();
    assert_eq!(addresses(&answer), [public_address(BLOB)]);
    assert_eq!(answer.answers.len(), 3, "two aliases and an address");
    assert_eq!(
        azure
            .get("lonely", public_address(BLOB), BLOB, "/")
            .await
            .unwrap()
            .status,
        401
    );
    assert!(is_silent(azure.get("lonely", BLOB_PRIVATE, BLOB, "/")).await);
    azure
        .journal_shows(|s| s.network == "lonely" && s.outcome == "silence")
        .await;
}

/// Agents ask for both kinds: what only has IPv4 says that it exists and holds nothing else.
#[tokio::test]
async fn ipv6_is_answered_with_no_data() {
    let azure = Azure::of(private_world()).await;
    for (network, server) in [("hub", AZURE_DNS), ("internet", Ipv4Addr::new(1, 1, 1, 1))] {
        let asked = question_of(BLOB, RecordType::AAAA);
        let answer = azure.send_udp(network, server, &asked).await.unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{network}");
        assert!(
            answer.answers.iter().all(|r| r.record_type() == RecordType::CNAME),
            "{network}"
        );
    }
    azure.running.shutdown().await;
}

#[tokio::test]
async fn dns_is_the_same_by_udp_and_tcp_and_only_where_the_server_is() {
    let azure = Azure::of(private_world()).await;
    let office = Ipv4Addr::new(10, 200, 0, 53);
    for (network, server, expected) in [
        ("hub", AZURE_DNS, BLOB_PRIVATE),
        ("office", office, BLOB_PRIVATE),
        ("internet", Ipv4Addr::new(1, 1, 1, 1), public_address(BLOB)),
    ] {
        let by_udp = azure.ask_udp(network, server, BLOB).await.unwrap();
        let by_tcp = azure.ask_tcp(network, server, BLOB).await.unwrap();
        assert_eq!(addresses(&by_udp), [expected], "{network}");
        assert_eq!(addresses(&by_tcp), [expected], "{network}");
    }
    assert!(is_silent(azure.ask_udp("office", AZURE_DNS, BLOB)).await);
    assert!(is_silent(azure.ask_tcp("internet", AZURE_DNS, BLOB)).await);
    let missing = azure.ask_tcp("hub", AZURE_DNS, "nobody.azurecr.io").await.unwrap();
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    let entries = || -> Vec<(String, String, usize)> {
        let records = azure.sim.journal().snapshot().into_iter();
        let questions = records.filter_map(|r| match r.entry {
            Entry::Dns(dns) => (dns.network == "office").then_some((dns.transport, dns.rcode, dns.answers.len())),
            Entry::Request(_) | Entry::Change(_) | Entry::Stream(_) => None,
        });
        questions.collect()
    };
    let entry = |transport: &str, rcode: &str, answers| (transport.to_owned(), rcode.to_owned(), answers);
    let expected = [
        entry("udp", "NoError", 2),
        entry("tcp", "NoError", 2),
        entry("udp", "Timeout", 0),
    ];
    let start = Instant::now();
    while entries() != expected {
        assert!(start.elapsed() < DEADLINE, "{:?}", entries());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_agents_port_refuses_names_and_the_peoples_port_resolves_them_in_its_network() {
    let azure = Azure::of(private_world()).await;
    let name = || TargetAddr::Domain(BLOB.into(), 443);
    let refused = azure.stream(azure.agents("hub"), name()).await;
    assert!(
        matches!(refused, Err(Failed::Proxy(ReplyError::AddressTypeNotSupported))),
        "{refused:?}"
    );
    for (network, leg) in [("spoke", Leg::Endpoint), ("lonely", Leg::Public)] {
        let stream = azure.stream(azure.people(network), name()).await.unwrap();
        assert_eq!(azure.request(stream, BLOB, "/").await.unwrap().status, 401);
        azure.journal_shows(|s| s.network == network && s.leg == leg).await;
    }
    let unknown = azure
        .stream(azure.people("hub"), TargetAddr::Domain("nobody.example".into(), 443))
        .await;
    assert!(
        matches!(unknown, Err(Failed::Proxy(ReplyError::HostUnreachable))),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_privatelink_name_fails_tls_because_no_certificate_covers_it() {
    let azure = Azure::of(private_world()).await;
    let private_name = "contosost.privatelink.blob.core.windows.net";
    let failed = azure.get("hub", BLOB_PRIVATE, private_name, "/").await;
    let Err(Failed::Tls(rustls::Error::InvalidCertificate(why))) = failed else {
        panic!("{failed:?}")
    };
    assert!(
        matches!(
            why,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ),
        "{why:?}"
    );
    azure
        .journal_shows(|s| s.outcome == "tlsFailed" && s.sni.as_deref() == Some(private_name))
        .await;
}

#[tokio::test]
async fn faults_strike_the_hop_that_they_name() {
    let azure = Azure::of(private_world()).await;
    let probe = async || azure.get("hub", BLOB_PRIVATE, BLOB, "/").await;
    let only = |effect| {
        azure.running.faults().clear();
        azure.fault("hub", BLOB, effect);
    };
    only(Effect::Drop);
    assert!(is_silent(probe()).await);
    only(Effect::Refuse);
    assert!(matches!(
        probe().await,
        Err(Failed::Proxy(ReplyError::ConnectionRefused))
    ));
    only(Effect::Reset);
    let reset = probe().await;
    assert!(
        matches!(&reset, Err(Failed::Other(text)) if text.contains("reset")),
        "{reset:?}"
    );
    only(Effect::WrongCertificate);
    assert!(matches!(
        probe().await,
        Err(Failed::Tls(rustls::Error::InvalidCertificate(_)))
    ));
    only(Effect::ForeignAuthority);
    let foreign = probe().await;
    assert!(
        matches!(
            foreign,
            Err(Failed::Tls(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )))
        ),
        "{foreign:?}"
    );
    only(Effect::ForeignService);
    let page = probe().await.unwrap();
    assert!(page.status == 200 && page.body.contains("sign in"), "{page:?}");
    only(Effect::Http(HttpFault {
        status: 429,
        retry_after: Some(7),
    }));
    let busy = probe().await.unwrap();
    assert_eq!((busy.status, busy.headers["retry-after"].to_str().unwrap()), (429, "7"));
    assert_eq!(
        azure.get("spoke", BLOB_PRIVATE, BLOB, "/").await.unwrap().status,
        401,
        "another network is spared"
    );
    only(Effect::DnsServFail);
    let answer = azure.ask_udp("hub", AZURE_DNS, BLOB).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    only(Effect::DnsAddresses(vec![Ipv4Addr::new(10, 0, 1, 66)]));
    assert_eq!(
        addresses(&azure.ask_tcp("hub", AZURE_DNS, BLOB).await.unwrap()),
        [Ipv4Addr::new(10, 0, 1, 66)]
    );
    only(Effect::DnsTimeout);
    assert!(is_silent(azure.ask_udp("hub", AZURE_DNS, BLOB)).await);
    assert!(is_silent(azure.ask_tcp("hub", AZURE_DNS, BLOB)).await);
    azure.running.faults().clear();
    assert_eq!(probe().await.unwrap().status, 401);
}

#[tokio::test]
async fn datagrams_of_somebody_else_do_not_enter_an_association() {
    let azure = Azure::of(private_world()).await;
    let socket = TcpStream::connect(azure.agents("hub")).await.unwrap();
    let datagrams = Socks5Datagram::bind(socket, "127.0.0.1:0").await.unwrap();
    let server = SocketAddr::new(IpAddr::V4(AZURE_DNS), 53);
    let mut buffer = [0; 4096];
    datagrams.send_to(&question(BLOB), server).await.unwrap();
    timeout(DEADLINE, datagrams.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let relay = match datagrams.proxy_addr().unwrap() {
        TargetAddr::Ip(address) => *address,
        TargetAddr::Domain(..) => panic!("a relay has an address"),
    };
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut datagram = fast_socks5::new_udp_header(server).unwrap();
    datagram.extend(question("stranger.azurecr.io"));
    stranger.send_to(&datagram, relay).await.unwrap();
    // Junk from the owner, which must not end the association either.
    datagrams.get_ref().send_to(&[0, 0, 9], relay).await.unwrap();
    datagrams.send_to(&question(LOGIN), server).await.unwrap();
    let (length, _) = timeout(DEADLINE, datagrams.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        addresses(&Message::from_vec(&buffer[..length]).unwrap()),
        [Ipv4Addr::new(10, 0, 1, 5)]
    );
    let asked_by_stranger = azure
        .sim
        .journal()
        .snapshot()
        .into_iter()
        .any(|r| matches!(r.entry, Entry::Dns(dns) if dns.name.starts_with("stranger")));
    assert!(!asked_by_stranger);
}

#[tokio::test]
async fn who_speaks_something_else_is_dropped_and_the_port_goes_on() {
    let azure = Azure::of(private_world()).await;
    for junk in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[5, 1, 2],
        &[5, 1, 0, 5, 9, 0, 1],
        &[5, 1, 0, 5, 1, 0, 7],
    ] {
        let mut stream = TcpStream::connect(azure.agents("hub")).await.unwrap();
        stream.write_all(junk).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    }
    let target = TargetAddr::Ip(SocketAddr::new(IpAddr::V4(BLOB_PRIVATE), 443));
    let mut plain = azure.stream(azure.agents("hub"), target).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, plain.read_to_end(&mut rest)).await.unwrap();
    azure
        .journal_shows(|s| s.outcome == "tlsFailed" && s.sni.is_none())
        .await;
    assert_eq!(azure.get("hub", BLOB_PRIVATE, BLOB, "/").await.unwrap().status, 401);
}

#[tokio::test]
async fn dropping_the_data_plane_closes_its_ports() {
    let azure = Azure::of(private_world()).await;
    let port = azure.agents("hub");
    let mut open = TcpStream::connect(port).await.unwrap();
    drop(azure.running);
    let mut byte = [0; 1];
    let ended = timeout(DEADLINE, open.read(&mut byte)).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let start = Instant::now();
    while TcpStream::connect(port).await.is_ok() {
        assert!(start.elapsed() < DEADLINE, "the port is still open");
        tokio::task::yield_now().await;
    }
}
