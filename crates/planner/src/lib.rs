//! The brain: validate, plan, lint, teardown, conditions, report. Pure, synchronous and total: no client, no clock, no
//! randomness. What varies is an argument.
//!
//! ```text
//! SecureRegistry ─ validate ─► Desired ┐
//!                                      ├─ plan ─► Plan ─ (act, elsewhere) ─► Outcome ─ report ─► Report
//!                   (observe) ─► Seen ─┘
//! ```

pub mod conditions;
pub mod left_out;
mod lint;
pub mod plan;
pub mod recording;
pub mod render;
pub mod report;
pub mod validate;

pub mod advice;
mod approvals;
mod askers;
mod attempts;
mod azure_claim;
mod before_lock;
mod blind;
mod break_glass;
mod callers;
mod claims;
mod compose;
mod contribution;
mod differs;
mod dns;
mod dns_servers;
mod drift;
mod endpoints;
mod evidence;
mod finalizer;
mod firewall;
mod gates;
mod gone;
mod grant_report;
mod holds;
mod kept;
mod lockdown;
mod locked;
mod name_changes;
mod names;
mod never_locked;
mod next_look;
mod obstacles;
mod opening;
mod paths;
mod prefix;
mod preflight;
mod public_access;
mod published;
mod refusals;
mod registry;
mod release;
mod removal;
mod settling;
mod silence;
mod state;
mod stranding;
mod tags;
mod teardown;
mod view;
mod waves;
mod window;

pub use approvals::approval_without_registry;
pub use break_glass::{break_glass_without_registry, end_without_registry};
pub use claims::is_held_elsewhere;
pub use compose::{as_far_as_the_lint_lets, plan};
pub use grant_report::grant_conditions;
pub use lint::{LintFinding, lint};
pub use lockdown::closing_ahead;
pub use locked::may_have_lost_a_path;
pub use opening::{accounts_to_open, is_left_to_open, may_open};
pub use plan::{Assessment, Finding, Plan, Step, Wait};
pub use published::{DnsTexts, dns_texts};
pub use recording::Recording;
pub use render::render;
pub use report::{Decided, EventNote, Gauges, Report, ReportInput, report, report_invalid};
pub use validate::{
    Floors, FoundGrant, NamesThere, PlanSettings, Violation, grant_violations, grants_serving, texts, validate,
    what_remains, what_remains_without_grants,
};
pub use view::seen_network;
