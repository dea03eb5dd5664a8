//! A law of every test: a wait that a person has to end says how, and every command in a message is one that exists.

use sreg_domain::outside;
use sreg_planner::Plan;
use sreg_planner::plan::{Actor, Wait, WaitReason};

/// Commands of the Azure CLI that messages may name, with the options that they take here. Each was compared with the CLI's own
/// definitions.
const AZ: [(&str, &[&str]); 37] = [
    ("account show", &["--subscription", "--query"]),
    (
        "acr network-rule add",
        &[
            "--name",
            "--resource-group",
            "--subscription",
            "--ip-address",
            "--subnet",
        ],
    ),
    (
        "acr network-rule list",
        &["--name", "--resource-group", "--subscription"],
    ),
    (
        "acr network-rule remove",
        &[
            "--name",
            "--resource-group",
            "--subscription",
            "--ip-address",
            "--subnet",
        ],
    ),
    ("acr replication list", &["--registry", "--output"]),
    (
        "acr update",
        &[
            "--name",
            "--subscription",
            "--admin-enabled",
            "--anonymous-pull-enabled",
        ],
    ),
    ("group create", &["--name", "--location", "--subscription"]),
    ("lock delete", &["--ids"]),
    (
        "lock list",
        &["--resource-group", "--subscription", "--query", "--output"],
    ),
    ("monitor activity-log list", &["--resource-id", "--offset"]),
    ("network private-dns link vnet delete", &["--yes", "--ids"]),
    ("network private-endpoint delete", &["--ids"]),
    ("network private-endpoint dns-zone-group delete", &["--ids"]),
    (
        "network private-endpoint list",
        &["--resource-group", "--subscription", "--query", "--output"],
    ),
    ("network private-endpoint update", &["--ids"]),
    ("network private-endpoint-connection approve", &["--id"]),
    ("network private-endpoint-connection list", &["--id", "--query"]),
    (
        "network vnet subnet update",
        &["--ids", "--private-endpoint-network-policies", "--address-prefixes"],
    ),
    ("network vnet update", &["--ids", "--dns-servers"]),
    (
        "policy assignment create",
        &[
            "--name",
            "--policy",
            "--scope",
            "--mi-system-assigned",
            "--location",
            "--params",
        ],
    ),
    (
        "policy assignment list",
        &["--resource-group", "--subscription", "--disable-scope-strict-match"],
    ),
    (
        "policy exemption create",
        &["--name", "--exemption-category", "--policy-assignment", "--scope"],
    ),
    (
        "policy remediation create",
        &["--name", "--policy-assignment", "--resource-group", "--subscription"],
    ),
    ("provider register", &["--namespace", "--subscription"]),
    ("provider show", &["--namespace", "--subscription", "--query"]),
    ("resource delete", &["--ids"]),
    ("resource list", &["--name", "--resource-type", "--query", "-o"]),
    ("resource show", &["--ids", "--query"]),
    ("resource update", &["--ids", "--api-version", "--set"]),
    ("rest", &["--method", "--url", "--query"]),
    (
        "role assignment create",
        &["--assignee-object-id", "--assignee-principal-type", "--role", "--scope"],
    ),
    ("role assignment list", &["--all", "--subscription", "--assignee"]),
    (
        "storage account network-rule add",
        &[
            "--account-name",
            "--resource-group",
            "--subscription",
            "--ip-address",
            "--subnet",
            "--resource-id",
            "--tenant-id",
        ],
    ),
    (
        "storage account network-rule remove",
        &[
            "--account-name",
            "--resource-group",
            "--subscription",
            "--ip-address",
            "--subnet",
            "--resource-id",
            "--tenant-id",
        ],
    ),
    (
        "storage account update",
        &["--ids", "--allow-shared-key-access", "--bypass"],
    ),
    ("tag update", &["--resource-id", "--operation", "--tags"]),
    ("ad sp show", &["--id"]),
];

/// Options without which a command is refused.
const NEEDED: [(&str, &[&str]); 4] = [
    ("policy remediation create", &["--name", "--policy-assignment"]),
    (
        "policy exemption create",
        &["--name", "--exemption-category", "--policy-assignment", "--scope"],
    ),
    ("group create", &["--name", "--location"]),
    ("role assignment create", &["--role", "--scope"]),
];

/// What a person can do next: a command, a field, or an object of ours.
pub const ACTIONS: [&str; 5] = ["az ", "kubectl ", "spec.", "ChangeApproval with", "BreakGlass"];

/// Every command that a text names is one that exists, with options that it has.
pub fn commands_exist(text: &str) {
    for (at, _) in text.match_indices("az ") {
        let begins = text[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '-');
        if !begins {
            continue;
        }
        let command = &text[at + 3..];
        is_for_a_shell(command, text);
        let known = AZ.iter().find(|(name, _)| {
            let rest = command.strip_prefix(name);
            rest.is_some_and(|rest| rest.chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '-'))
        });
        let Some((name, options)) = known else {
            panic!("no such command: az {command}\n{text}");
        };
        // Up to the next command, or the next sentence.
        let ends = ["; ", " (az", ", az", ". ", ")", "`", " az "];
        let end = ends.iter().filter_map(|end| command.find(end)).min();
        let given: Vec<&str> = command[..end.unwrap_or(command.len())]
            .split_whitespace()
            .filter(|word| word.starts_with('-') && !word.contains('…'))
            .collect();
        for option in &given {
            assert!(options.contains(option), "az {name} has no {option}\n{text}");
        }
        if given.is_empty() {
            continue;
        }
        let needed = NEEDED
            .iter()
            .find(|(of, _)| of == name)
            .map_or(&[][..], |(_, needed)| needed);
        for option in needed {
            assert!(given.contains(option), "az {name} needs {option}\n{text}");
        }
    }
}

/// A shell takes a command for what it says: a bracket stands in quotes, or ends the words around the command, and quotes are closed.
fn is_for_a_shell(command: &str, text: &str) {
    let (mut quote, mut depth, mut before) = (None, 0_usize, ' ');
    for c in command.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            // The sentence goes on.
            (None, ';' | '\n') => break,
            (None, ' ') if [',', '.', ':'].contains(&before) => break,
            (None, '(') if before.is_whitespace() => depth += 1,
            (None, ')') if depth > 0 => depth -= 1,
            (None, ')') => break,
            (None, '(') => panic!("a shell takes the bracket for its own: az {command}\n{text}"),
            (None, _) => {}
        }
        before = c;
    }
    assert!(
        quote.is_none() || !command.contains("--"),
        "a quote stays open: az {command}\n{text}"
    );
}

/// Who has to act is a person.
fn is_for_people(wait: &Wait) -> bool {
    match wait.reason.actor() {
        Actor::User | Actor::Administrator | Actor::Approver | Actor::DnsOwner => true,
        Actor::Agent => wait.reason == WaitReason::AgentSilent,
        Actor::Time | Actor::Azure => false,
    }
}

/// What the operator has seen, or cannot do without, is not left for people to look up.
const KNOWN: [&str; 1] = ["TENANT"];

fn nothing_known_is_left_open(text: &str) {
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let open = words.find(|word| KNOWN.contains(word));
    assert!(open.is_none(), "{open:?} is known, and left to fill in: {text}");
}

/// What a plan tells people to do.
pub fn of_plan(plan: &Plan) {
    for wait in &plan.waits {
        let says_how = ACTIONS.iter().any(|action| wait.message.contains(action));
        assert!(!is_for_people(wait) || says_how, "nobody is told what to do: {wait:?}");
        nothing_known_is_left_open(&wait.message);
        // Of these people read what a report makes of them.
        commands_exist(&outside::harmless(&wait.message));
    }
    for finding in &plan.findings {
        nothing_known_is_left_open(&finding.message);
        commands_exist(&outside::harmless(&finding.message));
    }
}
