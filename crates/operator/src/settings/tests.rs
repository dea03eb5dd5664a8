//! What can be typed, and what it comes to.

use clap::Parser;
use sreg_domain::BuiltInCloud;

use super::*;

#[derive(Debug, Parser)]
struct Everything {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    leader: LeaderArgs,
    #[command(flatten)]
    probe: ProbeArgs,
}

fn public() -> Arc<Cloud> {
    Arc::new(BuiltInCloud::AzurePublic.cloud().unwrap())
}

fn parse(more: &[&str]) -> Result<Everything, clap::Error> {
    Everything::try_parse_from([&["operator"], more].concat())
}

#[test]
fn without_flags_all_namespaces_are_served_by_an_elected_leader() {
    let typed = parse(&[]).unwrap();
    let controller = typed.serve.controller(public());
    assert_eq!(controller.namespaces, None);
    assert_eq!(controller.concurrency, 16);
    let lease = typed.leader.lease("ns", "me").unwrap();
    assert_eq!(lease, LeaseSettings::new("ns", MANAGED_BY, "me"));
    assert_eq!(lease.check(), Ok(()));
}

#[test]
fn a_recording_takes_a_folder_and_an_object() {
    let typed = parse(&["--record", "/tmp/r", "--record-object", "ml-platform/contoso"]).unwrap();
    let record = typed.serve.record().unwrap();
    assert_eq!(
        (record.folder.to_str(), record.object.name.as_str()),
        (Some("/tmp/r"), "contoso")
    );
    for half in [&["--record", "/tmp/r"], &["--record-object", "a/b"]] {
        assert!(parse(half).is_err(), "{half:?}");
    }
    let error = parse(&["--record", "/tmp/r", "--record-object", "contoso"]).unwrap_err();
    assert!(error.to_string().contains("ml-platform/contoso-models"), "{error}");
}

#[test]
fn namespaces_are_repeated_or_separated_by_commas() {
    let typed = parse(&["--namespace", "a,b", "--namespace", "c"]).unwrap();
    assert_eq!(typed.serve.controller(public()).namespaces.unwrap(), ["a", "b", "c"]);
}

#[test]
fn an_election_can_be_declined() {
    assert_eq!(parse(&["--leader-elect=false"]).unwrap().leader.lease("ns", "me"), None);
    assert!(parse(&["--leader-elect"]).unwrap().leader.lease("ns", "me").is_some());
}

#[test]
fn at_least_one_object_is_worked_on_at_once() {
    let refused = parse(&["--concurrency", "0"]).unwrap_err().to_string();
    assert!(refused.contains("1..=1024"), "{refused}");
}

#[test]
fn extra_roots_of_probes_are_read_from_their_file() {
    let refused = parse(&["--probe-ca-file", "/nowhere.pem"])
        .unwrap()
        .probe
        .agent("hub", "me", &public())
        .unwrap_err();
    assert_eq!(refused.to_string(), "read /nowhere.pem for --probe-ca-file");
    assert_eq!(
        parse(&[])
            .unwrap()
            .probe
            .agent("hub", "me", &public())
            .unwrap()
            .extra_roots_pem,
        None
    );
}
